"""TorchLoader in a training on two processes."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seqloader import ArraySequence, OrderedEnqueuer

torch = pytest.importorskip("torch", reason="torch is not installed")

pytestmark = [pytest.mark.torch, pytest.mark.slow]

PROGRAM = Path(__file__).with_name("train_with_ddp.py")
LIMIT_S = 150


def train(directory, epochs, stop_after):
    """What both processes tell."""
    ended = subprocess.run(
        [sys.executable, str(PROGRAM), str(directory), str(epochs), str(stop_after)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return [json.loads((directory / f"{rank}.json").read_text()) for rank in range(2)]


def whole(epochs):
    """The batches of one process, in order."""
    data = ArraySequence(np.arange(26), 4, shuffle=True)
    with OrderedEnqueuer(data, workers=0, seed=3) as enqueuer:
        return [[batch.tolist() for batch in enqueuer] for _ in range(epochs)]


def in_turn(told, which):
    return [*itertools.chain(*zip(*(each[which] for each in told), strict=True))]


@pytest.mark.limit(180)
def test_two_processes_share_the_order_of_one_and_go_on_after_a_stop_in_mid_epoch(tmp_path):
    expected = [batch for epoch in whole(2) for batch in epoch[:6]]  # of seven, one is dropped

    told = train(tmp_path, 2, stop_after=4)

    assert [each["before"] for each in told] == [[0, 1]] * 2  # there was no group yet
    assert [each["shard"] for each in told] == [[0, 2], [1, 2]]
    assert [each["length"] for each in told] == [3, 3]
    assert in_turn(told, "first") == expected[:8]
    assert in_turn(told, "rest") == expected[8:]
    assert told[0]["weights"] == told[1]["weights"]
