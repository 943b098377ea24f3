from __future__ import annotations

import gc
import random
import signal
import threading
import time
import traceback
import weakref
from collections import Counter

import numpy as np
import pytest

from seqloader import Sequence
from seqloader.errors import WorkerStartError
from seqloader.executors.inline import InlineExecutor
from seqloader.executors.thread import ThreadExecutor
from seqloader.randomness.seeding import Seeding
from seqloader.testing import (
    DEADLINE_S,
    DiagnosticsConformance,
    ExecutorConformance,
    Gate,
    ResizableConformance,
    collect,
    open_all,
    tickets,
    within,
)
from seqloader.testing.deadline import answers_to
from seqloader.tickets import Ticket


class CheckedConformance(ExecutorConformance):
    def teardown_method(self):
        for executor in self._made:
            executor.check()
        super().teardown_method()


class TestInlineExecutor(CheckedConformance):
    def make_executor(self):
        return InlineExecutor()


class TestInlineExecutorWithCopies(CheckedConformance):
    def make_executor(self):
        return InlineExecutor(copy=True)


class TestThreadExecutor(CheckedConformance, DiagnosticsConformance, ResizableConformance):
    def make_executor(self):
        return ThreadExecutor(3)


class TestThreadExecutorWithOneThreadAndCopies(CheckedConformance):
    def make_executor(self):
        return ThreadExecutor(1, copy=True)


# --- What only these two do -----------------------------------------------------------------------

SEEDING = Seeding(seed=1, reseed_globals=True)


class Views(Sequence):
    """Batches are views of the Sequence's own memory."""

    def __init__(self):
        self.memory = np.arange(12).reshape(3, 4)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return {"rows": [self.memory[index]], "twice": (self.memory, self.memory[index])}


class Calls(Sequence):
    """Batches are what a function returns."""

    def __init__(self, function):
        self.function = function

    def __len__(self):
        return 100

    def __getitem__(self, index):
        return self.function(index)


@pytest.fixture
def run():
    """Starts executors; stops them after the test."""
    started = []

    def start(executor, sequence, seeding=SEEDING):
        executor.start(sequence, seeding)
        started.append(executor)
        return executor

    yield start
    for executor in started:
        executor.check()
        executor.stop(5.0)


def executors(**options):
    return [InlineExecutor(**options), ThreadExecutor(2, **options)]


def kind(executor):
    return type(executor).__name__


def compute(executor, index=0):
    return answers_to(executor, [Ticket(0, index, index)])[0]


def stuck(run, folder, *, workers, submitted):
    """A thread executor whose workers all stand at a gate."""
    gate = Gate(folder)
    executor = run(ThreadExecutor(workers), Calls(gate.pass_through))
    for ticket in tickets(submitted):
        executor.submit(ticket)
    gate.wait_arrived(workers)
    return executor, gate


def our_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("seqloader-")]


@pytest.mark.parametrize("executor", executors(), ids=kind)
def test_without_copy_a_batch_is_the_object_that_getitem_returned(executor, run):
    sequence = Views()
    run(executor, sequence)

    compute(executor).open()["rows"][0][:] = -1

    assert sequence.memory[0].tolist() == [-1] * 4


@pytest.mark.parametrize("executor", executors(copy=True), ids=kind)
def test_with_copy_a_batch_shares_no_memory_with_the_sequence_nor_with_itself(executor, run):
    sequence = Views()
    run(executor, sequence)

    batch = compute(executor, 1).open()
    batch["rows"][0][:] = -1

    assert sequence.memory.tolist() == np.arange(12).reshape(3, 4).tolist()
    assert not np.shares_memory(*batch["twice"])


@pytest.mark.parametrize("executor", executors(copy=True), ids=kind)
def test_a_copy_is_taken_before_the_sequence_uses_its_buffer_again(executor, run):
    buffer = np.zeros(2)
    run(executor, Calls(lambda index: np.add(0, index, out=buffer)))

    outcomes = [compute(executor, index) for index in range(3)]

    assert [outcome.open()[0] for outcome in outcomes] == [0, 1, 2]


@pytest.mark.parametrize("executor", executors(), ids=kind)
def test_nbytes_counts_the_arrays_of_a_nest(executor, run):
    run(executor, Views())

    assert compute(executor).nbytes == 4 * 8 + 12 * 8 + 4 * 8


@pytest.mark.parametrize("executor", executors(copy=True), ids=kind)
def test_a_batch_that_contains_itself_is_no_harm(executor, run):
    def knot(index):
        batch = [index]
        batch.append(batch)
        return batch

    run(executor, Calls(knot))

    outcome = compute(executor, 5)
    batch = outcome.open()

    assert outcome.nbytes == 0
    assert batch[0] == 5
    assert batch[1] is batch


@pytest.mark.parametrize("executor", executors(), ids=kind)
def test_an_exception_is_the_very_object_and_keeps_its_traceback(executor, run):
    error = RuntimeError("mine")

    def fail(index):
        raise error

    run(executor, Calls(fail))
    outcome = compute(executor)

    assert outcome.error is error
    assert traceback.extract_tb(error.__traceback__)[-1].name == "fail"


