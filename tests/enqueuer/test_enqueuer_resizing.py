"""`resize`: more workers or fewer, in mid-epoch, and nothing else is different."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
import warnings

import numpy as np
import psutil
import pytest
from drawn import POOLS, Drawn

from seqloader import OrderedEnqueuer, Sequence, WorkerStartError
from seqloader.errors import SeqloaderWarning
from seqloader.executors.thread import ThreadExecutor

SIZES = (1, 4, 2, 3, 1, 2)


class DrawnByItself(Drawn):
    """Of the global generators, and of one that it holds."""

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def __getitem__(self, index):
        return np.array([index, self.rng.integers(1 << 30), np.random.randint(1 << 30)])


class Gated(Sequence):
    """Batches from `first` on are held by a gate; each notes who computed it, at each try."""

    def __init__(self, gate, first=0, length=8):
        self.gate = gate
        self.first = first
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        with (self.gate.folder / f"computed-by-{index}").open("a") as file:
            file.write(f"{os.getpid()} {threading.get_ident()}\n")
        if index >= self.first:
            self.gate.pass_through(index)
        return index

    def computed_by(self, index):
        """(process, thread) for each try."""
        lines = (self.gate.folder / f"computed-by-{index}").read_text().splitlines()
        return [tuple(map(int, line.split())) for line in lines]


def at_work(enqueuer):
    """How many processes or threads of this enqueuer's there are."""
    if not enqueuer.use_multiprocessing:
        return sum(thread.name.startswith("seqloader") for thread in threading.enumerate())
    children = psutil.Process().children()
    return sum(child.status() != psutil.STATUS_ZOMBIE for child in children)


@pytest.fixture(params=POOLS)
def pool(request):
    return POOLS[request.param]


def epochs(enqueuer, count, after_each=lambda: None):
    found = []
    for _ in range(count):
        for batch in enqueuer:
            found.append(batch.tolist())
            after_each()
    return found


def test_order_randomness_and_hooks_are_those_of_a_pool_that_keeps_its_size(pool, make_any):
    fixed = epochs(make_any(Drawn(), shuffle=True, seed=7, **pool), 3)
    enqueuer = make_any(Drawn(), shuffle=True, seed=7, **pool)
    sizes = iter(SIZES * 100)

    resized = epochs(enqueuer, 3, after_each=lambda: enqueuer.resize(next(sizes)))

    assert resized == fixed
    assert enqueuer.stats().respawns == 0


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_generators_that_are_set_in_workers_draw_the_same(method, make_any):
    fixed = epochs(make_any(DrawnByItself(), seed=7), 2)
    enqueuer = make_any(DrawnByItself(), seed=7, start_method=method)
    sizes = iter(SIZES * 100)

    resized = epochs(enqueuer, 2, after_each=lambda: enqueuer.resize(next(sizes)))

    assert resized == fixed


def test_a_state_saved_after_a_resize_is_that_of_any_run(pool, make_any, take):
    enqueuer = make_any(Drawn(), seed=7, **pool)
    iterator = iter(enqueuer)
    take(iterator, 5)
    enqueuer.resize(4)
    take(iterator, 5)

    resumed = make_any(Drawn(), workers=0, seed=7)
    resumed.load_state_dict(enqueuer.state_dict())

    assert [b.tolist() for b in resumed] == [b.tolist() for b in iterator]


def test_more_workers_start_beside_those_at_work(pool, make_any, gate):
    enqueuer = make_any(Gated(gate), workers=1, **pool)
    iterator = iter(enqueuer)
    gate.wait_arrived(1)

    enqueuer.resize(3)
    gate.wait_arrived(3)
    gate.open()

    assert list(iterator) == list(range(8))
    assert enqueuer.workers == 3


def test_a_worker_too_many_leaves_after_its_batch_which_is_not_cut_short(
    pool, make_any, gate, until
):
    sequence = Gated(gate, length=3)
    enqueuer = make_any(sequence, workers=3, **pool)
    iterator = iter(enqueuer)
    gate.wait_arrived(3)

    enqueuer.resize(1)
    assert at_work(enqueuer) == 3
    gate.open()

    assert list(iterator) == [0, 1, 2]
    until(lambda: at_work(enqueuer) == 1)
    assert [len(sequence.computed_by(index)) for index in range(3)] == [1, 1, 1]
    assert enqueuer.stats().respawns == enqueuer.stats().retried == 0


def test_who_waits_for_a_ticket_leaves_without_one(pool, make_any, take, until):
    enqueuer = make_any(Plain(range(24)), workers=4, max_queue_size=6, **pool)
    until(lambda: list(enqueuer) and not busy(enqueuer))  # nobody is still starting
    iterator = iter(enqueuer)
    take(iterator, 1)
    until(lambda: not busy(enqueuer))

    enqueuer.resize(1)

    until(lambda: at_work(enqueuer) == 1)
    assert list(iterator) == list(range(1, 24))


class Plain(list):
    """Without a hook: forked workers stay from one epoch to the next."""


def busy(enqueuer):
    return enqueuer._run.session.executor.busy()


