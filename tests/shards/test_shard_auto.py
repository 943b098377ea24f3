"""`shard="auto"`: who is asked, who comes first, who is not asked, and what is said of it."""

from __future__ import annotations

import itertools
import logging
import re
import sys

import pytest
from fake_frameworks import fake_jax, fake_keras, fake_torch

from seqloader.order import Shard
from seqloader.run.shards import resolve_shard, shard_source

ANSWERS = {
    "torch.distributed": (fake_torch(1, 10), {}, Shard(1, 10)),
    "keras.distribution": (fake_keras(20, shard_id=2), {}, Shard(2, 20)),
    "jax": (fake_jax(3, 30, distributed=True), {}, Shard(3, 30)),
    "(RANK, WORLD_SIZE) in the environment": (
        {},
        {"RANK": "4", "WORLD_SIZE": "40"},
        Shard(4, 40),
    ),
}
"""Every source, in the order in which they are asked: modules, environment, answer."""


@pytest.mark.parametrize("source", ANSWERS)
def test_each_source_answers_alone(source, bare):
    modules, environment, answer = ANSWERS[source]
    bare(modules, **environment)

    assert resolve_shard("auto") == answer
    assert shard_source("auto") == source


@pytest.mark.parametrize(("first", "second"), [*itertools.combinations(ANSWERS, 2)])
def test_of_two_that_answer_the_first_decides(first, second, bare):
    for source in (second, first):
        modules, environment, _ = ANSWERS[source]
        bare(modules, **environment)

    assert resolve_shard("auto") == ANSWERS[first][2]
    assert shard_source("auto") == first


def test_nothing_found_is_one_shard_of_one(bare):
    assert resolve_shard("auto") == Shard(0, 1)
    assert shard_source("auto").startswith("nothing found")


@pytest.mark.parametrize("source", ANSWERS)
def test_the_log_names_the_source(source, bare, caplog):
    modules, environment, answer = ANSWERS[source]
    bare(modules, **environment)

    with caplog.at_level(logging.INFO, "seqloader"):
        resolve_shard("auto")

    said = f'shard="auto": {answer.id} of {answer.count} ({source})'
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
        ("seqloader", "INFO", said)
    ]


def test_the_log_says_that_nothing_was_found(bare, caplog):
    with caplog.at_level(logging.INFO, "seqloader"):
        resolve_shard("auto")

    assert 'shard="auto": 0 of 1 (nothing found: no torch.distributed' in caplog.text


def test_a_shard_that_was_given_is_not_logged(caplog):
    with caplog.at_level(logging.INFO, "seqloader"):
        resolve_shard((1, 4))

    assert caplog.records == []


def test_no_framework_is_imported_for_it(bare):
    before = set(sys.modules)

    resolve_shard("auto")

    assert set(sys.modules) - before == set()


# --- who does not answer -------------------------------------------------------------------


@pytest.mark.parametrize(
    "silent",
    [
        fake_torch(1, 10, available=False),
        fake_torch(1, 10, initialised=False),
        fake_keras(None),
        fake_keras(1),
        fake_jax(0, 1, distributed=True),
        fake_jax(0, 1, backends=True),
        fake_jax(3, 30),
        {"torch.distributed": None, "jax": None, "keras": None},
        {"jax": object(), "keras": object()},
    ],
    ids=[
        "torch without distributed",
        "torch without a process group",
        "keras without a distribution",
        "keras on one process",
        "jax on one process, distributed",
        "jax on one process",
        "jax that nobody started",
        "imports that failed",
        "modules without what is asked",
    ],
)
def test_who_knows_of_no_other_process_leaves_it_to_the_launcher(silent, bare):
    bare(silent, RANK="1", WORLD_SIZE="2")

    assert resolve_shard("auto") == Shard(1, 2)


def test_a_process_group_of_one_does_answer(bare):
    bare(fake_torch(0, 1), fake_jax(3, 30, distributed=True))

    assert resolve_shard("auto") == Shard(0, 1)


def test_jax_is_not_asked_before_it_was_started(bare):
    asked = []
    bare(fake_jax(3, 30, asked=asked))

    assert resolve_shard("auto") == Shard(0, 1)
    assert asked == []


def test_jax_on_a_pod_needs_no_distributed(bare):
    bare(fake_jax(3, 30, backends=True))

    assert resolve_shard("auto") == Shard(3, 30)


def test_jax_without_its_private_module_is_found_when_distributed(bare):
    bare({"jax": fake_jax(3, 30, distributed=True)["jax"]})

    assert resolve_shard("auto") == Shard(3, 30)


def test_jax_without_is_initialized_is_found_by_its_backends(bare):
    modules = fake_jax(3, 30, backends=True)
    del modules["jax"].distributed
    bare(modules)

    assert resolve_shard("auto") == Shard(3, 30)


@pytest.mark.parametrize(("process", "shard"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_processes_that_share_a_model_get_the_same_shard(process, shard, bare):
    spread = fake_keras(4, shard_id=process // 2, replicas=2)
    bare(spread, fake_jax(process, 4, distributed=True))

    assert resolve_shard("auto") == Shard(shard, 2)


def test_more_replicas_than_processes_make_no_more_shards(bare):
    bare(fake_keras(2, shard_id=1, replicas=16))

    assert resolve_shard("auto") == Shard(1, 2)


def test_an_older_keras_leaves_the_answer_to_jax(bare):
    older = fake_keras(20, shard_id=2)
    del older["keras"].distribution.distribution().data_shard_id
    bare(older, fake_jax(3, 30, distributed=True))

    assert resolve_shard("auto") == Shard(3, 30)


# --- what does not fit ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RANK": "1"}, "found RANK='1' in the environment, but no WORLD_SIZE"),
        ({"WORLD_SIZE": "2"}, "found WORLD_SIZE='2' in the environment, but no RANK"),
        ({"RANK": "one", "WORLD_SIZE": "2"}, "RANK='one' and WORLD_SIZE='2'"),
        ({"RANK": "", "WORLD_SIZE": "2"}, "both must be whole numbers"),
        ({"RANK": "0.5", "WORLD_SIZE": "2"}, "both must be whole numbers"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "the ids of 2 shards are 0 ... 1"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "the ids of 2 shards are 0 ... 1"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "the count must be at least 1"),
    ],
)
def test_an_environment_that_does_not_fit_is_refused(environment, said, bare):
    bare(**environment)

    with pytest.raises(ValueError, match=re.escape(said)) as raised:
        resolve_shard("auto")

    assert 'shard="auto"' in str(raised.value)
    assert "in the environment" in str(raised.value)


def test_an_environment_that_does_not_fit_is_not_looked_at_when_torch_answers(bare, caplog):
    bare(fake_torch(1, 10), RANK="1")

    assert resolve_shard("auto") == Shard(1, 10)
    assert caplog.records == []


def test_torch_wins_against_another_world_in_the_environment_and_it_is_said(bare, caplog):
    bare(fake_torch(0, 2), RANK="3", WORLD_SIZE="4")

    assert resolve_shard("auto") == Shard(0, 2)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "0 of 2, from the initialised torch.distributed" in record.getMessage()
    assert "RANK=3 and WORLD_SIZE=4" in record.getMessage()


def test_torch_that_agrees_with_the_environment_is_no_matter(bare, caplog):
    bare(fake_torch(3, 4), RANK="3", WORLD_SIZE="4")

    assert resolve_shard("auto") == Shard(3, 4)
    assert caplog.records == []
