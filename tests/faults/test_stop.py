"""`stop()`: from anywhere, at any time, within its time, and nothing is left."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref
from pathlib import Path

import psutil
import pytest
from programs import Ends, run
from test_consumer_ends import CONSUMER
from victims import Full, HasChildren, Sleeper, value_of

from seqloader import OrderedEnqueuer
from seqloader.errors import EnqueuerStopped

WAKES_S = 0.5
SLACK_S = 0.5
"""What two busy cores may add to a time that is promised."""


def children() -> list[int]:
    return [child.pid for child in psutil.Process().children() if "-c" in child.cmdline()]


def wait_begun(folder: os.PathLike[str], count: int) -> None:
    deadline = time.monotonic() + 30
    while sum(name.startswith("begun-") for name in os.listdir(folder)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Blocked:
    """A thread that is inside `next()`, and what came of it."""

    def __init__(self, iterator: object) -> None:
        self._iterator = iterator
        self.error: BaseException | None = None
        self.ended_at = 0.0
        self.thread = threading.Thread(target=self._run, name="consumer")
        self.thread.start()

    def _run(self) -> None:
        try:
            for _ in self._iterator:
                pass
        except BaseException as error:
            self.error = error
        self.ended_at = time.monotonic()

    def join(self) -> None:
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_stop_in_another_thread_wakes_a_blocked_next(kind, tmp_path):
    enqueuer = OrderedEnqueuer(Sleeper(tmp_path, seconds=3.0), workers=2, executor=kind)
    blocked = Blocked(iter(enqueuer))
    wait_begun(tmp_path, 2)
    time.sleep(0.05)  # into the wait: nothing says that a thread is in there

    stopped_at = time.monotonic()
    enqueuer.stop(timeout=1.0)
    blocked.join()

    assert type(blocked.error) is EnqueuerStopped
    assert blocked.ended_at - stopped_at < WAKES_S + SLACK_S
    assert not enqueuer.is_running()
    assert children() == []
    if kind == "thread":
        time.sleep(3.2)  # a thread cannot be killed: it ends with its batch


def test_stop_in_another_thread_ends_a_blocked_get_as_an_iterator_ends(tmp_path):
    enqueuer = OrderedEnqueuer(Sleeper(tmp_path), workers=2)
    blocked = Blocked(enqueuer.get())
    wait_begun(tmp_path, 2)
    time.sleep(0.05)

    stopped_at = time.monotonic()
    enqueuer.stop(timeout=1.0)
    blocked.join()

    assert blocked.error is None
    assert blocked.ended_at - stopped_at < WAKES_S + SLACK_S


@pytest.mark.parametrize("timeout_s", [0.0, 0.3, 1.0])
def test_stop_with_busy_workers_returns_in_time_with_no_child(timeout_s, tmp_path):
    enqueuer = OrderedEnqueuer(Sleeper(tmp_path), workers=3)
    enqueuer.start()
    iter(enqueuer)
    wait_begun(tmp_path, 3)

    begun = time.monotonic()
    enqueuer.stop(timeout=timeout_s)
    took_s = time.monotonic() - begun

    assert took_s < timeout_s + SLACK_S
    assert children() == []


def test_stop_lets_idle_workers_leave_by_themselves(tmp_path):
    enqueuer = OrderedEnqueuer(Full(), workers=2, worker_init=_leaves_a_note(tmp_path))
    list(enqueuer)

    begun = time.monotonic()
    enqueuer.stop()

    assert time.monotonic() - begun < 2.0
    assert len(list(tmp_path.glob("left-*"))) == 2


def _leaves_a_note(folder):
    def init(slot):
        import atexit

        atexit.register((folder / f"left-{slot}").touch)

    return init


def test_stop_takes_along_what_workers_have_started(tmp_path):
    enqueuer = OrderedEnqueuer(HasChildren(tmp_path, "go on"), workers=1)
    list(enqueuer)
    child = int((tmp_path / "child").read_text().split()[1])

    with Ends([child]) as ends:
        enqueuer.stop()

        assert ends.left_after(1.0) == []


def test_stop_before_start_and_twice_does_nothing():
    enqueuer = OrderedEnqueuer(Full(), workers=2)
    enqueuer.stop()
    enqueuer.stop(timeout=0)
    assert not enqueuer.is_running()

    enqueuer.start()
    enqueuer.stop()
    enqueuer.stop()
    enqueuer.close()

    assert not enqueuer.is_running()
    assert children() == []


def test_start_after_stop_works_again(tmp_path):
    enqueuer = OrderedEnqueuer(Full(), workers=2)
    for epoch in range(3):
        assert enqueuer.epoch == epoch
        enqueuer.start()
        assert [value_of(batch) for batch in enqueuer] == list(range(12))
        enqueuer.stop()
        assert children() == []


def test_stop_of_busy_workers_does_not_spoil_the_next_start(tmp_path):
    enqueuer = OrderedEnqueuer(Sleeper(tmp_path, slow={3}), workers=2)
    iterator = iter(enqueuer)
    assert [value_of(next(iterator)) for _ in range(3)] == [0, 1, 2]
    wait_begun(tmp_path, 1)
    enqueuer.stop(timeout=0.2)
    enqueuer.sequence = Full()

    assert [value_of(batch) for batch in enqueuer] == list(range(12))
    with pytest.raises(EnqueuerStopped):
        next(iterator)
    enqueuer.stop()


@pytest.mark.parametrize("where", ["body", "next"])
def test_stop_from_a_signal_handler(where, tmp_path):
    enqueuer = OrderedEnqueuer(Sleeper(tmp_path, slow={2}), workers=2)
    before = signal.signal(signal.SIGALRM, lambda *_: enqueuer.stop(timeout=1.0))
    try:
        iterator = iter(enqueuer)
        assert [value_of(next(iterator)) for _ in range(2)] == [0, 1]
        wait_begun(tmp_path, 1)
        if where == "body":
            signal.raise_signal(signal.SIGALRM)
        else:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
        begun = time.monotonic()
        with pytest.raises(EnqueuerStopped):
            next(iterator)

        assert time.monotonic() - begun < 2.0
        enqueuer.stop()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not enqueuer.is_running()
    assert children() == []


class _Stops(Full):
    enqueuer: OrderedEnqueuer

    def on_epoch_end(self) -> None:
        self.enqueuer.stop(timeout=1.0)


def test_stop_from_a_hook():
    sequence = _Stops()
    enqueuer = OrderedEnqueuer(sequence, workers=2)
    _Stops.enqueuer = enqueuer

    assert [value_of(batch) for batch in enqueuer] == list(range(12))

    assert not enqueuer.is_running()
    assert children() == []
    del _Stops.enqueuer


def test_stops_from_many_threads_at_once(tmp_path):
    enqueuer = OrderedEnqueuer(Sleeper(tmp_path), workers=2)
    blocked = Blocked(iter(enqueuer))
    wait_begun(tmp_path, 2)
    stoppers = [threading.Thread(target=enqueuer.stop, args=(1.0,)) for _ in range(8)]

    for stopper in stoppers:
        stopper.start()
    for stopper in stoppers:
        stopper.join(10)
    blocked.join()

    assert not any(stopper.is_alive() for stopper in stoppers)
    assert type(blocked.error) is EnqueuerStopped
    enqueuer.stop()
    assert children() == []


# --- dropped ---------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["started", "mid-epoch", "after an epoch", "busy"])
def test_last_reference_dropped_stops_the_workers(state, tmp_path):
    sequence = Sleeper(tmp_path) if state == "busy" else Full()
    enqueuer = OrderedEnqueuer(sequence, workers=2)
    enqueuer.start()
    if state == "mid-epoch":
        next(iter(enqueuer))
    elif state == "after an epoch":
        list(enqueuer)
    elif state == "busy":
        iter(enqueuer)
        wait_begun(tmp_path, 2)
    workers = children()

    with Ends(workers) as ends:
        reference = weakref.ref(enqueuer)
        begun = time.monotonic()
        del enqueuer
        took_s = time.monotonic() - begun

        assert reference() is None
        assert len(workers) == 2
        assert ends.left_after(2.0) == []
    assert took_s < 1.0
    assert children() == []


def test_iterator_that_is_abandoned_keeps_nothing_alive():
    workers = []
    for _ in range(3):
        iterator = iter(OrderedEnqueuer(Full(1000), workers=1))
        assert value_of(next(iterator)) == 0
        workers += children()[-1:]
        del iterator
    gc.collect()

    with Ends(workers) as ends:
        assert ends.left_after(2.0) == []


def test_exception_in_the_loop_stops_the_workers_when_its_traceback_is_gone():
    def loop() -> None:
        for batch in OrderedEnqueuer(Full(), workers=2):
            raise LookupError(value_of(batch))

    with pytest.raises(LookupError):
        loop()
    gc.collect()

    assert children() == []


def test_enqueuer_in_a_cycle_is_stopped_by_the_collector():
    enqueuer = OrderedEnqueuer(Full(), workers=2)
    enqueuer.itself = enqueuer
    next(iter(enqueuer))
    workers = children()

    with Ends(workers) as ends:
        del enqueuer
        gc.collect()

        assert ends.left_after(2.0) == []


def test_batches_outlive_the_enqueuer():
    kept = list(OrderedEnqueuer(Full(20, nbytes=1 << 18), workers=2))
    gc.collect()

    assert [value_of(batch) for batch in kept] == list(range(20))
    kept[3][...] = -1
    assert (kept[4] == 4).all()


# --- again and again -------------------------------------------------------------------------


def holdings() -> tuple[int, int, int, int]:
    """Descriptors, threads, children, mappings of this process, of no test before this one."""
    gc.collect()
    maps = Path("/proc/self/maps").read_text().count("seqloader")
    return len(os.listdir("/proc/self/fd")), threading.active_count(), len(children()), maps


def cycles(count: int) -> list[tuple[int, int, int, int]]:
    seen = []
    for number in range(count):
        enqueuer = OrderedEnqueuer(Full(nbytes=1 << 16), workers=2)
        enqueuer.start()
        iterator = iter(enqueuer)
        batches = [value_of(next(iterator)) for _ in range(number % 12)]
        assert batches == list(range(number % 12))
        enqueuer.stop()
        del iterator, enqueuer
        seen.append(holdings())
    return seen


@pytest.mark.slow
@pytest.mark.limit(180)
def test_fifty_starts_and_stops_leave_nothing():
    before = holdings()

    assert set(cycles(50)) == {before}


@pytest.mark.soak
@pytest.mark.limit(300)
def test_two_hundred_starts_and_stops_leave_nothing():
    process = psutil.Process()
    cycles(20)
    before, rss = holdings(), process.memory_info().rss

    seen = set(cycles(200))

    assert seen == {before}
    assert process.memory_info().rss < rss + (8 << 20)


def test_three_hundred_epochs_keep_the_same_workers_and_leave_nothing():
    process = psutil.Process()
    with OrderedEnqueuer(Full(20, nbytes=1 << 14), workers=2) as enqueuer:
        while len([s for s in enqueuer.stats().busy_s.values() if s]) < 2:  # both have started
            assert len([value_of(batch) for batch in enqueuer]) == 20
        workers, before, rss = children(), holdings(), process.memory_info().rss
        for _ in range(300):
            assert len([value_of(batch) for batch in enqueuer]) == 20

        assert children() == workers
        assert holdings()[:3] == before[:3]
        assert process.memory_info().rss < rss + (8 << 20)


def test_stop_at_exit_handlers_works(tmp_path):
    completed = run(
        CONSUMER + "import atexit\n"
        "enqueuer = OrderedEnqueuer(Full(), workers=2)\n"
        "atexit.register(lambda: (enqueuer.stop(), tell(len(workers()))))\n"
        "next(iter(enqueuer))\n",
        tmp_path,
    )

    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "0\n", "")
