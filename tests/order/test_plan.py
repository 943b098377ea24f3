from __future__ import annotations

import pickle
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloader.order import Cursor, Plan, Ranges, Shard

SEEDS = st.integers(0, 2**128)
SHARDS = st.integers(1, 8).flatmap(lambda n: st.builds(Shard, st.integers(0, n - 1), st.just(n)))


@st.composite
def plans(draw: st.DrawFn, max_length: int = 2**62) -> Plan:
    lengths = st.one_of(st.integers(0, 1000), st.integers(0, max_length))
    shard, epoch = draw(SHARDS), draw(st.integers(0, 10**6))
    if draw(st.booleans()):
        return Plan(None, False, draw(SEEDS), epoch, shard, draw(st.integers(0, 2**62)))
    return Plan(draw(lengths), draw(st.booleans()), draw(SEEDS), epoch, shard)


def delivered(plan: Plan) -> list[int]:
    assert plan.count is not None
    return plan.indices(0, plan.count)


# What the plan says


def test_without_shuffle_indices_come_in_their_own_order() -> None:
    assert delivered(Plan(5)) == [0, 1, 2, 3, 4]


def test_with_shuffle_every_index_comes_once_and_not_in_order() -> None:
    indices = delivered(Plan(1000, shuffle=True, seed=7))

    assert sorted(indices) == list(range(1000))
    assert indices != list(range(1000))


def test_shuffled_order_never_changes() -> None:
    assert delivered(Plan(12, shuffle=True, seed=7, epoch=2)) == [
        6,
        7,
        1,
        4,
        11,
        9,
        10,
        8,
        0,
        5,
        3,
        2,
    ]


def test_shuffled_orders_of_epochs_and_seeds_differ() -> None:
    orders = {
        tuple(delivered(Plan(50, shuffle=True, seed=seed, epoch=epoch)))
        for seed in range(10)
        for epoch in range(10)
    }

    assert len(orders) == 100


def test_shards_take_turns_in_one_global_order() -> None:
    whole = Plan(10, shuffle=True, seed=7)
    shards = [Plan(10, shuffle=True, seed=7, shard=Shard(id, 3)) for id in range(3)]

    assert [delivered(plan) for plan in shards] == [delivered(whole)[id::3] for id in range(3)]
    assert [plan.count for plan in shards] == [4, 3, 3]


@given(st.integers(0, 700), st.booleans(), SEEDS, st.integers(1, 8))
def test_union_of_the_shards_is_the_epoch(
    length: int, shuffle: bool, seed: int, count: int
) -> None:
    shards = [Plan(length, shuffle, seed, shard=Shard(id, count)) for id in range(count)]

    parts = [delivered(plan) for plan in shards]

    assert sorted(index for part in parts for index in part) == list(range(length))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_endless_plan_counts_on_from_its_first_index() -> None:
    plan = Plan(None, first=100)

    assert plan.count is None
    assert plan.indices(0, 5) == [100, 101, 102, 103, 104]
    assert plan.index(10**12) == 10**12 + 100


def test_shards_of_an_endless_plan_take_turns() -> None:
    shards = [Plan(None, shard=Shard(id, 3), first=6) for id in range(3)]

    assert [plan.indices(0, 3) for plan in shards] == [[6, 9, 12], [7, 10, 13], [8, 11, 14]]


@given(plans(), st.data())
def test_a_range_of_positions_is_as_one_by_one(plan: Plan, data: st.DataObject) -> None:
    end = 2**62 if plan.count is None else plan.count
    start = data.draw(st.integers(0, end))
    stop = min(end, start + data.draw(st.integers(0, 60)))

    assert plan.indices(start, stop) == [plan.index(position) for position in range(start, stop)]


@given(plans(), st.data())
def test_nothing_that_was_asked_before_counts(plan: Plan, data: st.DataObject) -> None:
    end = 2**62 if plan.count is None else plan.count
    positions = data.draw(st.lists(st.integers(0, end - 1), max_size=5)) if end else []
    twin = pickle.loads(pickle.dumps(plan))

    forwards = [plan.index(position) for position in positions]
    backwards = [twin.index(position) for position in reversed(positions)]

    assert forwards == backwards[::-1]


@given(plans(), st.data())
def test_indices_are_whole_python_ints(plan: Plan, data: st.DataObject) -> None:
    if plan.count == 0:
        return
    end = 2**20 if plan.count is None else min(plan.count, 2**20)
    stop = data.draw(st.integers(1, min(end, 40)))

    kinds = {type(index) for index in (plan.index(stop - 1), *plan.indices(0, stop))}

    assert kinds == {int}