@pytest.mark.parametrize("executor", executors(), ids=kind)
def test_batches_and_exceptions_die_with_their_last_reference(executor, run):
    class Note(Exception):
        pass

    def fail_or_not(index):
        if index:
            raise Note
        return np.zeros(10)

    run(executor, Calls(fail_or_not))
    alive = []
    gc.disable()
    try:
        # No helper: a traceback refers to the frames that were below it, and to their variables.
        for index in (0, 1):
            executor.submit(Ticket(0, index, index))
            executor.wait(DEADLINE_S)
            (outcome,) = executor.collect()
            alive.append(weakref.ref(outcome.error if index else outcome.open()))
        del outcome
        deadline = time.monotonic() + 5.0  # a thread is perhaps about to let go
        while any(ref() is not None for ref in alive) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert [ref() for ref in alive] == [None, None]
    finally:
        gc.enable()


def test_inline_computes_one_ticket_in_each_wait_the_oldest_first(run):
    asked = []
    executor = run(InlineExecutor(), Calls(asked.append))
    for index in (3, 1, 2):
        executor.submit(Ticket(0, index, index))

    assert asked == []
    executor.wait(None)
    executor.wait(None)  # the answer is not collected yet
    assert asked == [3]
    assert [outcome.ticket.index for outcome in executor.collect()] == [3]
    executor.wait(None)
    assert asked == [3, 1]


def test_inline_lets_ctrl_c_through_and_computes_the_ticket_again(run):
    interrupts = [KeyboardInterrupt]

    def interrupted_once(index):
        if interrupts:
            raise interrupts.pop()
        return index

    executor = run(InlineExecutor(), Calls(interrupted_once))
    executor.submit(Ticket(0, 0, 7))
    executor.submit(Ticket(0, 1, 8))

    with pytest.raises(KeyboardInterrupt):
        executor.wait(None)

    assert list(executor.collect()) == []
    assert [outcome.ticket.index for outcome in collect(executor, 2)] == [7, 8]


def test_inline_woken_or_killed_computes_nothing(run):
    asked = []
    executor = run(InlineExecutor(), Calls(asked.append))
    executor.submit(Ticket(0, 0, 0))

    executor.wake()
    executor.wait(None)
    assert asked == []
    executor.kill()
    executor.wait(None)
    assert asked == []


def test_inline_puts_the_global_generators_back(run):
    executor = run(InlineExecutor(), Calls(lambda index: random.random()))
    random.seed(5)
    expected = random.random()

    random.seed(5)
    drawn = [compute(executor, 3).open(), compute(executor, 3).open()]

    assert drawn[0] == drawn[1]
    assert random.random() == expected


def test_threads_leave_the_global_generators_alone(run):
    executor = run(ThreadExecutor(2), Calls(lambda index: index))
    random.seed(5)
    expected = random.random()

    random.seed(5)
    compute(executor, 3)

    assert random.random() == expected


def test_threads_start_with_start_and_are_gone_after_stop(run):
    executor = ThreadExecutor(3)
    assert our_threads() == []

    run(executor, Calls(lambda index: index))
    assert sorted(thread.name for thread in our_threads()) == [
        "seqloader-0",
        "seqloader-1",
        "seqloader-2",
    ]
    assert all(thread.daemon for thread in our_threads())

    executor.stop(5.0)
    assert our_threads() == []


def test_threads_compute_at_the_same_time(run):
    barrier = threading.Barrier(3, timeout=DEADLINE_S)
    executor = run(ThreadExecutor(3), Calls(lambda index: barrier.wait()))

    outcomes = answers_to(executor, tickets(3))

    assert len(open_all(outcomes)) == 3
    assert {outcome.slot for outcome in outcomes} == {0, 1, 2}


def test_dropping_the_executor_ends_its_threads():
    executor = ThreadExecutor(2)
    executor.start(Calls(lambda index: index), SEEDING)
    threads = our_threads()
    assert len(threads) == 2

    del executor

    for thread in threads:
        thread.join(DEADLINE_S)
    assert our_threads() == []


def test_a_thread_that_stop_left_behind_leaves_when_its_batch_ends(run, tmp_path):
    executor, gate = stuck(run, tmp_path, workers=2, submitted=10)
    threads = our_threads()

    executor.stop(0.05)
    assert len(our_threads()) == 2
    gate.open()
    for thread in threads:
        thread.join(DEADLINE_S)

    assert our_threads() == []
    assert gate.arrived() == gate.left()
    assert len(gate.left()) == 2  # the other tickets were never begun


