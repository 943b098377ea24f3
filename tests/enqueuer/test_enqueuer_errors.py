"""What hooks, lengths, pickles and batches raise comes at once, and stops the enqueuer."""

from __future__ import annotations

import pickle
import threading

import pytest
from sequences_for_tests import Faults, HookFault, HookFaults, Numbers, Once

from seqloader import SeqloaderWarning


def assert_stopped(enqueuer, children):
    assert not enqueuer.is_running()
    assert children() == []


@pytest.mark.parametrize("where", ["on_epoch_begin", "__len__"])
def test_an_error_where_an_epoch_begins_is_raised_by_iter(make, where, children):
    sequence = HookFaults(where)
    enqueuer = make(sequence)

    with pytest.raises(HookFault, match=where):
        iter(enqueuer)

    assert_stopped(enqueuer, children)
    enqueuer.stop()
    assert sequence.called == ["on_epoch_begin"]


@pytest.mark.parametrize("where", ["on_epoch_begin", "__len__", "on_epoch_end"])
def test_an_error_between_epochs_is_raised_by_the_next_of_get(make, where, children, take):
    sequence = HookFaults(where, epoch=0 if where == "on_epoch_end" else 1)
    enqueuer = make(sequence)
    stream = enqueuer.get()
    assert take(stream, 4) == [0, 1, 2, 3]

    with pytest.raises(HookFault, match=where):
        next(stream)

    assert_stopped(enqueuer, children)
    with pytest.raises(StopIteration):
        next(stream)
    assert sequence.called.count("on_epoch_end") == 1


def test_an_error_of_on_epoch_end_is_raised_at_the_end_of_the_for(make, children):
    enqueuer = make(HookFaults("on_epoch_end"))
    seen = []

    with pytest.raises(HookFault):
        for batch in enqueuer:
            seen.append(batch)

    assert seen == [0, 1, 2, 3]
    assert_stopped(enqueuer, children)


@pytest.mark.parametrize("how", ["stop", "iter", "get", "join_end_of_epoch"])
def test_an_error_of_on_epoch_end_is_raised_by_whatever_ends_the_epoch(make, how, children, take):
    sequence = HookFaults("on_epoch_end")
    enqueuer = make(sequence)
    take(enqueuer, 4)

    end = {"iter": enqueuer.__iter__}.get(how) or getattr(enqueuer, how)
    with pytest.raises(HookFault):
        end()

    assert_stopped(enqueuer, children)
    enqueuer.stop()
    assert sequence.called == ["on_epoch_begin", "on_epoch_end"]


def test_it_can_be_started_again_after_an_error_in_a_hook(make, take):
    sequence = HookFaults("on_epoch_begin", epoch=1)
    enqueuer = make(sequence)
    list(enqueuer)
    with pytest.raises(HookFault):
        list(enqueuer)

    assert list(enqueuer) == [0, 1, 2, 3]


@pytest.mark.parametrize("length", [2.5, None, "3", -1])
def test_a_length_that_is_none_is_raised_by_iter(make, length, children):
    enqueuer = make(Numbers(length=length))

    with pytest.raises((TypeError, ValueError), match=r"__len__.*Numbers"):
        iter(enqueuer)

    assert_stopped(enqueuer, children)


def test_a_sequence_that_cannot_be_pickled_is_raised_by_start_naming_the_part(make_any, children):
    sequence = Numbers()
    sequence.tools = {"guard": threading.Lock()}
    enqueuer = make_any(sequence)

    with pytest.raises(TypeError, match=r"(?s)tools.*guard.*fork"):
        enqueuer.start()

    assert_stopped(enqueuer, children)


def test_a_state_that_can_no_longer_be_pickled_is_raised_where_the_epoch_begins(make_any, children):
    sequence = Numbers(length=3)
    enqueuer = make_any(sequence)
    list(enqueuer)

    sequence.guard = threading.Lock()
    with pytest.raises(TypeError, match="guard"):
        iter(enqueuer)

    assert_stopped(enqueuer, children)
    del sequence.guard
    assert len(list(enqueuer)) == 3


# --- Errors of batches ------------------------------------------------------------------


def test_an_error_comes_in_its_place_with_its_type_and_a_note(make, tmp_path, children):
    sequence = Faults(tmp_path, bad=[3, 4, 6])
    enqueuer = make(sequence)
    seen = []

    with pytest.raises(LookupError, match="no batch 3") as caught:
        for batch in enqueuer:
            seen.append(batch)

    assert seen == [0, 1, 2]
    [note] = caught.value.__notes__
    assert "batch 3 (epoch 0, position 3)" in note
    assert "enqueuer.compute(3, epoch=0)" in note
    assert_stopped(enqueuer, children)
    enqueuer.stop()
    assert sequence.ended == 0


