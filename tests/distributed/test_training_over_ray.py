"""The same on a cluster: the ranks compute their batches with actors of one Ray, which outlives
them.

A rank is forked from a process that has torch and no Ray: it imports and joins Ray by itself.
"""

from __future__ import annotations

import importlib.util

import psutil
import pytest
from training_job import TrainingJob

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch"),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the executor needs Ray"),
    pytest.mark.leaks_ok(reason="Ray keeps threads, files and processes of its own"),
    pytest.mark.limit(180),
]


@pytest.fixture(scope="module")
def cluster():
    """A head, which the ranks are on, without room for actors; and a node that feeds them."""
    ray = pytest.importorskip("ray", reason="the executor needs Ray")
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **store})
    cluster.add_node(num_cpus=8, **store)
    yield cluster
    cluster.shutdown()
    ray.shutdown()


@pytest.fixture
def job(ranks, cluster, tmp_path):
    environment = {"EXECUTOR": "ray", "RAY_ADDRESS": cluster.address}
    return TrainingJob(ranks, tmp_path, "uneven", environment)


def actors():
    """The processes that compute batches, of all ranks."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if process.name().startswith("ray::Batch")
    ]


@pytest.mark.parametrize(
    ("kill_after", "then_on"), [(4, 1), (10, 3)], ids=["then-on-one", "then-on-three"]
)
def test_each_sample_is_read_once_before_the_kill_or_after_it(
    kill_after, then_on, uninterrupted, job
):
    job.run(ranks=2, kill_after=kill_after)
    job.run(then_on)

    assert job.kept[0] == (2, kill_after // 3 * 3)  # train.py saves every 3 steps
    assert job.batches_written(run=0) > len(job.batches(0, run=0))  # the kill undid something
    job.check_each_sample_once(uninterrupted)


def test_three_resumes_within_one_epoch_are_exact(uninterrupted, job):
    job.run(ranks=2, kill_after=4)
    job.run(ranks=3, kill_after=4)
    job.run(ranks=1, kill_after=7)
    job.run(ranks=2)

    assert job.kept[:3] == [(2, 3), (3, 3), (1, 6)]
    job.check_each_sample_once(uninterrupted)


def test_no_actor_of_a_killed_rank_remains(job):
    seen = []
    job.run(ranks=2, kill_after=1, before_kill=lambda: seen.extend(actors()))

    assert len(seen) == 2  # one each
    _, left = psutil.wait_procs(seen, timeout=60)  # they take less than two seconds, as a rule
    assert not left
    assert not actors()
