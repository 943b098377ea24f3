"""Workers compute the first batches of a coming epoch (P6), and none that is not fresh (P4)."""

from __future__ import annotations

import multiprocessing
from functools import partial

import numpy as np
import pytest
from ahead_sequences import Holding, Killed, Refuses, Told

from seqloader import WorkerLostWarning, share


@pytest.fixture
def at_the_end(make_any, until):
    """at_the_end(sequence): an enqueuer of which two epochs were delivered; of what is computed
    ahead, `computed(n)` waits for that of epoch n."""

    def make(sequence, **options):
        enqueuer = make_any(sequence, **{"max_queue_size": 6, "seed": 5, **options})
        for _ in range(2):
            list(enqueuer)
        return enqueuer

    return make


def computed(sequence, epoch, count=3):
    return lambda: sequence.journal.count(f"begin {epoch} ") >= count


def epochs(enqueuer, count):
    return [list(enqueuer) for _ in range(count)]


def test_the_coming_epochs_are_computed_before_they_begin_as_far_as_there_is_room(
    at_the_end, tmp_path, until
):
    sequence = Told(tmp_path)
    enqueuer = at_the_end(sequence)

    until(computed(sequence, 2))
    until(computed(sequence, 3))
    assert enqueuer.stats().in_flight == 6
    assert sequence.journal.count("begin 4 ") == 0
    list(enqueuer)
    until(computed(sequence, 4))

    assert len(set(sequence.journal.lines())) == len(sequence.journal.lines())  # each once


def test_nothing_is_computed_ahead_of_the_first_turn(make_any, tmp_path):
    sequence = Told(tmp_path)
    enqueuer = make_any(sequence)
    list(enqueuer)

    assert enqueuer.stats().in_flight == 0
    enqueuer.stop()
    assert sequence.journal.count("begin 1 ") == 0


