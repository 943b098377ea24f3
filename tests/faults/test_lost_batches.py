"""Batches whose worker dies every time, workers killed from outside, and what is said about it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
import time
import warnings

import numpy as np
import psutil
import pytest
from deaths import worker_deaths
from programs import Ends
from victims import Blow, Full, Victim, strike, value_of

from seqloader import OrderedEnqueuer
from seqloader.errors import SeqloaderWarning, WorkerLostError, WorkerLostWarning, WorkerStartError

POISON = 5


def workers_of_this_process() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # another thread has reaped it
            if child.status() != psutil.STATUS_ZOMBIE and "-c" in child.cmdline():
                found.append(child)
    return found


def kill_all_workers(signum: int = signal.SIGKILL) -> int:
    """Kill them and return how many there were, when they have ended."""
    workers = workers_of_this_process()
    with Ends([worker.pid for worker in workers]) as ends:
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.send_signal(signum)
        assert ends.left_after(10) == []
    return len(workers)


def lost_warnings(caught: list[warnings.WarningMessage]) -> list[str]:
    return [str(w.message) for w in caught if issubclass(w.category, WorkerLostWarning)]


# --- poison ---------------------------------------------------------------------------------


def test_poison_batch_is_an_error_in_its_place_with_every_fact(tmp_path):
    enqueuer = OrderedEnqueuer(Victim(Blow("SIGKILL", tmp_path, None), {POISON}), workers=2)
    delivered = []

    with worker_deaths(), pytest.raises(WorkerLostError) as caught:
        for batch in enqueuer:
            delivered.append(value_of(batch))

    error = caught.value
    assert delivered == [0, 1, 2, 3, 4]
    assert (error.epoch, error.position, error.index, error.attempts) == (0, POISON, POISON, 3)
    assert (error.exitcode, error.signal, error.reason) == (-9, signal.SIGKILL, "died")
    assert error.pid != os.getpid() and not psutil.pid_exists(error.pid)
    assert error.peak_rss_bytes is None or 1 << 20 < error.peak_rss_bytes < 1 << 32
    for fact in ("batch 5", "3 times", f"pid {error.pid}", "SIGKILL", "compute(5, epoch=0)"):
        assert fact in str(error)
    assert not enqueuer.is_running()


def test_lost_error_survives_pickling_with_its_fields(tmp_path):
    enqueuer = OrderedEnqueuer(
        Victim(Blow("os._exit", tmp_path, None), {0}), workers=1, crash_retries=0
    )
    with pytest.raises(WorkerLostError) as caught, worker_deaths():
        next(iter(enqueuer))

    copy = pickle.loads(pickle.dumps(caught.value))

    assert type(copy) is WorkerLostError
    assert (str(copy), vars(copy)) == (str(caught.value), vars(caught.value))
    assert (copy.exitcode, copy.signal) == (4, None)


@pytest.mark.parametrize("crash_retries", [0, 1, 4])
def test_crash_retries_are_the_tries_beyond_the_first(crash_retries, tmp_path):
    blow = Blow("SIGKILL", tmp_path, None)
    enqueuer = OrderedEnqueuer(Victim(blow, {POISON}), workers=2, crash_retries=crash_retries)

    with (
        worker_deaths(),
        pytest.raises(WorkerLostError) as caught,
    ):
        list(enqueuer)

    assert caught.value.attempts == blow.fallen() == crash_retries + 1


def test_poison_batches_can_be_skipped(tmp_path):
    enqueuer = OrderedEnqueuer(
        Victim(Blow("SIGSEGV", tmp_path, None), {2, POISON}),
        workers=2,
        crash_retries=1,
        on_error="skip",
    )

    with enqueuer, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        delivered = [value_of(batch) for batch in enqueuer]

    said = [str(w.message) for w in caught if w.category is SeqloaderWarning]
    assert delivered == [0, 1, 3, 4, 6, 7, 8, 9, 10, 11]
    assert enqueuer.stats().skipped == 2
    assert len(said) == 1 and "batch 2 " in said[0] and "SIGSEGV" in said[0]
    assert len(lost_warnings(caught)) == 4  # two tries for each


# --- from outside ---------------------------------------------------------------------------


@pytest.mark.fixed_size
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV], ids=lambda s: s.name)
def test_all_workers_killed_at_once_cost_no_batch(signum):
    enqueuer = OrderedEnqueuer(Full(40), workers=3)
    with enqueuer, worker_deaths():
        iterator = iter(enqueuer)
        delivered = [value_of(next(iterator)) for _ in range(10)]
        killed = kill_all_workers(signum)

        delivered += [value_of(batch) for batch in iterator]

    assert killed == 3
    assert delivered == list(range(40))
    assert enqueuer.stats().respawns == 3


@pytest.mark.fixed_size
def test_workers_killed_again_and_again_cost_no_batch():
    enqueuer = OrderedEnqueuer(Full(60, nbytes=1 << 16), workers=2, max_queue_size=4)
    killed, delivered = 0, []
    with enqueuer, worker_deaths():
        for batch in enqueuer:
            delivered.append(value_of(batch))
            if len(delivered) % 20 == 10:
                killed += kill_all_workers()

    assert delivered == list(range(60))
    assert (killed, enqueuer.stats().respawns) == (6, 6)


def test_workers_killed_between_epochs_cost_nothing():
    enqueuer = OrderedEnqueuer(Full(8), workers=2)
    with enqueuer, worker_deaths(match="held no batch"):
        first = [value_of(batch) for batch in enqueuer]
        killed = kill_all_workers()
        second = [value_of(batch) for batch in enqueuer]

    assert killed == 2
    assert first == second == list(range(8))
    assert enqueuer.stats().respawns == 2


def test_workers_killed_after_a_loop_was_left_early_cost_nothing():
    enqueuer = OrderedEnqueuer(Full(40), workers=2, max_queue_size=8)
    with enqueuer, worker_deaths():
        for batch in enqueuer:
            if value_of(batch) == 5:
                break
        kill_all_workers()

        delivered = [value_of(batch) for batch in enqueuer]

    assert delivered == list(range(40))


def test_workers_that_die_while_the_rest_of_an_epoch_is_dropped_cost_nothing(tmp_path):
    blow = Blow("SIGKILL", tmp_path, 2)
    enqueuer = OrderedEnqueuer(_DiesSlowly(blow, {3, 4}), workers=2)
    with enqueuer, worker_deaths():
        assert value_of(next(iter(enqueuer))) == 0

        delivered = [[value_of(batch) for batch in enqueuer] for _ in range(2)]

    assert blow.fallen() == 2
    assert delivered == [list(range(12))] * 2


class _DiesSlowly(Victim):
    def __getitem__(self, index: int) -> object:
        if index in self.indices:
            time.sleep(0.1)
        return super().__getitem__(index)


def test_two_threads_that_take_turns_miss_no_batch_when_workers_are_killed():
    enqueuer = OrderedEnqueuer(Full(200), workers=2, max_queue_size=4)
    taken: list[list[int]] = [[], []]

    def take(mine: list[int]) -> None:
        for batch in iterator:
            mine.append(value_of(batch))
            if mine[-1] in (30, 90, 150):
                kill_all_workers()

    with enqueuer, warnings.catch_warnings():
        warnings.simplefilter("ignore", WorkerLostWarning)
        iterator = iter(enqueuer)
        threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert enqueuer.stats().respawns >= 2  # later kills may find everything computed already
    assert sorted(taken[0] + taken[1]) == list(range(200))
    assert all(mine == sorted(mine) for mine in taken)


@pytest.mark.parametrize("how", ["os._exit", "SIGKILL", "SIGSEGV"])
def test_forked_worker_that_dies_costs_no_batch(how, tmp_path):
    enqueuer = OrderedEnqueuer(
        Victim(Blow(how, tmp_path, 2), {3, 8}), workers=2, start_method="fork"
    )
    with enqueuer, worker_deaths():
        delivered = [[value_of(batch) for batch in enqueuer] for _ in range(2)]

    assert delivered == [list(range(12))] * 2
    assert enqueuer.stats().respawns == 2


@pytest.mark.parametrize("how", ["raise", "sys.exit"])
def test_new_state_that_cannot_be_loaded_is_an_error_of_its_epoch(how, tmp_path):
    enqueuer = OrderedEnqueuer(_BreaksItsState(how), workers=2)
    with enqueuer:
        assert [value_of(batch) for batch in enqueuer] == list(range(12))

        with pytest.raises(WorkerStartError):
            list(enqueuer)

        assert not enqueuer.is_running()


def test_worker_that_dies_whenever_it_loads_new_state_is_an_error_of_its_epoch(tmp_path):
    enqueuer = OrderedEnqueuer(_BreaksItsState("SIGKILL"), workers=2)
    with enqueuer, worker_deaths():
        assert [value_of(batch) for batch in enqueuer] == list(range(12))

        with pytest.raises((WorkerStartError, WorkerLostError)):
            list(enqueuer)

        assert not enqueuer.is_running()


class _BreaksItsState(Full):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.broken = False

    def on_epoch_end(self) -> None:
        self.broken = True

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if self.broken:
            strike(self.how)


def test_workers_killed_before_the_first_batch_is_asked_for_cost_nothing():
    enqueuer = OrderedEnqueuer(Full(8), workers=2)
    enqueuer.start()
    killed = kill_all_workers()

    with enqueuer, worker_deaths():
        delivered = [value_of(batch) for batch in enqueuer]

    assert (killed, delivered) == (2, list(range(8)))


def test_batches_held_keep_their_contents_when_their_worker_dies():
    enqueuer = OrderedEnqueuer(Full(30, nbytes=1 << 20), workers=2, max_queue_size=2)
    held = []
    with enqueuer, worker_deaths():
        for batch in enqueuer:
            held.append(batch)
            if len(held) in (5, 15):
                kill_all_workers()
        for number, batch in enumerate(held):
            batch[:3] = -number  # they are the consumer's, and writable

        again = [value_of(batch) for batch in enqueuer]

    assert again == list(range(30))
    for number, batch in enumerate(held):
        assert (batch[:3] == -number).all()
        assert (batch[3:] == number).all()


def test_slices_of_held_batches_keep_their_contents_when_their_worker_dies():
    enqueuer = OrderedEnqueuer(Full(30, nbytes=1 << 20), workers=2, max_queue_size=2)
    kept = []
    with enqueuer, worker_deaths():
        for batch in enqueuer:
            kept.append(batch[100:200].reshape(2, 50).T)
            del batch
            if len(kept) == 10:
                kill_all_workers()

    assert all((part == number).all() for number, part in enumerate(kept))


# --- what is said ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV", "SIGBUS", "SIGABRT"])
def test_one_warning_for_each_death_names_batch_and_signal(how, tmp_path):
    enqueuer = OrderedEnqueuer(Victim(Blow(how, tmp_path, 2), {POISON, 8}), workers=2)

    with enqueuer, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        delivered = [value_of(batch) for batch in enqueuer]

    said = lost_warnings(caught)
    assert delivered == list(range(12))
    assert len(said) == len(caught) == enqueuer.stats().respawns == 2
    assert all(how in text and ("batch 5 " in text or "batch 8 " in text) for text in said)


def test_warning_that_a_filter_makes_an_error_costs_no_batch(tmp_path):
    enqueuer = OrderedEnqueuer(Victim(Blow("SIGKILL", tmp_path), {POISON}), workers=2)
    delivered, warned = [], []
    with enqueuer:
        iterator = iter(enqueuer)
        while len(delivered) < 12:
            try:
                delivered.append(value_of(next(iterator)))
            except WorkerLostWarning as warning:  # as the tests' own filters have it
                warned.append(str(warning))

    assert len(warned) == 1 and "batch 5 " in warned[0]
    assert delivered == list(range(12))


def test_random_numbers_of_a_batch_are_the_same_after_a_crash(tmp_path):
    def numbers(sequence: object) -> list[list[float]]:
        with OrderedEnqueuer(sequence, workers=2, seed=7, shuffle=True) as enqueuer:
            return [batch.tolist() for batch in enqueuer]

    undisturbed = numbers(_RandomVictim(Blow("SIGKILL", tmp_path, 0), {POISON}))
    with worker_deaths():
        disturbed = numbers(_RandomVictim(Blow("SIGKILL", tmp_path, 1), {POISON}))

    assert disturbed == undisturbed
    assert len({tuple(batch) for batch in disturbed}) == 12


class _RandomVictim(Victim):
    def __getitem__(self, index: int) -> object:
        drawn = np.random.random(4)
        super().__getitem__(index)
        return np.append(drawn, np.random.random())