def test_discard_waits_for_what_an_earlier_reset_left_being_computed(run, tmp_path):
    executor, gate = stuck(run, tmp_path, workers=2, submitted=2)

    executor.reset()
    discarding = threading.Thread(target=executor.discard, daemon=True)
    discarding.start()
    discarding.join(0.05)
    waited = discarding.is_alive()
    gate.open()
    discarding.join(DEADLINE_S)

    assert waited
    assert not discarding.is_alive()
    assert gate.left() == {0, 1}


def test_kill_frees_a_discard_that_waits_for_a_stuck_thread(run, tmp_path):
    executor, gate = stuck(run, tmp_path, workers=1, submitted=1)
    discarding = threading.Thread(target=executor.discard, daemon=True)
    discarding.start()

    executor.kill()
    discarding.join(DEADLINE_S)
    freed = not discarding.is_alive()
    gate.open()

    assert freed


def test_stop_may_be_called_from_a_worker(run):
    executor = ThreadExecutor(2)
    run(executor, Calls(lambda index: executor.stop(5.0)))
    threads = our_threads()

    executor.submit(Ticket(0, 0, 0))
    for thread in threads:
        thread.join(DEADLINE_S)

    assert our_threads() == []


def test_worker_init_runs_once_in_each_thread_before_its_first_batch(run):
    place = threading.local()
    slots = []

    def init(slot):
        place.slot = slot
        slots.append(slot)

    executor = run(ThreadExecutor(3, worker_init=init), Calls(lambda index: place.slot))
    outcomes = answers_to(executor, tickets(30))

    assert all(outcome.slot == outcome.open() for outcome in outcomes)
    executor.stop(5.0)
    assert sorted(slots) == [0, 1, 2]


@pytest.mark.parametrize("error", [OSError("no licence"), SystemExit(3)], ids=repr)
def test_worker_init_that_raises_is_a_start_error_with_its_cause(error, run):
    def init(slot):
        raise error

    executor = run(ThreadExecutor(2, worker_init=init), Calls(lambda index: index))
    executor.submit(Ticket(0, 0, 0))

    with pytest.raises(WorkerStartError, match="worker_init failed") as caught:
        within(DEADLINE_S, executor.wait, None)

    assert caught.value.__cause__ is error
    with pytest.raises(WorkerStartError):
        executor.collect()


def test_threads_that_cannot_be_started_are_reported_and_none_is_left(monkeypatch):
    begin = threading.Thread.start

    def refuse(thread):
        if thread.name == "seqloader-2":
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)

    with pytest.raises(WorkerStartError, match="only 2 of 4 threads"):
        ThreadExecutor(4).start(Calls(lambda index: index), SEEDING)
    assert our_threads() == []


def test_a_thread_executor_needs_a_worker_and_a_start():
    with pytest.raises(ValueError, match="at least one worker"):
        ThreadExecutor(0)
    executor = ThreadExecutor(1)
    executor.wake()
    executor.kill()
    with pytest.raises(RuntimeError, match="call start"):
        executor.submit(Ticket(0, 0, 0))


@pytest.fixture
def struck():
    """Calls a function; says whether an exception was raised inside it, at a random instant."""
    dice, armed = random.Random(3), []

    def strike(signum, frame):
        if armed:
            raise armed.pop()

    def call(function, error, within_s):
        signal.setitimer(signal.ITIMER_REAL, dice.uniform(1e-6, within_s))
        try:
            armed.append(error)
            function()
            armed.clear()
        except error:
            return True
        finally:
            armed.clear()
            signal.setitimer(signal.ITIMER_REAL, 0)
        return False

    previous = signal.signal(signal.SIGALRM, strike)
    yield call
    signal.signal(signal.SIGALRM, previous)


@pytest.mark.chaos
@pytest.mark.parametrize("executor", executors(), ids=kind)
def test_exceptions_raised_at_random_instants_in_wait_lose_and_double_nothing(
    executor, run, struck
):
    run(executor, Calls(lambda index: sum(range(300)) and index))
    answered = Counter()
    strikes = 0

    for position in range(2_000):
        executor.submit(Ticket(0, position, position))
        strikes += struck(lambda: executor.wait(1.0), KeyboardInterrupt, 6e-5)
        answered.update(outcome.ticket.index for outcome in executor.collect())
    left = 2_000 - answered.total()
    answered.update(outcome.ticket.index for outcome in collect(executor, left))

    assert strikes > 20
    assert answered == Counter(range(2_000))


class Torn(Exception):
    """Raised from a signal handler."""


@pytest.mark.chaos
def test_calls_torn_at_random_instants_are_mended_by_reset(run, struck):
    executor = run(ThreadExecutor(2), Calls(lambda index: index))
    strikes = 0

    def work():
        for ticket in tickets(5):
            executor.submit(ticket)
        executor.wait(1.0)
        list(executor.collect())
        executor.discard()

    for _ in range(300):
        strikes += struck(work, Torn, 3e-4)
        executor.reset()
        outcomes = answers_to(executor, tickets(5, first=1_000))
        assert set(open_all(outcomes)) == set(range(1_000, 1_005))
        within(DEADLINE_S, executor.discard)

    assert strikes > 20