def test_batches_are_those_of_a_run_that_computes_nothing_ahead(make_any, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    ahead = make_any(Told(tmp_path / "one"), seed=3, shuffle=True, workers=3)
    plain = make_any(Told(tmp_path / "other"), seed=3, shuffle=True, workers=0)

    assert epochs(ahead, 8) == epochs(plain, 8)


def test_a_saved_state_knows_nothing_of_it(at_the_end, tmp_path, until):
    sequence = Told(tmp_path)
    enqueuer = at_the_end(sequence)
    until(computed(sequence, 2))

    state = enqueuer.state_dict()

    assert (state["epoch"], state["position"], enqueuer.epoch) == (2, 0, 2)
    assert enqueuer.stats().delivered == 6


# --- Fresh state (P4) -------------------------------------------------------------------


def rebind(sequence, enqueuer):
    sequence.value = 7


def change_and_refresh(sequence, enqueuer):
    sequence.table[0] = 8
    enqueuer.refresh()


def lengthen(sequence, enqueuer):
    sequence.length = 5


def turn_shuffle(sequence, enqueuer):
    enqueuer.shuffle = not enqueuer.shuffle


def replace(sequence, enqueuer):
    other = Told(sequence.journal.path.parent)
    other.value = 9
    enqueuer.sequence = other


def skip(sequence, enqueuer):
    enqueuer.skip([1], epoch=2)


def seek(sequence, enqueuer):
    enqueuer.seek(2, 1)


def load(sequence, enqueuer):
    sequence.table[0] = 4
    enqueuer.load_state_dict(enqueuer.state_dict())


CHANGES = [rebind, change_and_refresh, lengthen, turn_shuffle, replace, skip, seek, load]


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_between_epochs_counts_although_batches_were_computed(
    at_the_end, make_any, tmp_path, until, change
):
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    sequence = Told(tmp_path / "one")
    enqueuer = at_the_end(sequence, shuffle=True)
    until(computed(sequence, 2))
    change(sequence, enqueuer)

    fresh = Told(tmp_path / "other")
    plain = make_any(fresh, seed=5, shuffle=True, workers=0)
    epochs(plain, 2)
    change(fresh, plain)

    assert epochs(enqueuer, 3) == epochs(plain, 3)


@pytest.mark.parametrize("change", [rebind, change_and_refresh, lengthen, turn_shuffle])
def test_what_changes_within_an_epoch_counts_in_the_next_and_not_in_this_one(
    at_the_end, make_any, tmp_path, until, change
):
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    sequence = Told(tmp_path / "one")
    enqueuer = at_the_end(sequence)
    iterator = iter(enqueuer)
    batches = [next(iterator)]
    until(computed(sequence, 3))
    change(sequence, enqueuer)

    fresh = Told(tmp_path / "other")
    plain = make_any(fresh, seed=5, workers=0)
    expected = epochs(plain, 3)[2]
    change(fresh, plain)

    assert [*batches, *iterator] == expected
    assert epochs(enqueuer, 2) == epochs(plain, 2)


def test_a_hook_that_is_set_later_runs_while_nothing_is_computed(
    at_the_end, tmp_path, until, monkeypatch
):
    sequence = Told(tmp_path)
    enqueuer = at_the_end(sequence)
    until(computed(sequence, 3))
    seen = []

    def hook(self):
        seen.append(enqueuer.stats().in_flight)
        self.value += 1

    monkeypatch.setattr(Told, "on_epoch_begin", hook)

    assert [batch[3] for batch in enqueuer] == [1, 1, 1]
    assert seen == [0]


def test_an_epoch_that_is_left_early_leaves_nothing_of_the_next(at_the_end, tmp_path, until):
    sequence = Told(tmp_path)
    enqueuer = at_the_end(sequence)
    next(iter(enqueuer))
    until(computed(sequence, 3))

    enqueuer.end_epoch()

    assert enqueuer.stats().in_flight == 0
    assert [batch[:3] for batch in enqueuer] == [(3, 0, 0), (3, 1, 1), (3, 2, 2)]


def test_the_memory_of_an_old_state_is_given_back_while_epochs_go_on(at_the_end, tmp_path, until):
    enqueuer = at_the_end(Holding(tmp_path, np.zeros(1 << 20)), workers=1)
    state = enqueuer._run.session.executor._state
    enqueuer.sequence.held = np.ones(1 << 20)
    before = state.nbytes
    epochs(enqueuer, 6)

    assert enqueuer.stats().in_flight == 6
    assert state.nbytes < before + (4 << 20)


# --- What is not computed ahead ---------------------------------------------------------


def shared(folder):
    return share(np.zeros(3))


def end_of_a_pipe(folder):
    return multiprocessing.Pipe()[0]


def mapped_for_writing(folder):
    return np.memmap(folder / "mapped", np.uint8, "w+", shape=8)


def is_kept(held, slot):
    """A `worker_init`."""


@pytest.mark.parametrize("held", [shared, end_of_a_pipe, mapped_for_writing])
def test_what_workers_see_at_once_is_not_computed_with_before_its_epoch(at_the_end, tmp_path, held):
    enqueuer = at_the_end(Holding(tmp_path, held(tmp_path)))

    assert enqueuer.stats().in_flight == 0


def test_what_worker_init_shares_with_the_consumer_is_not_computed_with_before_its_epoch(
    at_the_end, tmp_path
):
    end = multiprocessing.Pipe()[0]
    enqueuer = at_the_end(Told(tmp_path), worker_init=partial(is_kept, end))

    assert enqueuer.stats().in_flight == 0


def test_a_worker_init_that_shares_nothing_is_no_obstacle(at_the_end, tmp_path):
    enqueuer = at_the_end(Told(tmp_path), worker_init=partial(is_kept, "a name"))

    assert enqueuer.stats().in_flight == 6


def test_a_file_that_is_mapped_for_reading_is_no_obstacle(at_the_end, tmp_path):
    np.zeros(8).tofile(tmp_path / "mapped")
    enqueuer = at_the_end(Holding(tmp_path, np.memmap(tmp_path / "mapped", mode="r")))

    assert enqueuer.stats().in_flight == 6


@pytest.mark.parametrize(
    "options", [{"executor": "thread"}, {"start_method": "fork"}, {"workers": 0}]
)
def test_nothing_is_computed_ahead_where_the_state_is_not_the_workers_own(
    at_the_end, tmp_path, options
):
    queue = {} if options.get("workers") == 0 else {"max_queue_size": 6}

    assert at_the_end(Told(tmp_path), **queue, **options).stats().in_flight == 0


# --- Failures ---------------------------------------------------------------------------


def test_a_worker_that_dies_of_a_batch_ahead_is_told_of_in_its_turn(at_the_end, tmp_path, until):
    sequence = Killed(tmp_path, epoch=3, index=1)
    enqueuer = at_the_end(sequence)
    until(sequence.once.exists)

    assert [batch[:3] for batch in enqueuer] == [(2, 0, 0), (2, 1, 1), (2, 2, 2)]
    with pytest.warns(WorkerLostWarning, match=r"batch 1 .*epoch 3"):
        assert [batch[:3] for batch in enqueuer] == [(3, 0, 0), (3, 1, 1), (3, 2, 2)]
    assert enqueuer.stats().respawns == 1


def test_an_error_in_a_batch_ahead_is_raised_in_its_turn(at_the_end, tmp_path, until):
    sequence = Refuses(tmp_path, epoch=3, index=1)
    enqueuer = at_the_end(sequence)
    until(computed(sequence, 3))
    assert len(list(enqueuer)) == 3

    iterator = iter(enqueuer)
    assert next(iterator)[:3] == (3, 0, 0)
    with pytest.raises(LookupError, match="no batch 1"):
        next(iterator)


def test_a_stop_throws_it_away_and_a_start_goes_on(at_the_end, tmp_path, until):
    sequence = Told(tmp_path)
    enqueuer = at_the_end(sequence)
    until(computed(sequence, 3))

    enqueuer.stop()

    assert enqueuer.stats().in_flight == 0
    assert [batch[:3] for batch in enqueuer] == [(2, 0, 0), (2, 1, 1), (2, 2, 2)]


def test_a_peek_shows_what_was_computed_and_delivers_nothing(at_the_end, tmp_path, until):
    sequence = Told(tmp_path)
    enqueuer = at_the_end(sequence)
    until(computed(sequence, 2))

    assert enqueuer.peek()[:3] == (2, 0, 0)
    assert enqueuer.state_dict()["position"] == 0
    assert [batch[:3] for batch in enqueuer] == [(2, 0, 0), (2, 1, 1), (2, 2, 2)]


def test_a_pool_that_is_resized_between_epochs_loses_nothing(at_the_end, tmp_path):
    enqueuer = at_the_end(Told(tmp_path))

    delivered = []
    for workers in (1, 3, 2, 4):
        enqueuer.resize(workers)
        delivered += list(enqueuer)

    assert [batch[:2] for batch in delivered] == [(n, i) for n in range(2, 6) for i in range(3)]


def test_bytes_of_all_epochs_together_stay_within_the_bound(at_the_end, tmp_path, until):
    sequence = Told(tmp_path)
    nbytes = 0
    enqueuer = at_the_end(sequence)
    nbytes = enqueuer.stats().nbytes // 6
    enqueuer.stop()

    bounded = at_the_end(Told(tmp_path), max_queue_bytes=4 * nbytes)

    assert bounded.stats().in_flight <= 4
    assert [batch[:2] for batch in bounded] == [(2, 0), (2, 1), (2, 2)]


def test_a_stream_computes_across_its_epochs(make_any, tmp_path, until):
    sequence = Told(tmp_path)
    stream = make_any(sequence, seed=5, max_queue_size=6).get()

    batches = [next(stream) for _ in range(5)]
    until(computed(sequence, 2))
    batches += [next(stream) for _ in range(4)]

    assert [batch[:2] for batch in batches] == [(n, i) for n in range(3) for i in range(3)]
