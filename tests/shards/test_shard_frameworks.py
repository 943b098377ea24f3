"""`shard="auto"` with the real torch, jax and keras, in two processes each."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("ask_framework.py")
LIMIT_S = 100
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
    processes = []
    try:
        for rank in range(2):
            with (directory / f"{rank}.err").open("wb") as errors:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, str(PROGRAM), framework, str(rank), "2", address],
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=errors,
                        text=True,
                    )
                )
        outputs = [process.communicate(timeout=LIMIT_S)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    said = [(directory / f"{rank}.err").read_text()[-3000:] for rank in range(2)]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    return [json.loads(output.splitlines()[-1]) for output in outputs]  # Gloo prints before it


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
