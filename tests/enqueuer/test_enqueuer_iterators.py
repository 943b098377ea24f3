"""One cursor: stale iterators, shared streams, `peek()`, and who may stop whom."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sequences_for_tests import Endless, Held, Holes, Numbers, Once, Recorded

from seqloader import EnqueuerStopped, SeqloaderWarning


def indices(batches):
    return [batch[0] for batch in batches]


@pytest.fixture
def recorded(make, tmp_path):
    return make(Recorded(tmp_path, length=5))


# --- One iterator at a time -------------------------------------------------------------


def test_two_gets_share_one_stream(recorded, take):
    one, other = recorded.get(), recorded.get()

    taken = [next(stream)[0] for stream in (one, other) * 4]

    assert taken == [0, 1, 2, 3, 4, 0, 1, 2]


def test_a_new_iter_makes_the_old_one_stale(recorded):
    old = iter(recorded)
    next(old)
    new = iter(recorded)

    with pytest.raises(RuntimeError, match="stale"):
        next(old)

    assert indices(new) == [0, 1, 2, 3, 4]


def test_a_for_makes_a_get_stale_and_a_get_a_for(recorded, take):
    stream = recorded.get()
    take(stream, 2)
    epoch = iter(recorded)
    with pytest.raises(RuntimeError, match="stale"):
        next(stream)
    take(epoch, 1)
    stream = recorded.get()
    with pytest.raises(RuntimeError, match="stale"):
        next(epoch)

    assert indices(take(stream, 6)) == [0, 1, 2, 3, 4, 0]


def test_an_iterator_that_has_ended_stays_ended(recorded):
    ended = iter(recorded)
    list(ended)
    under_way = iter(recorded)

    assert list(ended) == []
    assert indices(under_way) == [0, 1, 2, 3, 4]


def test_get_after_a_for_left_early_begins_with_a_new_epoch(recorded, take):
    take(recorded, 3)
    stream = recorded.get()

    assert [batch[:2] for batch in take(stream, 2)] == [(0, 1), (1, 1)]
    assert recorded.epoch == 1


def test_a_for_after_get_begins_with_a_new_epoch(recorded, take):
    take(recorded.get(), 3)

    assert [batch[:2] for batch in recorded] == [(i, 1) for i in range(5)]


def test_nothing_that_was_prefetched_for_a_loop_left_early_comes_up_again(make, tmp_path, take):
    enqueuer = make(Recorded(tmp_path, length=30, uneven=True))

    for epoch in range(8):
        taken = take(enqueuer, epoch)
        assert [batch[:2] for batch in taken] == [(i, max(0, epoch - 1)) for i in range(epoch)]


def test_several_threads_may_take_turns_and_each_batch_comes_once(make):
    enqueuer = make(Numbers(length=400), max_queue_size=4)
    iterator = iter(enqueuer)

    def drain(_):
        return [int(batch[0, 0]) for batch in iterator]

    with ThreadPoolExecutor(4) as threads:
        parts = list(threads.map(drain, range(4)))

    assert sorted(itertools.chain(*parts)) == list(range(400))
    assert all(part == sorted(part) for part in parts)
    assert enqueuer.stats().delivered == 400


# --- peek -------------------------------------------------------------------------------


def test_peek_shows_the_next_batch_and_the_for_goes_on_with_it(make):
    enqueuer = make(Numbers(length=4))

    peeked = enqueuer.peek()
    assert enqueuer.peek() is peeked
    batches = list(enqueuer)

    assert batches[0] is peeked
    assert [int(batch[0, 0]) for batch in batches] == [0, 1, 2, 3]


def test_get_goes_on_with_what_was_peeked(make, take):
    enqueuer = make(Numbers(length=2))

    peeked = enqueuer.peek()
    stream = enqueuer.get()
    assert next(stream) is peeked
    peeked = enqueuer.peek()
    assert next(stream) is peeked

    assert [int(batch[0, 0]) for batch in take(stream, 3)] == [0, 1, 0]


def test_peek_in_the_middle_of_a_for_delivers_nothing(make):
    enqueuer = make(Numbers(length=5))
    pairs = []

    iterator = iter(enqueuer)
    for _ in range(5):
        peeked = enqueuer.peek()
        pairs.append((peeked, next(iterator)))

    assert [int(one[0, 0]) for one, _ in pairs] == [0, 1, 2, 3, 4]
    assert all(one is other for one, other in pairs)
    assert enqueuer.stats().delivered == 5


def test_peek_at_the_end_of_an_epoch_begins_the_next(recorded, take):
    journal = recorded.sequence.journal
    epoch = iter(recorded)
    take(epoch, 5)

    peeked = recorded.peek()

    assert peeked[:2] == (0, 1)
    assert journal.count("on_epoch_end") == 1 and journal.count("on_epoch_begin") == 2
    assert list(epoch) == []
    assert [batch[:2] for batch in recorded] == [(i, 1) for i in range(5)]
    assert journal.count("on_epoch_begin") == 2


def test_a_peeked_epoch_belongs_to_the_next_for_only(recorded, take):
    recorded.peek()
    take(recorded, 2)

    assert [batch[:2] for batch in recorded] == [(i, 1) for i in range(5)]


def test_peek_skips_none(make):
    enqueuer = make(Once(lambda index: index if index > 1 else None, length=4))

    assert enqueuer.peek() == 2
    assert list(enqueuer) == [2, 3]


def test_peek_where_nothing_can_come_says_so(make):
    with pytest.raises(ValueError, match="length is 0"):
        make(Numbers(length=0)).peek()
    with pytest.raises(ValueError, match="None"):
        make(Holes(empty_epochs=2)).peek()


def test_a_peeked_last_batch_is_not_lost_by_join_end_of_epoch(recorded, take):
    epoch = iter(recorded)
    take(epoch, 4)

    peeked = recorded.peek()
    recorded.join_end_of_epoch()  # too early: the last was not handed out

    assert next(epoch) is peeked
    assert list(epoch) == []
    assert recorded.sequence.journal.count("on_epoch_end") == 1


def test_a_for_that_was_stopped_before_its_peeked_last_batch_says_so(recorded, take):
    epoch = iter(recorded)
    take(epoch, 4)

    recorded.peek()
    recorded.stop()

    with pytest.raises(EnqueuerStopped):
        next(epoch)


@pytest.mark.parametrize("between", ["loop", "stop", "get"])
def test_what_was_only_peeked_at_is_no_gap_in_an_endless_sequence(make, take, between):
    enqueuer = make(Endless())
    take(enqueuer, 3)

    assert enqueuer.peek() == 3
    if between == "stop":
        enqueuer.stop()
    batches = enqueuer.get() if between == "get" else iter(enqueuer)

    assert take(batches, 2) == [3, 4]


def test_peek_raises_the_error_of_a_batch(make):
    def fails(index):
        raise LookupError(index)

    enqueuer = make(Once(fails))

    with pytest.raises(LookupError):
        enqueuer.peek()
    assert not enqueuer.is_running()


# --- has_next ---------------------------------------------------------------------------


def test_has_next_shows_where_an_epoch_ends_before_it_does(recorded):
    journal = recorded.sequence.journal
    epoch, taken = iter(recorded), []

    while epoch.has_next():
        before = recorded.state_dict()
        taken.append(next(epoch)[0])
        assert recorded.state_dict() != before

    assert taken == [0, 1, 2, 3, 4]
    assert recorded.stats().delivered == 5
    assert journal.count("on_epoch_end") == 0
    assert list(epoch) == []
    assert journal.count("on_epoch_end") == 1
    assert not epoch.has_next()


def test_has_next_looks_over_batches_that_are_left_out(make):
    holes = iter(make(Once(lambda index: None if index else index, length=4)))
    assert holes.has_next()
    assert next(holes) == 0
    assert not holes.has_next()

    def fails(index):
        if index:
            raise LookupError(index)
        return index

    skipping = iter(make(Once(fails, length=4), on_error="skip"))
    assert next(skipping) == 0
    with pytest.warns(SeqloaderWarning, match="skip"):
        assert not skipping.has_next()


def test_an_epoch_that_was_only_looked_at_has_not_begun(recorded, take):
    looked = iter(recorded)
    assert looked.has_next()

    assert [batch[:2] for batch in recorded] == [(i, 0) for i in range(5)]
    assert recorded.sequence.journal.count("on_epoch_end") == 1


def test_has_next_raises_the_error_of_a_batch(make):
    def fails(index):
        raise LookupError(index)

    enqueuer = make(Once(fails))
    epoch = iter(enqueuer)

    with pytest.raises(LookupError):
        epoch.has_next()
    assert not enqueuer.is_running()
    with pytest.raises(EnqueuerStopped):
        epoch.has_next()


def test_has_next_of_a_stopped_epoch_says_so(recorded, take):
    epoch = iter(recorded)
    take(epoch, 2)
    recorded.stop()

    with pytest.raises(EnqueuerStopped):
        epoch.has_next()


# --- batches taken ahead of the user ----------------------------------------------------


def test_a_batch_that_is_here_comes_without_waiting(make, until, executor):
    enqueuer = make(Numbers(length=5))
    epoch, taken = iter(enqueuer), []

    while len(taken) < 5:
        if executor == "inline":  # which computes when it is asked
            assert not epoch.next_is_here()
            assert epoch.has_next()
        until(epoch.next_is_here)
        waited_s = enqueuer.stats().waited_s
        taken.append(int(next(epoch)[0, 0]))
        assert enqueuer.stats().waited_s == waited_s

    assert taken == [0, 1, 2, 3, 4]
    assert not epoch.next_is_here()
    assert list(epoch) == []


def test_a_look_whether_a_batch_is_here_of_a_stopped_or_stale_iterator_says_so(recorded, take):
    stale, epoch = iter(recorded), iter(recorded)
    with pytest.raises(RuntimeError, match="stale"):
        stale.next_is_here()

    recorded.stop()
    with pytest.raises(EnqueuerStopped):
        epoch.next_is_here()


def test_states_name_the_place_of_the_user_whoever_takes_ahead_of_him(recorded, take):
    epoch, reached = iter(recorded), 2
    epoch.take_ahead_of(lambda: reached)
    take(epoch, 5)

    assert recorded.state_dict()["position"] == 2
    recorded.join_end_of_epoch()
    assert recorded.sequence.journal.count("on_epoch_end") == 0

    reached = None
    assert recorded.state_dict()["position"] == 5
    recorded.join_end_of_epoch()
    assert recorded.sequence.journal.count("on_epoch_end") == 1


@pytest.mark.parametrize("between", ["loop", "stop", "get"])
def test_what_was_only_taken_ahead_is_no_gap_in_an_endless_sequence(make, take, between):
    enqueuer = make(Endless())
    epoch = iter(enqueuer)
    epoch.take_ahead_of(lambda: 3)
    take(epoch, 5)

    if between == "stop":
        enqueuer.stop()
    batches = enqueuer.get() if between == "get" else iter(enqueuer)

    assert take(batches, 2) == [3, 4]


# --- After and during stop --------------------------------------------------------------


def test_after_stop_get_ends(recorded, take):
    stream = recorded.get()
    take(stream, 2)

    recorded.stop()

    assert list(stream) == []
    fresh = recorded.get()
    assert list(stream) == []
    assert [batch[:2] for batch in take(fresh, 1)] == [(0, 1)]


def test_a_for_that_was_stopped_says_so(recorded, take):
    iterator = iter(recorded)
    take(iterator, 2)

    threading.Thread(target=recorded.stop).start()
    with pytest.raises(EnqueuerStopped, match="epoch 0"):
        while True:
            next(iterator)


@pytest.fixture
def stopped_while_waiting(make, gate, executor):
    """Asks for a batch that does not come, while another thread stops the enqueuer."""

    def ask(begin):
        enqueuer = make(Held(gate))
        iterator = begin(enqueuer)

        def stop():
            gate.wait_arrived(1)
            enqueuer.stop(0.2)
            gate.open()  # what cannot be killed must come to its end

        stopper = threading.Thread(target=stop)
        stopper.start()
        try:
            return next(iterator)
        finally:
            stopper.join()
            assert not enqueuer.is_running()

    return ask


def test_a_for_that_another_thread_cuts_short_raises_enqueuer_stopped(
    stopped_while_waiting, children
):
    with pytest.raises(EnqueuerStopped, match="epoch 0"):
        stopped_while_waiting(iter)
    assert children() == []


def test_a_get_that_another_thread_cuts_short_ends(stopped_while_waiting, children):
    with pytest.raises(StopIteration):
        stopped_while_waiting(lambda enqueuer: enqueuer.get())
    assert children() == []


def test_it_goes_on_after_another_thread_stopped_it(make, gate):
    enqueuer = make(Held(gate))
    gate.open()
    next(iter(enqueuer))

    stopper = threading.Thread(target=enqueuer.stop)
    stopper.start()
    stopper.join()

    assert list(enqueuer) == list(range(8))
    assert enqueuer.epoch == 2


def test_stop_in_the_body_of_a_for_ends_it_with_an_error(recorded):
    seen = []

    with pytest.raises(EnqueuerStopped):
        for batch in recorded:
            seen.append(batch[0])
            recorded.stop()

    assert seen == [0]
    assert recorded.sequence.journal.count("on_epoch_end") == 1


def test_getitem_that_enters_the_enqueuer_is_told_so(make_any):
    def asks(index):
        return next(holder[0].get())

    enqueuer = make_any(Once(asks), executor="inline")
    holder = [enqueuer]

    with pytest.raises(RuntimeError, match="entered again"):
        list(enqueuer)


# --- remaining ----------------------------------------------------------------------------


def test_remaining_counts_what_is_still_to_come(recorded):
    epoch = iter(recorded)
    for left in (5, 4, 3, 2, 1):
        assert epoch.remaining == left
        next(epoch)
    assert epoch.remaining == 0

    assert list(epoch) == []
    assert epoch.remaining == 0


def test_remaining_counts_from_where_an_epoch_begins_and_without_what_is_skipped(recorded):
    recorded.seek(0, 1)
    epoch = iter(recorded)
    assert epoch.remaining == 4

    recorded.skip([2])
    assert epoch.remaining == 3
    recorded.peek()
    assert epoch.remaining == 3
    assert indices(epoch) == [1, 3, 4]


def test_nothing_remains_of_an_epoch_that_was_left(recorded):
    left = iter(recorded)
    next(left)
    iter(recorded)
    assert left.remaining == 0


def test_an_endless_epoch_has_no_remaining_number(make):
    assert iter(make(Endless())).remaining is None
