"""A real distributed training is killed in mid-epoch, and resumed: no sample is lost or doubled.

Two processes under `torch.distributed` are killed by SIGKILL, with workers busy and batches in
flight, and resumed on one, two or three. What counts is what the saved state knows of, and all
that came after it was loaded.
"""

from __future__ import annotations

import importlib.util

import pytest
from numbered_samples import BATCHES
from training_job import TrainingJob

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch"),
]


@pytest.mark.parametrize(
    ("kill_after", "then_on"),
    [(1, 2), (4, 1), (10, 3), (16, 2)],
    ids=["before-anything-was-saved", "then-on-one", "then-on-three", "then-on-two"],
)
def test_each_sample_is_read_once_before_the_kill_or_after_it(
    kill_after, then_on, uninterrupted, ranks, tmp_path
):
    job = TrainingJob(ranks, tmp_path, "uneven")

    job.run(ranks=2, kill_after=kill_after)
    job.run(then_on)

    assert job.kept[0] == (2, kill_after // 3 * 3)  # train.py saves every 3 steps
    assert job.batches_written(run=0) > len(job.batches(0, run=0))  # the kill undid something
    job.check_each_sample_once(uninterrupted)


@pytest.mark.limit(120)
def test_three_resumes_within_one_epoch_are_exact(uninterrupted, ranks, tmp_path):
    job = TrainingJob(ranks, tmp_path, "uneven")

    job.run(ranks=2, kill_after=4)
    job.run(ranks=3, kill_after=1)  # it has saved nothing of its own: the next begins where it did
    job.run(ranks=3, kill_after=4)
    job.run(ranks=1, kill_after=7)
    job.run(ranks=2)

    assert job.kept[:4] == [(2, 3), (3, 0), (3, 3), (1, 6)]
    job.check_each_sample_once(uninterrupted)


def test_drop_leaves_out_the_end_of_the_epoch_and_nothing_else(uninterrupted, ranks, tmp_path):
    job = TrainingJob(ranks, tmp_path, "drop")

    job.run(ranks=2, kill_after=7)  # 6 steps count: 29 of 41 batches remain
    job.run(ranks=3)

    assert job.batches(0) == uninterrupted[0][: 12 + 27]
    assert job.batches(1) == uninterrupted[1][:39]


def test_pad_repeats_a_batch_and_marks_it(uninterrupted, ranks, tmp_path):
    job = TrainingJob(ranks, tmp_path, "pad")

    job.run(ranks=2, kill_after=7)  # 6 steps count: 29 of 41 batches remain, and 2 ranks read 30
    job.run(ranks=2)

    for epoch, count in enumerate([12 + 30, 42]):
        batches = job.batches(epoch)
        assert len(batches) == count
        assert batches[:BATCHES] == uninterrupted[epoch]
        for padding in batches[BATCHES:]:
            assert all(marked for _, _, marked in padding)
            unmarked = [[number, draw, False] for number, draw, _ in padding]
            assert unmarked in uninterrupted[epoch]