class Held:
    """A `worker_init` that a gate holds, in all slots but the first."""

    def __init__(self, gate):
        self.gate = gate

    def __call__(self, slot):
        if slot:
            self.gate.pass_through(slot)


def test_a_worker_that_is_still_starting_leaves_without_a_batch(make_any, gate, until):
    enqueuer = make_any(Drawn(), workers=2, worker_init=Held(gate))
    iterator = iter(enqueuer)
    next(iterator)
    gate.wait_arrived(1)

    enqueuer.resize(1)

    until(lambda: at_work(enqueuer) == 1)
    assert len(list(iterator)) == 23
    assert enqueuer.stats().respawns == 0


def test_a_slot_is_filled_again_only_when_its_worker_has_left(make_any, gate, until):
    sequence = Gated(gate, length=6)
    enqueuer = make_any(sequence, workers=2)
    iterator = iter(enqueuer)
    gate.wait_arrived(2)

    enqueuer.resize(1)
    enqueuer.resize(2)
    assert at_work(enqueuer) == 2
    gate.open()

    assert list(iterator) == list(range(6))
    assert enqueuer.stats().respawns == 0
    iterator = iter(enqueuer)
    until(lambda: at_work(enqueuer) == 2)
    assert list(iterator) == list(range(6))


def test_killing_a_worker_that_is_leaving_costs_its_batch_no_attempt(make_any, gate):
    sequence = Gated(gate, length=2)
    enqueuer = make_any(sequence, workers=2, crash_retries=0)
    iterator = iter(enqueuer)
    gate.wait_arrived(2)
    enqueuer.resize(1)
    pids = [sequence.computed_by(index)[0][0] for index in range(2)]
    [leaving] = [w.pid for w in pool_of(enqueuer).crew.workers.values() if w.leaving]

    os.kill(leaving, signal.SIGKILL)
    gate.open()

    assert list(iterator) == [0, 1]
    assert len(sequence.computed_by(pids.index(leaving))) == 2
    assert enqueuer.stats().respawns == 0


def pool_of(enqueuer):
    return enqueuer._run.session.executor._pool


def test_the_queue_follows_unless_its_size_was_given(pool, make_any):
    follows = make_any(Drawn(), **pool)
    given = make_any(Drawn(), max_queue_size=5, **pool)

    with follows, given:
        follows.resize(20)
        given.resize(4)
        assert (follows.max_queue_size, given.max_queue_size) == (40, 5)
        with pytest.warns(SeqloaderWarning, match="max_queue_size=5 is below workers=6"):
            given.resize(6)
        follows.resize(1)
        assert (follows.max_queue_size, given.max_queue_size) == (10, 5)


def test_a_shorter_queue_delivers_what_was_computed_for_the_longer(pool, make_any, take, until):
    enqueuer = make_any(Drawn(40), workers=8, **pool)
    iterator = iter(enqueuer)
    take(iterator, 1)
    until(lambda: enqueuer.stats().in_flight == 16)

    enqueuer.resize(1)

    assert [batch[0] for batch in iterator] == list(range(1, 40))


def test_before_a_start_it_says_how_many_that_starts_and_later_ones(pool, make_any):
    enqueuer = make_any(Drawn(), workers=1, **pool)

    enqueuer.resize(3)
    assert enqueuer.workers == 3
    for _ in range(2):
        with enqueuer:
            assert at_work(enqueuer) == 3
    with enqueuer:
        enqueuer.resize(2)
    enqueuer.start()
    assert enqueuer.workers == 2


def test_from_no_workers_it_is_a_matter_of_the_next_start(make_any):
    enqueuer = make_any(Drawn(), workers=0)
    cure = r"workers=0 .* stop\(\) and start\(workers=2\)"
    with enqueuer, pytest.raises(RuntimeError, match=cure):
        enqueuer.resize(2)

    enqueuer.resize(2)

    with enqueuer:
        assert at_work(enqueuer) == 2


def test_what_computes_in_the_consumer_has_no_workers_to_resize(make_any):
    with pytest.raises(RuntimeError, match="inline"):
        make_any(Drawn(), executor="inline", workers=None).resize(2)


@pytest.mark.parametrize(
    ("workers", "error", "match"),
    [
        (0, ValueError, r"stop\(\) and start\(workers=0\)"),
        (-1, ValueError, "workers"),
        (1.5, TypeError, "workers"),
        (True, TypeError, "workers"),
        (None, TypeError, "workers"),
        ("auto", TypeError, "workers"),
    ],
)
@pytest.mark.parametrize("runs", [False, True])
def test_a_size_that_is_none_is_refused_and_nothing_changes(runs, workers, error, match, make_any):
    enqueuer = make_any(Drawn(4), workers=1, use_multiprocessing=False)
    if runs:
        enqueuer.start()

    with pytest.raises(error, match=match):
        enqueuer.resize(workers)

    assert enqueuer.workers == 1
    assert len(list(enqueuer)) == 4


class Fixed:
    """An executor that cannot be resized: one of threads, without the method."""

    def __new__(cls):
        methods = {n: v for n, v in vars(ThreadExecutor).items() if n not in ("resize", "__dict__")}
        return type("Fixed", (), methods)(1)


