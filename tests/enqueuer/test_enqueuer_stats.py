"""`stats()`, and the one warning of a consumer that waits long."""

from __future__ import annotations

import dataclasses
import threading
import time
import warnings

import numpy as np
import pytest
from sequences_for_tests import Faults, Held, Holes, Numbers, RandomKilledOnce

from seqloader import Sequence, SlowBatchWarning, Stats, WorkerLostWarning
from seqloader.run.epochs import Epochs
from seqloader.stats.counters import SLOWEST_KEPT


def test_stats_before_start_are_zero(make):
    stats = make(Numbers()).stats()

    assert isinstance(stats, Stats)
    told = {each.name: getattr(stats, each.name) for each in dataclasses.fields(stats)}
    assert (told.pop("epoch"), told.pop("number"), told.pop("slowest")) == (None, None, ())
    assert told.pop("busy_s") == {}
    assert set(told.values()) == {0}
    assert (stats.waited_share, stats.batches_per_s) == (0.0, 0.0)


def test_stats_are_a_snapshot_that_nobody_can_change(make, take):
    enqueuer = make(Numbers())
    take(enqueuer, 3)
    stats = enqueuer.stats()

    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.delivered = 0
    with pytest.raises(TypeError):
        stats.busy_s[0] = 0.0
    list(enqueuer)

    assert stats.delivered == 3
    assert enqueuer.stats().delivered == 103


def test_what_was_delivered_is_counted_over_epochs_and_restarts(make, take):
    enqueuer = make(Numbers(length=5))

    list(enqueuer)
    enqueuer.stop()
    take(enqueuer.get(), 7)

    stats = enqueuer.stats()
    assert stats.delivered == 12
    assert stats.nbytes >= 12 * 48
    assert (stats.skipped, stats.retried, stats.respawns) == (0, 0, 0)
    assert stats.waited_s >= 0.0


def test_batches_computed_ahead_count_where_their_time_does(make):
    enqueuer = make(Numbers(length=5))
    for _ in range(4):
        list(enqueuer)
        stats = enqueuer.stats()
        assert stats.computed >= stats.delivered
        assert stats.epoch is not None
        assert (stats.epoch.computed == 0) == (sum(stats.epoch.busy_s.values()) == 0.0)


def test_none_batches_are_not_counted_as_delivered(make):
    enqueuer = make(Holes(length=8))

    list(enqueuer)

    assert enqueuer.stats().delivered == 4


def test_a_batch_that_was_peeked_at_is_not_delivered_yet(make):
    enqueuer = make(Numbers(length=5))

    enqueuer.peek()
    assert enqueuer.stats().delivered == 0
    next(iter(enqueuer))
    assert enqueuer.stats().delivered == 1
    enqueuer.peek()
    enqueuer.stop()

    assert enqueuer.stats().delivered == 1


def test_in_flight_is_what_was_issued_and_not_delivered(make, take):
    enqueuer = make(Numbers(length=9), max_queue_size=4)
    iterator = iter(enqueuer)

    seen = [enqueuer.stats().in_flight]
    for _ in iterator:
        seen.append(enqueuer.stats().in_flight)

    assert seen == [4, 4, 4, 4, 4, 4, 3, 2, 1, 0]


def test_busy_time_is_told_by_worker(make_any, gate):
    enqueuer = make_any(Held(gate, held=[0, 1]))
    iterator = iter(enqueuer)
    gate.wait_arrived(2)  # each worker has one
    gate.open()
    list(iterator)

    busy_s = enqueuer.stats().busy_s

    assert set(busy_s) == {0, 1}
    assert all(seconds > 0 for seconds in busy_s.values())


def test_deaths_and_retries_are_counted(make_any, tmp_path):
    enqueuer = make_any(RandomKilledOnce(tmp_path))
    with pytest.warns(WorkerLostWarning):
        list(enqueuer)
    assert (enqueuer.stats().respawns, enqueuer.stats().retried) == (1, 1)

    enqueuer = make_any(Faults(tmp_path, bad=[1], times=2), retries=2)
    list(enqueuer)
    assert (enqueuer.stats().respawns, enqueuer.stats().retried) == (0, 2)
    assert (enqueuer.stats().delivered, enqueuer.stats().computed) == (8, 10)


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_stats_may_be_asked_by_another_thread_while_the_consumer_waits(make_any, gate, kind):
    enqueuer = make_any(Held(gate, held=[2]), executor=kind, max_queue_size=4)
    asked = []

    def ask():
        gate.wait_arrived(1)
        asked.append(enqueuer.stats())
        gate.open()

    asking = threading.Thread(target=ask)
    asking.start()
    assert list(enqueuer) == list(range(8))
    asking.join()

    assert 0 <= asked[0].delivered <= 2
    assert 0 <= asked[0].in_flight <= 5  # four ahead of the one that is asked for


def test_seconds_waited_are_counted(make_any, gate):
    enqueuer = make_any(Held(gate), executor="thread")
    iterator = iter(enqueuer)
    gate.wait_arrived(1)

    threading.Timer(0.05, gate.open).start()
    next(iterator)

    assert 0.02 < enqueuer.stats().waited_s < 20


