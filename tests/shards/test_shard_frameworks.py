"""`shard="auto"` with the real torch, jax and keras, in two processes each."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from two_processes import free_port, run_by_two

PROGRAM = Path(__file__).with_name("ask_framework.py")
NOTHING = "nothing found: no torch.distributed, no keras.distribution or jax on several processes, "


def needs(module):
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"needs {module}")


@pytest.mark.parametrize(
    ("framework", "shards", "source"),
    [
        pytest.param(
            "torch",
            [(0, 2), (1, 2)],
            "torch.distributed",
            marks=[pytest.mark.torch, needs("torch")],
        ),
        pytest.param("jax", [(0, 2), (1, 2)], "jax", marks=needs("jax")),
        pytest.param(
            "keras-data-parallel",
            [(0, 2), (1, 2)],
            "keras.distribution",
            marks=[needs("keras"), needs("jax")],
        ),
        pytest.param(
            "keras-model-parallel",
            [(0, 1), (0, 1)],
            "keras.distribution",
            marks=[needs("keras"), needs("jax")],
        ),
    ],
)
@pytest.mark.limit(120)
def test_each_process_finds_its_shard_once_it_has_joined(framework, shards, source, tmp_path):
    answers = asked_in_two_processes(framework, tmp_path)

    assert [tuple(answer["after"]) for answer in answers] == [(*s, source) for s in shards]
    for answer in answers:  # and asking before did no harm
        assert answer["before"][:2] == [0, 1]
        assert answer["before"][2].startswith(NOTHING)


def asked_in_two_processes(framework, directory):
    address = f"127.0.0.1:{free_port()}"
    environment = {
        name: value for name, value in os.environ.items() if name not in {"RANK", "WORLD_SIZE"}
    }
    environment |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "KERAS_HOME": str(directory)}
    return run_by_two(
        PROGRAM,
        directory,
        lambda rank: [framework, str(rank), "2", address],
        lambda rank: environment,
    )