def test_the_note_tells_index_from_position_and_names_the_worker(make, tmp_path, executor):
    enqueuer = make(Faults(tmp_path, bad=[3]), shuffle=True, seed=5)
    seen = []

    with pytest.raises(LookupError) as caught:
        for batch in enqueuer:
            seen.append(batch)

    [note] = caught.value.__notes__
    assert f"batch 3 (epoch 0, position {len(seen)})" in note
    here = executor in ("inline", "thread")
    assert ("in the consumer" if here else "worker") in note
    assert ("pid" in note) != here


def test_what_the_note_says_reproduces_the_error(make, tmp_path):
    enqueuer = make(Faults(tmp_path, bad=[3]))

    with pytest.raises(LookupError, match="no batch 3"):
        enqueuer.compute(3, epoch=0)
    assert enqueuer.compute(2) == 2
    assert not enqueuer.is_running()


def test_an_epoch_after_an_error_is_the_next_and_complete(make, tmp_path):
    enqueuer = make(Faults(tmp_path, bad=[3], times=1))

    with pytest.raises(LookupError):
        list(enqueuer)

    assert list(enqueuer) == list(range(8))


def test_retries_try_a_batch_again_and_count(make, tmp_path):
    enqueuer = make(Faults(tmp_path, bad=[2, 5], times=2), retries=2)

    assert list(enqueuer) == list(range(8))
    assert enqueuer.stats().retried == 4


def test_after_the_last_retry_the_note_says_how_many_there_were(make, tmp_path):
    sequence = Faults(tmp_path, bad=[2])
    enqueuer = make(sequence, retries=2)

    with pytest.raises(LookupError) as caught:
        list(enqueuer)

    assert "3 tries" in caught.value.__notes__[0]
    assert sequence.journal.lines() == ["try 2"] * 3


def test_skip_leaves_bad_batches_out_counts_them_and_warns_once(make, tmp_path):
    enqueuer = make(Faults(tmp_path, bad=[1, 2, 6]), on_error="skip")

    with pytest.warns(SeqloaderWarning) as warned:
        epochs = [list(enqueuer), list(enqueuer)]

    assert epochs == [[0, 3, 4, 5, 7]] * 2
    assert enqueuer.stats().skipped == 6
    assert enqueuer.stats().delivered == 10
    [warning] = warned
    assert "batch 1 (epoch 0, position 1)" in str(warning.message)
    assert "no batch 1" in str(warning.message)
    assert warning.filename == __file__


def test_skip_of_the_last_batches_of_an_epoch(make, tmp_path):
    enqueuer = make(Faults(tmp_path, bad=[6, 7]), on_error="skip")

    with pytest.warns(SeqloaderWarning):
        assert list(enqueuer) == list(range(6))
    assert list(enqueuer) == list(range(6))


@pytest.mark.parametrize("begin", [iter, lambda e: e.get()], ids=["for", "get"])
def test_skip_of_the_very_last_batch_is_warned_about_too(make, tmp_path, begin, take):
    enqueuer = make(Faults(tmp_path, bad=[7]), on_error="skip")

    with pytest.warns(SeqloaderWarning, match="batch 7"):
        assert take(begin(enqueuer), 9)[:7] == list(range(7))


def test_two_epochs_of_which_everything_was_skipped_are_an_error_for_get(make, tmp_path):
    enqueuer = make(Faults(tmp_path, bad=range(8)), on_error="skip")

    with pytest.warns(SeqloaderWarning), pytest.raises(ValueError, match="skipped"):
        next(enqueuer.get())


def test_a_batch_that_cannot_be_pickled_is_an_error_naming_index_and_part(make_any, children):
    def batch_of(index):
        return {"image": [index], "handles": (1, threading.Lock())} if index == 2 else index

    enqueuer = make_any(Once(batch_of, length=4))
    seen = []

    with pytest.raises(pickle.PicklingError, match=r"handles.*\[1\]") as caught:
        for batch in enqueuer:
            seen.append(batch)

    assert seen == [0, 1]
    assert "batch 2" in "\n".join([str(caught.value), *caught.value.__notes__])
    assert_stopped(enqueuer, children)


def test_skip_leaves_out_no_more_than_exceptions(make, children):
    def batch_of(index):
        if index == 1:
            raise SystemExit("enough")
        return index

    enqueuer = make(Once(batch_of, length=4), on_error="skip", retries=3)
    seen = []

    with pytest.raises(SystemExit, match="enough"):
        for batch in enqueuer:
            seen.append(batch)

    assert seen == [0]
    assert_stopped(enqueuer, children)
