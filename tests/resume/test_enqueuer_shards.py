"""Each rank's part of every epoch, and what becomes of the rest."""

from __future__ import annotations

import pytest
from resumed_sequences import Counting, Drawing, Indices

from seqloader import BatchedSequence, OrderedEnqueuer, WeightedMix

RUNS = [{"workers": 0}, {"workers": 2}, {"workers": 2, "executor": "thread"}]


def ranks(make, sequence, count, **options):
    return [make(sequence, shard=(id, count), **options) for id in range(count)]


def in_turn(parts):
    """What all ranks deliver, step by step."""
    longest = max(map(len, parts))
    return [part[step] for step in range(longest) for part in parts if step < len(part)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 12])
@pytest.mark.parametrize("shuffle", [False, True])
def test_global_order_is_the_same_for_every_count(make, shuffle, count):
    whole = make(Indices(12), shuffle=shuffle)
    parts = ranks(make, Indices(12), count, shuffle=shuffle)

    for _ in range(2):
        assert in_turn([list(part) for part in parts]) == list(whole)


@pytest.mark.parametrize("run", RUNS)
def test_drop_leaves_all_shards_as_many_and_nobody_the_rest(make, run):
    parts = ranks(make, Indices(10), 4, remainder="drop", **run)

    assert [len(part) for part in parts] == [2, 2, 2, 2]
    assert in_turn([list(part) for part in parts]) == list(range(8))


@pytest.mark.parametrize("run", RUNS)
def test_pad_repeats_batches_and_marks_them(make, run):
    parts = ranks(make, Drawing(10), 4, remainder="pad", **run)

    batches = [list(part) for part in parts]

    assert [len(part) for part in parts] == [3, 3, 3, 3]
    assert [batch["place"][2] for batch in in_turn(batches)] == [*range(10), 0, 1]
    assert [batch["padding"] for batch in in_turn(batches)] == [False] * 10 + [True] * 2
    assert batches[2][2]["own"].tolist() == batches[0][0]["own"].tolist()


@pytest.mark.parametrize("run", RUNS)
def test_uneven_gives_the_first_shards_one_batch_more(make, run):
    parts = ranks(make, Indices(10), 4, remainder="uneven", **run)

    assert [len(part) for part in parts] == [3, 3, 2, 2]
    assert in_turn([list(part) for part in parts]) == list(range(10))


def test_length_that_does_not_divide_is_refused_with_the_three_choices(make):
    with pytest.raises(ValueError, match="10 batches cannot be dealt out evenly to 4") as caught:
        make(Indices(10), shard=(1, 4))

    for choice in ("drop", "pad", "uneven", "waits for them for ever"):
        assert choice in str(caught.value)


def test_length_that_stops_dividing_is_refused_where_the_epoch_begins(make):
    class Shrinking(Indices):
        def on_epoch_end(self):
            self.length -= 1

    enqueuer = make(Shrinking(8), shard=(0, 2))
    assert list(enqueuer) == [0, 2, 4, 6]

    with pytest.raises(ValueError, match="7 batches cannot be dealt out evenly to 2 shards"):
        iter(enqueuer)


def test_shards_of_a_shuffled_order_need_a_seed(make):
    with pytest.raises(ValueError, match="2 shards of a shuffled order need a seed"):
        make(Indices(10), shard=(0, 2), shuffle=True, seed=None)
    enqueuer = make(Indices(10), shard=(0, 2), seed=None)
    with pytest.raises(ValueError, match="need a seed"):
        enqueuer.shuffle = True

    assert list(enqueuer) == [0, 2, 4, 6, 8]


def test_shards_of_shuffled_samples_need_a_seed_somewhere(make):
    def shuffled(**options):
        return BatchedSequence(list(range(8)), 2, shuffle=True, **options)

    for sequence in (shuffled(), WeightedMix([shuffled(seed=1), shuffled(seed=2)], [1, 1])):
        with pytest.raises(ValueError, match="need a seed"):
            make(sequence, shard=(0, 2), seed=None, remainder="drop")

    make(shuffled(seed=1), shard=(0, 2), seed=None)
    make(shuffled(), shard=(0, 2), seed=1)


def test_shard_without_a_batch_has_an_empty_epoch(make):
    enqueuer = make(Indices(2), shard=(2, 3), remainder="uneven")

    assert len(enqueuer) == 0
    assert list(enqueuer) == []
    with pytest.raises(ValueError, match="of 2 batches over 3 shards, none is left for this one"):
        next(enqueuer.get())


def test_endless_sequence_is_dealt_out_in_turns(make):
    streams = [part.get() for part in ranks(make, Counting(), 3)]

    assert [next(stream) for _ in range(4) for stream in streams] == list(range(12))


@pytest.mark.parametrize("workers", [0, 2])
def test_random_numbers_do_not_depend_on_the_shard(make, workers):
    whole = {batch["place"][2]: batch["own"].tolist() for batch in make(Drawing(6), shuffle=True)}

    for part in ranks(make, Drawing(6), 3, shuffle=True, workers=workers):
        for batch in part:
            assert batch["own"].tolist() == whole[batch["place"][2]]


def test_shard_is_found_in_the_environment(monkeypatch):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")

    with OrderedEnqueuer(Indices(9), workers=0, shard="auto") as enqueuer:
        assert enqueuer.shard == (2, 3)
        assert list(enqueuer) == [2, 5, 8]


def test_any_rank_may_load_the_state_of_any_other(make):
    saved = ranks(make, Indices(12), 3, shuffle=True)
    iterators = [iter(part) for part in saved]
    for iterator in iterators:
        next(iterator)

    loaded = ranks(make, Indices(12), 3, shuffle=True)
    for part in loaded:
        part.load_state_dict(saved[1].state_dict())

    assert [list(part) for part in loaded] == [list(iterator) for iterator in iterators]


@pytest.mark.parametrize("remainder", ["some", 3, True])
def test_remainder_of_another_kind_is_refused(make, remainder):
    with pytest.raises(ValueError, match='remainder must be one of "drop", "pad", "uneven"'):
        make(Indices(9), remainder=remainder)


def test_an_iterator_knows_whether_its_last_batch_was_padding(make):
    known = []
    for part in ranks(make, Indices(4), 3, remainder="pad"):
        batches = iter(part)
        assert (batches.last_position, batches.padding) == (-1, False)
        known.append([(batch, batches.last_position, batches.padding) for batch in batches])

    assert known == [
        [(0, 0, False), (3, 1, False)],
        [(1, 0, False), (0, 1, True)],
        [(2, 0, False), (1, 1, True)],
    ]


def test_looking_ahead_does_not_change_what_the_last_batch_was(make):
    batches = iter(make(Indices(4), shard=(1, 3), remainder="pad"))
    next(batches)
    assert batches.has_next()
    assert (batches.last_position, batches.padding) == (0, False)


def test_no_batch_of_an_endless_sequence_is_padding(make):
    batches = iter(make(Counting(), shard=(1, 3), remainder="pad"))
    next(batches)
    assert (batches.last_position, batches.padding) == (0, False)
    assert batches.plan.padding_from is None
