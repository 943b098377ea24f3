"""`shard="auto"` of an enqueuer that was made before the process group."""

from __future__ import annotations

import logging

import pytest
from fake_frameworks import fake_torch

from seqloader import BatchedSequence, OrderedEnqueuer, ResumeError

ALONE = fake_torch(initialised=False)


@pytest.fixture
def make(bare):
    made = []

    def make(length=6, **options):
        options = {"workers": 0, "seed": 0, "shard": "auto", "remainder": "drop", **options}
        made.append(OrderedEnqueuer(range(length), **options))
        return made[-1]

    bare(ALONE)
    yield make
    for enqueuer in made:
        enqueuer.stop()


def test_the_group_is_found_that_was_made_after_the_enqueuer(make, bare):
    enqueuer = make()
    assert (enqueuer.shard, len(enqueuer)) == ((0, 1), 6)

    bare(fake_torch(1, 2))
    assert (enqueuer.shard, len(enqueuer)) == ((1, 2), 3)
    assert list(enqueuer) == [1, 3, 5]
    assert enqueuer.state_dict()["shard"] == [1, 2]


def test_it_is_found_anew_for_each_epoch_and_kept_within_one(make, bare):
    enqueuer = make()
    bare(fake_torch(1, 2))
    batches = iter(enqueuer)
    assert next(batches) == 1

    bare(ALONE)  # the group was destroyed
    assert enqueuer.shard == (1, 2)
    assert enqueuer.state_dict()["shard"] == [1, 2]
    assert list(batches) == [3, 5]
    assert enqueuer.shard == (0, 1)
    assert list(enqueuer) == [0, 1, 2, 3, 4, 5]


def test_a_shard_that_was_given_is_kept(make, bare):
    enqueuer = make(shard=(1, 3))
    bare(fake_torch(0, 2))

    assert enqueuer.shard == (1, 3)
    assert list(enqueuer) == [1, 4]


def test_an_environment_that_is_half_set_is_an_error_only_when_an_epoch_begins(make, bare):
    # As Lightning's launcher leaves it before the process group is there.
    bare(WORLD_SIZE="2", LOCAL_RANK="1")
    enqueuer = make()
    with pytest.raises(ValueError, match="found WORLD_SIZE='2' in the environment, but no RANK"):
        iter(enqueuer)

    bare(fake_torch(1, 2))
    assert list(enqueuer) == [1, 3, 5]


def test_a_wrong_argument_is_an_error_at_once(make):
    with pytest.raises(ValueError, match="shard must be"):
        make(shard="all")


def test_it_is_told_where_it_was_found_then(make, bare, caplog):
    with caplog.at_level(logging.INFO, "seqloader"):
        enqueuer = make()
        bare(fake_torch(1, 2))
        list(enqueuer)
        list(enqueuer)

    said = [record.getMessage().split(" (")[0] for record in caplog.records]
    said = [text for text in said if text.startswith("shard")]  # the others are verdicts
    assert said == ['shard="auto": 0 of 1', 'shard="auto": 1 of 2']


@pytest.mark.parametrize("shuffled", ["batches", "samples"])
def test_shards_that_come_late_need_a_seed_as_well(shuffled, bare):
    bare(ALONE)
    sequence = range(6) if shuffled == "batches" else BatchedSequence(range(6), 1, shuffle=True)
    with OrderedEnqueuer(
        sequence, shuffle=shuffled == "batches", workers=0, shard="auto", remainder="drop"
    ) as enqueuer:
        bare(fake_torch(1, 2))
        for _ in range(2):  # it is not forgotten
            with pytest.raises(ValueError, match="2 shards of a shuffled order need a seed"):
                iter(enqueuer)


def test_a_length_that_does_not_divide_then_is_an_error_there(make, bare):
    enqueuer = make(5, remainder=None)
    bare(fake_torch(1, 2))

    with pytest.raises(ValueError, match="5 batches cannot be dealt out evenly to 2"):
        iter(enqueuer)


# --- states -------------------------------------------------------------------------------


def saved_in_mid_epoch(shard):
    with OrderedEnqueuer(range(6), workers=0, seed=0, shard=shard, remainder="drop") as enqueuer:
        next(iter(enqueuer))
        return enqueuer.state_dict()


@pytest.mark.parametrize("saved_on", [(0, 1), (0, 2), (0, 3)])
def test_a_state_that_is_loaded_after_the_group_was_made_is_dealt_out_to_it(make, bare, saved_on):
    enqueuer = make()
    bare(fake_torch(1, 2))
    enqueuer.load_state_dict(saved_in_mid_epoch(saved_on))

    assert list(enqueuer) == {1: [2, 4], 2: [3, 5], 3: [4]}[saved_on[1]]


def test_a_state_in_mid_epoch_that_was_loaded_before_the_group_is_refused_and_nothing_lost(
    make, bare
):
    enqueuer = make()
    state = saved_in_mid_epoch((0, 1))
    enqueuer.load_state_dict(state)
    bare(fake_torch(1, 2))

    with pytest.raises(ResumeError) as raised:
        iter(enqueuer)
    assert str(raised.value) == (
        'epoch 0 goes on at position 1 of shard 0 of 1, and shard="auto" now finds 1 of 2: the '
        "process group was made after the state was loaded, or the place sought. Make the group "
        "first, then the enqueuer, and load the state into that"
    )
    assert enqueuer.state_dict() == state


def test_a_place_that_was_sought_is_that_of_the_shard_that_sought_it(make, bare):
    enqueuer = make()
    enqueuer.seek(3)  # at the beginning of an epoch: of any shard
    bare(fake_torch(1, 2))
    assert list(enqueuer) == [1, 3, 5]

    enqueuer.seek(5, 2)
    assert list(enqueuer) == [5]
    enqueuer.seek(6, 2)
    bare(fake_torch(0, 3))
    with pytest.raises(ResumeError, match="position 2 of shard 1 of 2"):
        iter(enqueuer)


def test_what_is_to_be_skipped_is_that_of_the_shard_that_said_so(make, bare):
    enqueuer = make()
    bare(fake_torch(1, 2))
    enqueuer.skip([0])
    assert list(enqueuer) == [3, 5]

    enqueuer.skip([0])
    bare(fake_torch(0, 3))
    with pytest.raises(ResumeError, match="shard 1 of 2"):
        iter(enqueuer)
