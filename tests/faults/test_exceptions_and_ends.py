"""An exception is never an end: what user code raises is raised, wherever it is called.

Places where user code is called x what it raises x who asks x who computes. What Python itself
reads as an end (StopIteration, StopAsyncIteration, GeneratorExit) arrives as a RuntimeError that
names the function, with the original as its cause; everything else as it is.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import ends
import pytest
from ends import KINDS, LENGTH, PLACE, READ_AS_AN_END, AtOnce, Source

from seqloader import BatchedSequence, OrderedEnqueuer, WeightedMix
from seqloader.errors import EnqueuerStopped, WorkerStartError

EXECUTORS: dict[str, dict[str, Any]] = {
    "inline": {"workers": 0},
    "thread": {"workers": 2, "use_multiprocessing": False},
    "process": {"workers": 1},
}
HERE = ("inline", "thread")


@pytest.fixture
def make():
    """Makes enqueuers that are stopped after the test, without hooks."""
    made = []

    def make(sequence: Any, executor: str = "inline", **options: Any) -> OrderedEnqueuer[Any]:
        made.append(OrderedEnqueuer(sequence, **{**EXECUTORS[executor], **options}))
        return made[-1]

    yield make
    for enqueuer in made:
        enqueuer.__exit__(AssertionError, None, None)


def arrives(kind: type[BaseException], error: BaseException, name: str) -> None:
    """Assert that `error` is how `kind` arrives out of the function `name`."""
    if issubclass(kind, READ_AS_AN_END):
        assert type(error) is RuntimeError
        assert f"{name}" in str(error) and str(error).endswith(f" raised {kind.__name__}")
        cause = error.__cause__
        assert type(cause) is kind
        assert cause.args == ("the user's",)
    else:
        assert type(error) is kind
        assert error.args == ("the user's",)


WAYS = ("for", "get", "peek")


def walk(enqueuer: Any, way: str) -> tuple[int, BaseException]:
    """How many batches come before it raises, and what. (No generator: it changes what passes.)"""
    count, iterator = 0, None
    try:
        while count < 2 * LENGTH:
            if way == "peek":
                enqueuer.peek()
            if iterator is None:
                iterator = iter(enqueuer) if way == "for" else enqueuer.get()
            next(iterator)
            count += 1
    except BaseException as error:
        return count, error
    raise AssertionError("nothing was raised")


# --- the Sequence's own methods ---------------------------------------------------------------

BEFORE = {"on_epoch_begin": 0, "on_epoch_end": LENGTH, "__len__": 0, "__getitem__": PLACE}
"""Batches that come before."""


@pytest.mark.parametrize("executor", HERE)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", BEFORE)
def test_what_a_sequence_raises_is_raised_and_stops_the_enqueuer(make, where, kind, way, executor):
    sequence = ends.Raises(where, kind)
    enqueuer = make(sequence, executor)

    count, error = walk(enqueuer, way)

    assert count == BEFORE[where]
    arrives(kind, error, f"Raises.{where}()")
    ctrl_c = kind is KeyboardInterrupt and where == "__getitem__" and executor == "inline"
    assert enqueuer.is_running() == ctrl_c  # it cannot be told from the terminal's
    sequence.armed = False
    assert sequence.ends == (where == "on_epoch_end")
    if not ctrl_c:
        assert [int(batch[0]) for batch in enqueuer] == list(range(LENGTH))


def test_a_keyboard_interrupt_of_getitem_in_the_consumer_loses_no_batch(make):
    sequence = ends.Raises("__getitem__", KeyboardInterrupt)
    iterator = iter(make(sequence))
    batches = [next(iterator), next(iterator)]
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            next(iterator)

    sequence.armed = False
    batches += iterator

    assert [int(batch[0]) for batch in batches] == list(range(LENGTH))


@pytest.mark.parametrize("way", ["for", pytest.param("get", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_worker_process_raises_is_raised_at_its_place(make, kind, way):
    enqueuer = make(ends.Raises("__getitem__", kind), "process")

    count, error = walk(enqueuer, way)

    assert count == PLACE
    if issubclass(kind, READ_AS_AN_END):
        assert str(error) == f"Raises.__getitem__() raised {kind.__name__}"
        assert type(error.__cause__) is kind
    else:
        assert type(error) is kind
    assert not enqueuer.is_running()


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_loop_over_a_sequence_is_never_short(kind):
    sequence = ends.Raises("__getitem__", kind)
    iterator = iter(sequence)

    count, error = raised_by_next(iterator)

    assert count == PLACE
    arrives(kind, error, "Raises.__getitem__()")
    sequence.armed = False
    rest = [int(batch[0]) for batch in iterator]
    assert rest == ([2, 3] if kind in (KeyboardInterrupt, SystemExit, ends.Quits) else [3])


def raised_by_next(iterator: Any) -> tuple[int, BaseException]:
    """How many batches come before it raises, and what."""
    count = 0
    for _ in range(LENGTH):
        try:
            next(iterator)
            count += 1
        except BaseException as error:
            return count, error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("kind", [*KINDS, IndexError])
@pytest.mark.parametrize("where", ["__len__", "num_batches", "__getitem__"])
def test_a_plain_loop_raises_what_length_and_batches_raise(where, kind):
    sequence = (ends.Endless if where == "num_batches" else ends.Raises)(where, kind)

    with pytest.raises(BaseException) as caught:
        list(iter_of(sequence))

    arrives(kind, caught.value, f".{where}")


def iter_of(sequence: Any) -> Any:
    """Without a `list(sequence)`, which asks for the length as a hint and forgives errors."""
    iterator = iter(sequence)
    return [next(iterator) for _ in range(LENGTH)]


@pytest.mark.parametrize("kind", KINDS)
def test_compute_and_len_raise_what_the_sequence_raises(make, kind):
    with pytest.raises(BaseException) as caught:
        make(ends.Raises("__getitem__", kind)).compute(PLACE)
    arrives(kind, caught.value, "Raises.__getitem__()")

    enqueuer = make(ends.Raises("__len__", kind))
    with pytest.raises(BaseException) as caught:
        len(enqueuer)
    arrives(kind, caught.value, "Raises.__len__()")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["stop", "join_end_of_epoch", "iter", "get"])
def test_whoever_ends_an_epoch_is_told_what_the_hook_raised(make, end, kind):
    enqueuer = make(ends.Raises("on_epoch_end", kind))
    iterator = iter(enqueuer)
    for _ in range(LENGTH):
        next(iterator)

    with pytest.raises(BaseException) as caught:
        iter(enqueuer) if end == "iter" else getattr(enqueuer, end)()

    arrives(kind, caught.value, "Raises.on_epoch_end()")
    assert not enqueuer.is_running()
    assert enqueuer.sequence.ends == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequences_state_methods_are_no_end_either(make, kind):
    enqueuer = make(ends.Stateful("state_dict", kind, armed=False))
    state = enqueuer.state_dict()
    enqueuer.sequence.armed = True
    with pytest.raises(BaseException) as caught:
        enqueuer.state_dict()
    arrives(kind, caught.value, "Stateful.state_dict()")
    with pytest.raises(BaseException) as caught:
        next(iter(enqueuer))
    arrives(kind, caught.value, "Stateful.state_dict()")
    assert not enqueuer.is_running()

    enqueuer = make(ends.Stateful("load_state_dict", kind))
    with pytest.raises(BaseException) as caught:
        enqueuer.load_state_dict(state)
    arrives(kind, caught.value, "Stateful.load_state_dict()")


def test_a_method_written_in_c_is_named_too(make):
    class Drains(ends.Raises):
        on_epoch_end = iter([]).__next__  # type: ignore[assignment]

    count, error = walk(make(Drains("", KeyError)), "for")

    assert (count, str(error)) == (LENGTH, "Drains.on_epoch_end() raised StopIteration")


# --- workers and samples ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("executor", ["thread", pytest.param("process", marks=pytest.mark.slow)])
def test_what_worker_init_raises_is_the_cause_of_a_start_error(make, executor, kind):
    enqueuer = make(ends.Raises("", kind), executor, worker_init=ends.WorkerInit(kind))

    count, error = walk(enqueuer, "for")

    assert count == 0
    assert type(error) is WorkerStartError
    assert kind in (type(error.__cause__), type(getattr(error.__cause__, "__cause__", None)))
    if executor == "process" and issubclass(kind, READ_AS_AN_END):
        assert f"WorkerInit.__call__() raised {kind.__name__}" in str(error)
    assert not enqueuer.is_running()
    assert enqueuer.sequence.ends == 0


def test_a_worker_init_that_fails_while_the_consumer_waits_stops_without_a_hook(make):
    """Without a `with`: the next `for` must not run the hook of an epoch that raised."""

    def fails_late(slot: int) -> None:
        while slot == 1 and not waits_in_next():
            time.sleep(0.001)
        if slot == 1:
            raise OSError("the user's")

    gate = threading.Event()
    sequence = ends.Raises("", KeyError)
    sequence.reach = lambda where, here=True: where == "__getitem__" and gate.wait(20.0)
    enqueuer = make(sequence, "thread", worker_init=fails_late)

    with pytest.raises(WorkerStartError, match="the user's") as caught:
        next(iter(enqueuer))
    gate.set()

    assert type(caught.value.__cause__) is OSError
    assert not enqueuer.is_running()
    assert sequence.ends == 0


def waits_in_next() -> bool:
    """Whether the main thread waits for a batch."""
    frame: Any = sys._current_frames()[threading.main_thread().ident or 0]
    names = []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return "__next__" in names and "wait" in names


class Rebuilt(ends.Raises):
    """Raises where a worker rebuilds it."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.reach("__setstate__")


