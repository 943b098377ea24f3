"""What `shard=` may be, and what is said where it is something else."""

from __future__ import annotations

import re

import numpy as np
import pytest

from seqloader.order import Shard
from seqloader.run.shards import resolve_shard, shard_source


def test_none_is_the_whole():
    assert resolve_shard(None) == Shard(0, 1)
    assert shard_source(None) == "shard=None"


@pytest.mark.parametrize(
    "given",
    [
        (1, 4),
        [1, 4],
        (np.int64(1), np.uint8(4)),
        Shard(1, 4),
    ],
    ids=["tuple", "list", "numpy integers", "Shard"],
)
def test_a_pair_of_integers_is_id_and_count(given):
    shard = resolve_shard(given)

    assert shard == Shard(1, 4)
    assert type(shard.id) is int and type(shard.count) is int
    assert shard_source(given) == "shard=(1, 4)"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((4, 4), "shard is (4, 4), meaning (id, count): the ids of 4 shards are 0 ... 3"),
        ((1, 1), "the ids of 1 shard are 0 ... 0"),
        ((-1, 4), "the ids of 4 shards are 0 ... 3"),
        ((4, 1), "Did you mean (1, 4)?"),
        ((0, 0), "shard is (0, 0): the count must be at least 1"),
        ((0, -2), "the count must be at least 1"),
        ("all", "shard must be (id, count), \"auto\" or None, not 'all'"),
        ("AUTO", "not 'AUTO'"),
        ("", "not ''"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_with_those_that_would(given, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        resolve_shard(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "not 3: a shard's id needs their count beside it"),
        (True, '"auto" or None (the whole), not True'),
        (False, "not False"),
        ((0, 2.0), "shard must be a pair (id, count) of integers, not (0, 2.0)"),
        ((False, True), "not (False, True)"),
        ((np.False_, 2), "of integers"),
        (("0", "2"), "not ('0', '2')"),
        ((None, None), "not (None, None)"),
        ((0, 2, 4), "not (0, 2, 4)"),
        ((), "not ()"),
        ({0, 2}, "not {0, 2}"),
        ({"id": 0, "count": 2}, "not {'id': 0, 'count': 2}"),
        (np.array([0, 2]), "not array([0, 2])"),
        (Shard(False, True + 1), "not (False, 2)"),
        pytest.param(object(), "not <object object", id="an object"),
    ],
    ids=repr,
)
def test_anything_else_is_refused_at_once(given, said):
    with pytest.raises(TypeError, match=re.escape(said)):
        resolve_shard(given)