# --- The warning ------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch):
    """impatient(): from now on the consumer says after 0.05 s what it would after a minute."""
    return lambda: monkeypatch.setattr(Epochs, "patience_s", 0.05)


def wait_for_the_warning(call, gate, monkeypatch):
    """What `call` returns, where the gate opens some time after the first warning."""
    shown = []

    def show(message, category, filename, lineno, file=None, line=None):
        shown.append((message, filename))
        threading.Timer(0.2, gate.open).start()  # time for a second one, which must not come

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", show)
        returned = call()
    return returned, shown


@pytest.mark.parametrize("begin", [iter, lambda e: e.get()], ids=["for", "get"])
def test_a_long_wait_warns_once_naming_index_worker_and_pid(
    make_any, gate, impatient, monkeypatch, children, begin
):
    enqueuer = make_any(Held(gate, held=[1]), shuffle=True, seed=1)
    iterator = begin(enqueuer)
    position = 0
    while next_index(enqueuer, position) != 1:
        next(iterator)
        position += 1
    gate.wait_arrived(1)
    impatient()

    batch, shown = wait_for_the_warning(lambda: next(iterator), gate, monkeypatch)

    assert batch == 1
    [(message, filename)] = shown
    assert isinstance(message, SlowBatchWarning)
    assert f"batch 1 (epoch 0, position {position})" in str(message)
    assert "worker" in str(message) and "timeout_s" in str(message)
    assert any(f"pid {child.pid}" in str(message) for child in children())
    assert filename == __file__


def next_index(enqueuer, position):
    from seqloader.order import Plan

    return Plan(8, True, enqueuer.seed, 0).index(position)


def test_a_long_wait_for_a_thread_warns_too(make_any, gate, impatient, monkeypatch):
    enqueuer = make_any(Held(gate), executor="thread")
    iterator = iter(enqueuer)
    gate.wait_arrived(1)
    impatient()

    batch, shown = wait_for_the_warning(lambda: next(iterator), gate, monkeypatch)

    assert batch == 0
    [(message, _)] = shown
    assert "batch 0 (epoch 0, position 0): worker thread" in str(message)
    assert "computes it" in str(message)


def test_an_epoch_left_early_says_which_thread_its_end_waits_for(
    make_any, gate, impatient, monkeypatch
):
    enqueuer = make_any(Held(gate, held=[1]), executor="thread")
    assert next(iter(enqueuer)) == 0
    gate.wait_arrived(1)
    impatient()

    again, shown = wait_for_the_warning(lambda: iter(enqueuer), gate, monkeypatch)

    [(message, filename)] = shown
    assert isinstance(message, SlowBatchWarning)
    assert "epoch 0 was left early" in str(message)
    assert "computes batch 1 (epoch 0)" in str(message) and "worker thread" in str(message)
    assert filename == __file__
    assert list(again) == list(range(8))


def test_a_batch_that_is_there_is_not_warned_about(make_any, gate, impatient):
    enqueuer = make_any(Held(gate), executor="inline")
    threading.Timer(0.15, gate.open).start()
    impatient()

    assert list(enqueuer) == list(range(8))  # warnings are errors here


def test_a_warning_that_is_an_error_loses_no_batch(make_any, gate, impatient):
    enqueuer = make_any(Held(gate))
    iterator = iter(enqueuer)
    gate.wait_arrived(1)
    impatient()

    with pytest.raises(SlowBatchWarning):
        next(iterator)
    gate.open()

    assert list(iterator) == list(range(8))


@pytest.mark.parametrize("begin", [iter, lambda e: e.get()], ids=["for", "get"])
def test_an_epoch_whose_first_batch_was_asked_for_in_vain_has_an_end(
    make_any, gate, impatient, begin
):
    ends = []

    class Ending(Held):
        def on_epoch_end(self):
            ends.append(1)

    enqueuer = make_any(Ending(gate), executor="thread")
    iterator = begin(enqueuer)
    impatient()
    with pytest.raises(SlowBatchWarning):
        next(iterator)
    gate.open()

    enqueuer.stop()

    assert ends == [1]


def test_bytes_are_those_of_the_batches_delivered(make_any):
    enqueuer = make_any(np.zeros((5, 100_000)), executor="thread")

    list(enqueuer)

    assert enqueuer.stats().nbytes == 5 * 800_000


# --- The three times, and the epoch -------------------------------------------------------


class Sleeping(Sequence):
    """A batch takes 20 ms at least."""

    def __init__(self, length=6):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        time.sleep(0.02)
        return index


def test_waiting_handing_over_and_the_loop_add_up_to_the_epoch(make):
    enqueuer = make(Sleeping())

    begun = time.monotonic()
    for _ in enqueuer:
        time.sleep(0.005)
    took_s = time.monotonic() - begun

    stats = enqueuer.stats().epoch
    span_s = stats.waited_s + stats.handed_s + stats.loop_s
    assert stats.number == 0
    assert stats.delivered == 6
    assert stats.loop_s >= 5 * 0.005  # the last pass through the loop is not followed by a batch
    assert stats.handed_s > 0.0
    assert span_s <= took_s
    assert stats.batches_per_s == pytest.approx(6 / span_s)
    assert stats.waited_share == pytest.approx(stats.waited_s / span_s)