@pytest.mark.parametrize(
    "kind", [StopIteration, pytest.param(GeneratorExit, marks=pytest.mark.slow)]
)
def test_what_a_sequence_raises_when_a_worker_loads_it_is_named(make, kind):
    count, error = walk(make(Rebuilt("__setstate__", kind), "process"), "for")

    assert count == 0
    assert type(error) is WorkerStartError
    assert f"Rebuilt.__setstate__() raised {kind.__name__}" in str(error)


SAMPLED = {
    "__getitem__": (Source, lambda source: (source, {})),
    "__getitems__": (AtOnce, lambda source: (source, {})),
    "collate": (Source, lambda source: (source, {"collate": source.collate})),
    "transform": (Source, lambda source: (source, {"transform": source.transform})),
    "open": (Source, lambda source: (source.open, {})),
    "__len__": (Source, lambda source: (source, {})),
    "mixed": (Source, lambda source: (WeightedMix([source], [1], length=2 * LENGTH), {})),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", SAMPLED)
def test_what_is_raised_for_a_sample_is_no_end_of_the_batches(make, place, kind):
    where = "__getitem__" if place == "mixed" else place
    source_class, prepared = SAMPLED[place]
    source, options = prepared(source_class(where, kind))
    batches = BatchedSequence(source, 2, **options)
    before = 0 if where in ("open", "__len__") else PLACE

    for executor in HERE:
        enqueuer = make(batches, executor)
        count, error = walk(enqueuer, "for")
        assert count == before
        arrives(kind, error, f"{where}()")
        if not (kind is KeyboardInterrupt and executor == "inline" and before):
            assert not enqueuer.is_running()
    with pytest.raises(BaseException) as caught:
        make(batches).compute(PLACE)
    arrives(kind, caught.value, f"{where}()")
    with pytest.raises(BaseException) as caught:
        list(iter_of(batches))
    arrives(kind, caught.value, f"{where}()")


# --- skipped and tried again ------------------------------------------------------------------


@pytest.mark.parametrize("executor", HERE)
@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_skipped_and_what_ends_a_program_is_not(make, kind, executor):
    enqueuer = make(ends.Raises("__getitem__", kind), executor, on_error="skip", retries=1)

    if issubclass(kind, READ_AS_AN_END):
        with pytest.warns(match=f"batch {PLACE} .* was skipped .* raised {kind.__name__}"):
            delivered = [int(batch[0]) for batch in enqueuer]
        assert delivered == [0, 1, 3]
        assert (enqueuer.stats().skipped, enqueuer.stats().retried) == (1, 1)
    else:
        assert type(walk(enqueuer, "for")[1]) is kind
        assert (enqueuer.stats().skipped, enqueuer.stats().retried) == (0, 0)


# --- another enqueuer's end -------------------------------------------------------------------


@pytest.mark.parametrize("where", ["__getitem__", "on_epoch_begin", "on_epoch_end"])
@pytest.mark.parametrize("way", WAYS)
def test_the_stop_of_another_enqueuer_is_no_end_of_this_one(make, way, where):
    count, error = walk(make(ends.Raises(where, EnqueuerStopped)), way)

    assert count == BEFORE[where]
    assert type(error) is EnqueuerStopped and error.args == ("the user's",)


# --- an executor of the user's ----------------------------------------------------------------

METHODS = ("start", "load", "submit", "collect", "wait")


@pytest.mark.parametrize("kind", [*KINDS, OSError])
@pytest.mark.parametrize("method", METHODS)
def test_an_executors_error_stops_and_no_batch_is_lost(make, method, kind):
    executor = ends.RaisingExecutor(method, kind)
    sequence = ends.Raises("", kind)
    enqueuer = OrderedEnqueuer(sequence, executor=executor, max_queue_size=2)
    iterator, batches = None, []
    try:
        iterator = iter(enqueuer)
        while True:
            batches.append(int(next(iterator)[0]))
            assert len(batches) < LENGTH, "nothing was raised"
    except BaseException as error:
        arrives(kind, error, f"{method}()")

    if enqueuer.is_running():  # it may have been the user's Ctrl-C
        assert not issubclass(kind, (Exception, GeneratorExit))
        batches += [int(batch[0]) for batch in iterator]
        assert batches == list(range(LENGTH))
    else:
        assert sequence.ends == 0
        if iterator is not None:
            with pytest.raises(EnqueuerStopped):
                next(iterator)
        assert [int(batch[0]) for batch in enqueuer] == list(range(LENGTH))
    enqueuer.stop()


@pytest.mark.parametrize("kind", [StopIteration, OSError])
def test_an_executor_that_cannot_discard_is_stopped_without_a_hook(kind):
    sequence = ends.Raises("", kind)
    enqueuer = OrderedEnqueuer(sequence, executor=ends.RaisingExecutor("discard", kind))
    next(iter(enqueuer))

    with pytest.raises(BaseException) as caught:
        iter(enqueuer)

    arrives(kind, caught.value, "discard()")
    assert not enqueuer.is_running()
    assert sequence.ends == 0