def test_an_executor_of_the_users_may_have_a_fixed_size(make_any):
    enqueuer = make_any(Drawn(4), executor=Fixed(), workers=None)

    fixed = r"Fixed has a fixed number of workers, 1: .*resize"
    with enqueuer, pytest.raises(TypeError, match=fixed):
        enqueuer.resize(2)


class ResizesInAHook(Drawn):
    """Calls its enqueuer from inside one of the enqueuer's own calls."""

    def on_epoch_end(self):
        self.enqueuer().resize(2)


def test_a_hook_may_not_resize(make_any):
    sequence = ResizesInAHook(2)
    enqueuer = make_any(sequence, workers=1, use_multiprocessing=False)
    sequence.enqueuer = lambda: enqueuer

    with pytest.raises(RuntimeError, match="entered again"):
        list(enqueuer)


class FailsInSlotOne:
    """A `worker_init` that raises in every slot but the first."""

    def __call__(self, slot):
        if slot:
            raise OSError("no licence for another one")


def test_more_workers_that_the_program_fails_end_the_run_with_its_reason(pool, make_any):
    enqueuer = make_any(Drawn(1000), workers=1, worker_init=FailsInSlotOne(), **pool)
    iterator = iter(enqueuer)
    next(iterator)

    with pytest.raises(WorkerStartError, match="no licence"):
        enqueuer.resize(2)
        for _ in iterator:
            time.sleep(0.01)  # not waited for: gives the worker time to fail

    assert not enqueuer.is_running()


def test_resizing_warns_of_nothing(pool, make_any):
    enqueuer = make_any(Drawn(), workers=2, **pool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for batch in enqueuer:
            enqueuer.resize(1 + int(batch[0]) % 3)


@pytest.mark.parametrize("workers", [1, 3])
def test_another_thread_may_resize_between_two_calls(pool, make_any, workers):
    enqueuer = make_any(Drawn(), workers=2, **pool)
    iterator = iter(enqueuer)
    next(iterator)

    thread = threading.Thread(target=enqueuer.resize, args=(workers,))
    thread.start()
    thread.join()

    assert enqueuer.workers == workers
    assert len(list(iterator)) == 23


def test_a_stopped_enqueuer_keeps_the_size_it_was_given(make_any):
    enqueuer = OrderedEnqueuer(Drawn(4), workers=1, use_multiprocessing=False)
    with enqueuer:
        list(enqueuer)
    enqueuer.resize(2)

    assert (enqueuer.workers, enqueuer.is_running()) == (2, False)


class Lingers(Drawn):
    """Its workers do not end before a gate is open: user code may take long at an exit."""

    def __init__(self, gate):
        super().__init__(40)
        self.gate = gate

    def __getitem__(self, index):
        if not hasattr(sys, "lingers"):
            sys.lingers = True
            atexit.register(self.gate.pass_through, os.getpid())
        return super().__getitem__(index)


def test_nobody_waits_for_the_end_of_a_worker_that_has_left(make_any, gate):
    enqueuer = make_any(Lingers(gate), workers=3, max_queue_size=4)
    indices = []
    for batch in enqueuer:
        indices.append(batch[0])
        # What was just issued wakes a worker that is told to leave in the same moment.
        enqueuer.resize(1 if len(indices) % 4 == 0 else 3)
    enqueuer.resize(1)
    again = [batch[0] for batch in enqueuer]

    assert indices == again == list(range(40))
    assert gate.left() == set()
    assert enqueuer.stats().respawns == 0
    gate.open()


class Writes(Drawn):
    """Keeps a file open in the worker, as a cache or a log does, and closes it at the end."""

    def __init__(self, folder):
        super().__init__(60)
        self.folder = folder

    def __getitem__(self, index):
        if not hasattr(sys, "kept_file"):
            sys.kept_file = (self.folder / f"written-by-{os.getpid()}").open("w")
        sys.kept_file.write("x")
        return super().__getitem__(index)


def test_who_leaves_ends_as_at_a_stop(make_any, tmp_path):
    enqueuer = make_any(Writes(tmp_path), workers=4)
    for batch in enqueuer:
        enqueuer.resize(4 if batch[0] % 6 else 1)
    enqueuer.stop()

    sizes = [file.stat().st_size for file in tmp_path.glob("written-by-*")]
    assert all(sizes)
    assert 60 <= sum(sizes) <= 60 + enqueuer.max_queue_size


def test_a_queue_that_was_asked_for_at_the_start_is_kept(pool, make_any):
    enqueuer = make_any(Drawn(), workers=1, **pool)
    enqueuer.start(max_queue_size=2)

    enqueuer.resize(2)

    assert enqueuer.max_queue_size == 2


def test_an_executor_of_the_users_that_can_be_resized_starts_with_as_many(make_any):
    executor = ThreadExecutor(1)
    enqueuer = make_any(Drawn(4), executor=executor, workers=None)

    enqueuer.resize(3)

    with enqueuer:
        assert (enqueuer.workers, executor.workers) == (3, 3)
        assert len(list(enqueuer)) == 4