@given(
    length=st.integers(0, 300),
    shuffle=st.booleans(),
    count=st.integers(1, 9),
    position=st.integers(0, 40),
    others=st.integers(1, 9),
    data=st.data(),
)
def test_what_remains_is_dealt_out_exactly_once_to_another_number_of_shards(
    length: int, shuffle: bool, count: int, position: int, others: int, data: st.DataObject
) -> None:
    skipped = Ranges.of(data.draw(st.sets(st.integers(0, 40), max_size=8)))
    epoch = [Plan(length, shuffle, seed=5, epoch=2, shard=Shard(id, count)) for id in range(count)]
    before = {plan.index(each) for plan in epoch for each in range(min(position, plan.count or 0))}
    left_out = {
        plan.index(each) for plan in epoch for each in range(plan.count or 0) if each in skipped
    }

    cursor = Cursor(2, position).skipping(2, skipped).on_other_shards(epoch[0])
    after = [
        index
        for id in range(others)
        for index in delivered(
            Plan(
                length,
                shuffle,
                5,
                2,
                Shard(id, others),
                cursor.first,
                left_out=cursor.left_out.get(2, Ranges()),
            )
        )
    ]

    assert sorted(after) == sorted(set(range(length)) - before - left_out)


@given(length=st.integers(0, 200), shuffle=st.booleans(), count=st.integers(1, 9))
def test_dropped_remainder_leaves_all_shards_the_same_count(
    length: int, shuffle: bool, count: int
) -> None:
    plans = [Plan(length, shuffle, shard=Shard(id, count), remainder="drop") for id in range(count)]

    whole = delivered(Plan(length, shuffle))[: length // count * count]
    assert {plan.count for plan in plans} == {length // count}
    assert sorted(index for plan in plans for index in delivered(plan)) == sorted(whole)


@given(length=st.integers(1, 200), shuffle=st.booleans(), count=st.integers(1, 300))
def test_padding_repeats_from_the_beginning_until_all_shards_have_as_many(
    length: int, shuffle: bool, count: int
) -> None:
    plans = [Plan(length, shuffle, shard=Shard(id, count), remainder="pad") for id in range(count)]
    each = -(-length // count)

    turns = [plan.index(position) for position in range(each) for plan in plans]
    padding = [position >= (plan.padding_from or 0) for position in range(each) for plan in plans]

    whole = delivered(Plan(length, shuffle))
    assert {plan.count for plan in plans} == {each}
    assert turns == [whole[turn % length] for turn in range(len(turns))]
    assert padding == [turn >= length for turn in range(len(turns))]


def test_a_plan_of_any_length_takes_the_same_memory() -> None:
    small, large = Plan(10, shuffle=True, seed=7), Plan(2**62, shuffle=True, seed=7)

    last = large.index(2**62 - 1)

    assert 0 <= last < 2**62
    assert len(pickle.dumps(large)) - len(pickle.dumps(small)) < 16
    assert not hasattr(large, "__dict__")


# What it refuses


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("position", [-1, 5, 6, 2**70])
def test_position_outside_the_plan_is_an_index_error(shuffle: bool, position: int) -> None:
    with pytest.raises(IndexError, match="a plan of 5"):
        Plan(10, shuffle, shard=Shard(1, 2)).index(position)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 6), (3, 2), (6, 6)])
def test_range_outside_the_plan_is_an_index_error(start: int, stop: int) -> None:
    with pytest.raises(IndexError, match="a plan of 5"):
        Plan(5, shuffle=True).indices(start, stop)


def test_endless_plan_has_no_position_before_0() -> None:
    with pytest.raises(IndexError, match="an endless plan"):
        Plan(None).index(-1)


def test_empty_plan_has_no_position() -> None:
    plan = Plan(0, shuffle=True)

    assert plan.count == 0
    assert plan.indices(0, 0) == []
    with pytest.raises(IndexError):
        plan.index(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": None, "shuffle": True}, "endless Sequence"),
        ({"length": -1}, "length must be at least 0"),
        ({"length": 2**62 + 1, "shuffle": True}, "cannot be shuffled"),
        ({"length": 5, "seed": -1}, "seed must be an int >= 0"),
        ({"length": 5, "epoch": -1}, "epoch must be at least 0"),
        ({"length": 5, "remainder": "some"}, "remainder must be one of"),
        ({"length": None, "first": -1}, "first must be at least 0"),
    ],
)
def test_plan_that_cannot_be_is_a_value_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plan(**arguments)


@pytest.mark.parametrize(("id", "count"), [(0, 0), (0, -1), (-1, 2), (2, 2), (5, 2)])
def test_shard_that_cannot_be_is_a_value_error(id: int, count: int) -> None:
    with pytest.raises(ValueError, match="a shard's"):
        Shard(id, count)


def test_plan_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Plan(5).epoch = 1  # type: ignore[misc]


def test_plans_of_the_same_facts_are_equal() -> None:
    assert Plan(5, True, 7, 2) == Plan(5, True, 7, 2)
    assert len(set(islice((Plan(5, True, 7, 2) for _ in range(9)), 9))) == 1


@pytest.mark.parametrize("remainder", ["drop", "pad", "uneven"])
@pytest.mark.parametrize("length", range(10))
@pytest.mark.parametrize("count", range(1, 5))
def test_how_many_are_real_at_the_end_is_counted_over_the_shards(length, count, remainder):
    plans = [Plan(length, shard=Shard(i, count), remainder=remainder) for i in range(count)]
    last = plans[0].count - 1
    real = sum(plan.padding_from > last and plan.count > last for plan in plans) if last >= 0 else 0

    assert plans[0].real_at_the_end == real


def test_an_endless_plan_has_no_end():
    assert Plan(None).real_at_the_end is None