def test_an_epoch_counts_for_itself_and_the_whole_for_all(make, take):
    enqueuer = make(Numbers(length=5))
    assert enqueuer.stats().epoch is None

    list(enqueuer)
    assert enqueuer.stats().epoch.delivered == 5
    assert enqueuer.stats().epoch.number == 0
    take(enqueuer, 2)

    whole = enqueuer.stats()
    assert (whole.delivered, whole.epoch.delivered, whole.epoch.number) == (7, 2, 1)
    assert whole.epoch.nbytes < whole.nbytes
    assert whole.number is None and whole.epoch.epoch is None


def test_epochs_of_a_stream_do_not_count_each_others_time(make, take):
    enqueuer = make(Sleeping(length=3))
    stream = enqueuer.get()

    take(stream, 3)
    first = enqueuer.stats()
    take(stream, 1)
    second = enqueuer.stats()

    assert (second.epoch.number, second.epoch.delivered) == (1, 1)
    assert second.epoch.waited_s <= second.waited_s - first.waited_s


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_waits_of_workers_are_no_cpu_time(make_any, kind):
    enqueuer = make_any(Sleeping(), executor=kind)

    list(enqueuer)

    epoch = enqueuer.stats().epoch
    assert sum(epoch.busy_s.values()) >= 6 * 0.02
    assert 0.0 <= epoch.cpu_s < sum(epoch.busy_s.values())
    assert epoch.encoded_s >= 0.0


def test_cpu_time_is_that_of_all_starts(make_any):
    enqueuer = make_any(Computing(), workers=1)
    list(enqueuer)
    enqueuer.stop()
    after_one = enqueuer.stats().cpu_s
    list(enqueuer)

    assert after_one >= 3 * 0.02
    assert enqueuer.stats().cpu_s >= after_one + 3 * 0.02
    assert enqueuer.stats().epoch.cpu_s < enqueuer.stats().cpu_s


class Computing(Sequence):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        end_s = time.process_time() + 0.025
        while time.process_time() < end_s:
            pass
        return index


def test_the_slowest_batches_of_an_epoch_are_named_slowest_first(make):
    enqueuer = make(Sleeping())

    list(enqueuer)

    slowest = enqueuer.stats().epoch.slowest
    assert {slow.index for slow in slowest} == {*range(6)}
    seconds = [slow.seconds for slow in slowest]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] >= 0.02


def test_as_many_slow_batches_are_kept_as_are_looked_at(make):
    enqueuer = make(Numbers(length=100))

    list(enqueuer)

    assert len(enqueuer.stats().epoch.slowest) == SLOWEST_KEPT
    assert len({slow.index for slow in enqueuer.stats().epoch.slowest}) == SLOWEST_KEPT


def test_waiting_while_the_window_is_full_is_counted_apart(make_any, gate, opens):
    enqueuer = make_any(Held(gate, held=[0], length=20), workers=2, max_queue_size=3)
    iterator = iter(enqueuer)

    opens(enqueuer, lambda: len(enqueuer._run.epochs.epoch.window.arrived) == 3)  # it is full
    next(iterator)

    stats = enqueuer.stats()
    assert 0.0 < stats.blocked_s <= stats.first_s <= stats.waited_s
    list(iterator)


def test_scalars_are_a_flat_dictionary_of_floats(make):
    enqueuer = make(Numbers(length=5))
    list(enqueuer)

    scalars = enqueuer.stats().as_scalars()

    assert scalars["seqloader/delivered"] == scalars["seqloader/epoch/delivered"] == 5.0
    assert scalars["seqloader/epoch/number"] == 0.0
    assert all(type(value) is float for value in scalars.values())
    assert set(enqueuer.stats().as_scalars(prefix="")) == {
        name.removeprefix("seqloader/") for name in scalars
    }


def test_has_next_counts_what_it_waits(make_any):
    enqueuer = make_any(Sleeping(length=4), executor="inline")
    iterator = iter(enqueuer)

    while iterator.has_next():
        next(iterator)

    assert enqueuer.stats().epoch.waited_s >= 4 * 0.02  # and it is no time of the loop


def test_a_batch_that_waits_to_be_taken_is_not_delivered(make):
    enqueuer = make(Numbers(length=5))
    iterator = iter(enqueuer)
    next(iterator)

    assert iterator.has_next()
    assert enqueuer.stats().delivered == enqueuer.stats().epoch.delivered == 1
    enqueuer.skip([1])
    assert enqueuer.stats().delivered == 1
    assert len(list(iterator)) == 3
    assert enqueuer.stats().delivered == 4
    enqueuer.peek()
    enqueuer.stop()
    assert enqueuer.stats().delivered == 4
