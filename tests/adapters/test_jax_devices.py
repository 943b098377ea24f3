"""JaxLoader over several devices, and over several processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jax", reason="jax is not installed")

PROGRAMS = Path(__file__).with_name("jax_programs.py")
ROOT = PROGRAMS.parents[2]

pytestmark = pytest.mark.limit(180)


def started(name: str, *arguments: str, devices: int) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.fspath(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, PROGRAMS, name, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(process: subprocess.Popen[str]) -> Any:
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def test_batches_are_split_over_the_devices_of_a_sharding():
    found = told(started("sharded", devices=4))

    assert found["devices"] == 4
    assert found["placed"]
    assert found["sums"] == [sum(4 * (8 * i + j) for j in range(8)) for i in range(5)] * 3


def test_batches_go_to_the_device_that_was_named():
    assert told(started("on_second_device", devices=2)) == [True] * 5


def test_a_batch_that_cannot_be_split_says_so_in_its_place():
    found = told(started("uneven", devices=4))

    assert found["got"] == [8, 8, 8, 8]
    assert found["at"] == 4
    assert "{'x': (3, 3), 'y': (3,)}" in found["notes"][0]
    assert "drop_last" in found["notes"][0]


def test_each_of_two_processes_gives_its_part_of_the_global_batch():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    both = [started("one_of_several", address, "2", str(n), devices=2) for n in range(2)]
    first, second = [told(process) for process in both]

    assert (first["shard"], second["shard"]) == ([0, 2], [1, 2])
    assert first["shape"] == [16, 3]
    # Position p of a process is global position 2 p + its number.
    for found, batches in ((first, (0, 2, 4)), (second, (1, 3, 5))):
        rows = [row for part in found["parts"] for row in part]
        assert rows == [8 * i + j for i in batches for j in range(8)]
    whole = [sum(3 * (16 * i + j) for j in range(16)) for i in range(3)]
    assert first["sums"] == second["sums"] == whole
