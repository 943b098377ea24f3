"""What the unit tests of the classic class mean, with real processes."""

from __future__ import annotations

import numpy as np
import pytest
from sequences_for_tests import Endless, Growing, Halving, Holes, Missing, Numbers, Once

from seqloader import OrderedEnqueuer


def values(batches):
    return [int(batch[0, 0]) for batch in batches]


def test_100_outputs_come_in_order(make, take):
    enqueuer = make(Numbers())

    enqueuer.start(3, 10)
    outputs = take(enqueuer.get(), 100)

    assert values(outputs) == list(range(100))
    assert {batch.shape for batch in outputs} == {(3, 2)}


def test_what_on_epoch_end_multiplies_is_seen_in_outputs_100_to_199(make, take):
    enqueuer = make(Growing())

    enqueuer.start(3, 10)
    stream = enqueuer.get()
    first, second = take(stream, 100), take(stream, 100)

    assert values(first) == list(range(100))
    assert values(second) == [5 * k for k in range(100)]


def test_the_length_halves_each_epoch(make, take):
    sequence = Halving(length=100)
    enqueuer = make(sequence)

    enqueuer.start(3, 10)
    stream = enqueuer.get()
    for epoch, length in enumerate([100, 50, 25, 13]):
        assert len(sequence) == len(enqueuer) == length
        assert values(take(stream, length)) == [5**epoch * k for k in range(length)]
        enqueuer.join_end_of_epoch()


def test_join_end_of_epoch_before_the_end_does_nothing(make, take):
    sequence = Halving(length=100)
    enqueuer = make(sequence)
    enqueuer.join_end_of_epoch()
    stream = enqueuer.get()
    enqueuer.join_end_of_epoch()

    take(stream, 99)
    enqueuer.join_end_of_epoch()

    assert len(sequence) == 100
    assert values(take(stream, 1)) == [99]
    enqueuer.join_end_of_epoch()
    enqueuer.join_end_of_epoch()
    assert len(sequence) == 50


def test_a_faulty_sequence_raises_its_index_error_at_the_first_next(make, children):
    enqueuer = make(Missing())
    enqueuer.start(3, 10)
    stream = enqueuer.get()

    with pytest.raises(IndexError, match="item is not present"):
        next(stream)

    assert not enqueuer.is_running()
    assert children() == []
    with pytest.raises(StopIteration):
        next(stream)


def test_two_enqueuers_alive_at_once_do_not_mix(make, take):
    one, other = make(Growing(value=1)), make(Growing(value=15))

    one.start(3, 10)
    other.start(3, 10)
    from_one, from_other = one.get(), other.get()

    assert values(take(from_one, 100))[-1] == 99
    assert values(take(from_other, 100))[-1] == 99 * 15
    assert values(take(from_one, 2)) == [0, 5]
    assert values(take(from_other, 2)) == [0, 75]


def test_it_can_be_started_again_after_stop(make, take):
    enqueuer = make(Numbers(length=6))

    for workers in (1, 2, 3):
        enqueuer.start(workers, 4)
        assert enqueuer.is_running()
        assert values(take(enqueuer.get(), 8)) == [0, 1, 2, 3, 4, 5, 0, 1]
        enqueuer.stop()
        assert not enqueuer.is_running()


def test_stop_before_start_and_stop_twice_do_nothing(make, take):
    enqueuer = make(Numbers())

    enqueuer.stop()
    enqueuer.start()
    take(enqueuer.get(), 1)
    enqueuer.stop()
    enqueuer.stop(0)
    enqueuer.close()

    assert not enqueuer.is_running()


def test_none_batches_are_skipped(make, take):
    enqueuer = make(Holes(length=8))

    assert take(enqueuer.get(), 8) == [0, 2, 4, 6, 0, 2, 4, 6]
    enqueuer.stop()
    assert list(enqueuer) == [0, 2, 4, 6]


def test_dict_tuple_and_ragged_batches_pass_unchanged(make):
    def batch_of(index):
        ragged = np.ones((index + 1, 4 - index))
        return [{"a": ragged, "b": [index]}, (ragged, ragged[:1]), ragged, []][index]

    batches = list(make(Once(batch_of, length=4)))

    assert list(batches[0]) == ["a", "b"]
    assert batches[0]["a"].shape == (1, 4) and batches[0]["b"] == [0]
    assert isinstance(batches[1], tuple)
    assert [array.shape for array in batches[1]] == [(2, 3), (1, 3)]
    assert batches[2].shape == (3, 2)
    assert batches[3] == []


def test_an_endless_sequence_goes_on_without_gap_across_loops_and_starts(make, take):
    enqueuer = make(Endless())

    assert take(enqueuer, 5) == [0, 1, 2, 3, 4]
    assert take(enqueuer, 3) == [5, 6, 7]
    assert take(enqueuer.get(), 70) == list(range(8, 78))
    enqueuer.stop()
    assert take(enqueuer, 2) == [78, 79]
    with pytest.raises(TypeError, match="endless"):
        len(enqueuer)


def test_shuffle_gives_a_permutation_that_differs_by_epoch(make, take):
    stream = make(Numbers(length=40), shuffle=True).get()

    epochs = [values(take(stream, 40)) for _ in range(3)]

    identity = list(range(40))
    assert [sorted(epoch) for epoch in epochs] == [identity] * 3
    assert len({tuple(epoch) for epoch in [*epochs, identity]}) == 4


def test_arguments_of_start_win_over_those_of_the_constructor(make, executor):
    enqueuer = make(Numbers(), workers=1, max_queue_size=7)
    assert enqueuer.max_queue_size == 7

    enqueuer.start(workers=2, max_queue_size=3)
    iter(enqueuer)

    assert enqueuer.stats().in_flight == enqueuer.max_queue_size == 3
    assert enqueuer.workers == (0 if executor == "inline" else 2)


def test_start_without_arguments_takes_those_of_the_constructor_again(make_any):
    enqueuer = make_any(Numbers(), executor="thread", workers=3, max_queue_size=7)
    enqueuer.start(workers=1, max_queue_size=2)
    enqueuer.stop()

    enqueuer.start()

    assert (enqueuer.workers, enqueuer.max_queue_size) == (3, 7)


def test_start_while_running_is_refused_where_it_would_change_something(make, take):
    enqueuer = make(Numbers())
    enqueuer.start()
    enqueuer.start()

    with pytest.raises(RuntimeError, match=r"running already.*stop\(\)"):
        enqueuer.start(workers=1)

    assert values(take(enqueuer.get(), 2)) == [0, 1]


def test_the_classic_attributes_are_there():
    sequence = Numbers()

    enqueuer = OrderedEnqueuer(sequence, False, True, workers=3)

    assert enqueuer.sequence is sequence
    assert enqueuer.use_multiprocessing is False
    assert enqueuer.shuffle is True
    assert enqueuer.workers == 3
    assert not enqueuer.is_running()


def test_start_with_no_workers_computes_in_the_consumer(make_any, children, take):
    enqueuer = make_any(Numbers())

    enqueuer.start(workers=0)

    assert values(take(enqueuer.get(), 3)) == [0, 1, 2]
    assert children() == []
