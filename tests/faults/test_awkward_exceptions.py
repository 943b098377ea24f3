"""Whatever `__getitem__` raises arrives in its place, as itself where that can be, and ends it."""

from __future__ import annotations

import re
import traceback
from typing import Any

import awkward
import pytest
from awkward import (
    ExitsWhenRebuilt,
    Interrupting,
    KeywordOnly,
    Quits,
    RaisesInReduce,
    RaisesInStr,
    TwoPart,
    Unpicklable,
)
from victims import Full, Raises, value_of

from seqloader import OrderedEnqueuer
from seqloader.errors import WorkerError

PLACE = 3


def raised_by(make: Any, **options: Any) -> BaseException:
    """What arrives after the batches before it."""
    enqueuer = OrderedEnqueuer(Raises(make, PLACE), workers=2, **options)
    delivered = []
    with pytest.raises(BaseException) as caught:
        for batch in enqueuer:
            delivered.append(value_of(batch))

    assert delivered == list(range(PLACE))
    assert not enqueuer.is_running()  # that no child is left the guard sees
    return caught.value


CASES: list[tuple[Any, type[BaseException]]] = [
    (awkward.two_part, TwoPart),
    (awkward.keyword_only, KeywordOnly),
    (awkward.chained, ValueError),
    (awkward.group, ExceptionGroup),
    (awkward.base_group, BaseExceptionGroup),
    (awkward.large, ValueError),
    (awkward.with_notes, ValueError),
    (awkward.endless_chain, ValueError),
    (awkward.operating_system, FileNotFoundError),
    (awkward.unicode, UnicodeDecodeError),
    (awkward.local_class, Exception),
    (awkward.stop_iteration, RuntimeError),
    (awkward.stop_async_iteration, RuntimeError),
    (awkward.generator_exit, RuntimeError),
    (awkward.keyboard_interrupt, KeyboardInterrupt),
    (awkward.system_exit, SystemExit),
    (Unpicklable, Unpicklable),
    (RaisesInReduce, RaisesInReduce),
    (RaisesInStr, RaisesInStr),
    (Interrupting, Interrupting),
    (ExitsWhenRebuilt, ExitsWhenRebuilt),
    (Quits, Quits),
]


@pytest.mark.parametrize(("make", "kind"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_exception_arrives_in_its_place_with_note_and_traceback(make, kind):
    error = raised_by(make)

    assert isinstance(error, kind)
    assert not isinstance(error, WorkerError)
    (note,) = [n for n in error.__notes__ if n.startswith("raised by")]
    assert re.match(r"raised by batch 3 \(epoch 0, position 3\) in worker [01], pid \d+", note)
    assert "enqueuer.compute(3, epoch=0)" in note
    printed = "".join(traceback.format_exception(error))
    assert "in __getitem__" in printed and "raise self.make()" in printed


def test_exceptions_keep_what_they_hold():
    two_part = raised_by(awkward.two_part)
    assert (two_part.index, two_part.reason, str(two_part)) == (3, "torn", "torn at 3")

    assert raised_by(awkward.keyword_only).path == "a.png"
    assert raised_by(awkward.operating_system).filename == "a.png"
    assert "a note of the user's" in raised_by(awkward.with_notes).__notes__
    assert len(str(raised_by(awkward.large))) == 10_000_000
    assert raised_by(Unpicklable).kept == "kept"
    assert raised_by(awkward.system_exit).code == 3


def test_chain_arrives_link_by_link():
    error = raised_by(awkward.chained)

    assert type(error.__context__) is TwoPart
    assert type(error.__context__.__cause__) is KeyError


def test_group_arrives_with_its_members():
    error = raised_by(awkward.group)

    assert [type(member) for member in error.exceptions] == [ValueError, TwoPart, Unpicklable]


def test_first_in_order_wins_though_later_ones_were_earlier():
    class AllRaise(Full):
        def __getitem__(self, index: int) -> Any:
            import time

            time.sleep(0.2 if index == 3 else 0)
            if index >= 3:
                raise LookupError(index)
            return super().__getitem__(index)

    enqueuer = OrderedEnqueuer(AllRaise(), workers=4)
    delivered = []
    with pytest.raises(LookupError) as caught:
        for batch in enqueuer:
            delivered.append(value_of(batch))

    assert (delivered, caught.value.args) == ([0, 1, 2], (3,))


def test_pool_lives_on_where_errors_are_skipped():
    enqueuer = OrderedEnqueuer(Raises(awkward.two_part, PLACE), workers=2, on_error="skip")
    with enqueuer, pytest.warns(match="batch 3 .* was skipped .* TwoPart: torn at 3"):
        delivered = [[value_of(batch) for batch in enqueuer] for _ in range(3)]

    assert delivered == [[0, 1, 2, *range(4, 12)]] * 3
    assert (enqueuer.stats().skipped, enqueuer.stats().respawns) == (3, 0)


def test_exceptions_that_end_a_program_are_not_skipped():
    error = raised_by(awkward.system_exit, on_error="skip")

    assert type(error) is SystemExit


def test_retries_try_again_before_they_raise(tmp_path):
    class Counts(Full):
        def __init__(self, failures: int) -> None:
            super().__init__()
            self.failures = failures

        def __getitem__(self, index: int) -> Any:
            if index == PLACE:
                tries = len(list(tmp_path.iterdir()))
                (tmp_path / str(tries)).touch()
                if tries < self.failures:
                    raise LookupError(tries)
            return super().__getitem__(index)

    with OrderedEnqueuer(Counts(2), workers=2, retries=2) as enqueuer:
        assert [value_of(batch) for batch in enqueuer] == list(range(12))
    assert enqueuer.stats().retried == 2

    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(LookupError) as caught:
        list(OrderedEnqueuer(Counts(9), workers=2, retries=2))
    assert caught.value.args == (2,)
    assert "after 3 tries" in "".join(caught.value.__notes__)


def test_batch_that_cannot_be_pickled_names_its_index_and_the_part():
    class Locked(Full):
        def __getitem__(self, index: int) -> Any:
            import threading

            if index == PLACE:
                return {"images": super().__getitem__(index), "lock": [threading.Lock()]}
            return super().__getitem__(index)

    enqueuer = OrderedEnqueuer(Locked(), workers=2)
    delivered = []
    with pytest.raises(Exception, match="lock") as caught:
        for batch in enqueuer:
            delivered.append(value_of(batch))

    printed = "".join(traceback.format_exception(caught.value))
    assert delivered == [0, 1, 2]
    assert "batch 3 " in printed and re.search(r"batch\[.lock.\]\[0\]", printed)


@pytest.mark.parametrize("where", ["loading", "worker_init"])
@pytest.mark.parametrize(("make", "kind"), [CASES[0], CASES[5], (RaisesInReduce, RaisesInReduce)])
def test_awkward_exceptions_of_a_start_arrive_as_the_cause(make, kind, where):
    from seqloader.errors import WorkerStartError

    class Loads(Full):
        def __setstate__(self, state: dict[str, Any]) -> None:
            raise make()

    def init(slot: int) -> None:
        raise make()

    enqueuer = OrderedEnqueuer(
        Loads() if where == "loading" else Full(),
        workers=2,
        worker_init=init if where == "worker_init" else None,
    )
    with pytest.raises(WorkerStartError) as caught:
        next(iter(enqueuer))

    assert isinstance(caught.value.__cause__, kind)
    assert "raise make()" in "".join(traceback.format_exception(caught.value))
    assert not enqueuer.is_running()
