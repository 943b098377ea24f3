"""The simulated cluster keeps to what its costs allow."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import cluster_model
from harness.cluster import Cluster, Costs, Simulation

FREE = Costs(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
COSTS = Costs(1e-3, 5e-5, 2e-11, 2e-10, 3.2e-10, 3e-4)


@settings(deadline=None, max_examples=40)
@given(
    actors=st.integers(1, 200),
    nbytes=st.floats(1e3, 1e9),
    compute_s=st.floats(1e-4, 2.0),
    share=st.sampled_from([1.0, 0.125]),
)
def test_no_rate_exceeds_what_any_part_allows_and_one_of_them_is_reached(
    actors: int, nbytes: float, compute_s: float, share: float
) -> None:
    cluster = Cluster(actors, 16, 64e9, share)
    simulation = Simulation(COSTS, cluster, nbytes, compute_s)

    outcome = simulation.run()

    chunk = simulation.chunk
    most = {
        "its CPU": chunk / (COSTS.call_s + (chunk - 1) * COSTS.batch_s),
        "its network": share / (nbytes * COSTS.network_s_per_byte),
        "its reading": 1 / (nbytes * COSTS.take_s_per_byte),
        "workers": actors / (compute_s + nbytes * COSTS.store_s_per_byte),
    }
    whole = simulation.calls * chunk / simulation.taken_s[-1]
    assert whole <= 1.02 * min(most.values())  # what batches take is drawn
    assert outcome.batches_per_s <= 1.15 * min(
        most.values()
    )  # of three windows, seen at their ends
    assert sorted(simulation.taken_s) == simulation.taken_s
    assert len(simulation.taken_s) == simulation.calls
    if outcome.window >= 2 * actors * chunk:  # else the store has no room for all of them
        assert outcome.batches_per_s >= 0.5 * min(most.values())


def test_where_nothing_costs_anything_workers_are_the_limit() -> None:
    outcome = Simulation(FREE, Cluster(8, 16, 64e9), 1e6, 0.1).run()

    assert outcome.busiest == "workers"
    assert outcome.batches_per_s == pytest.approx(80, rel=0.1)


def test_a_store_without_room_for_all_workers_is_said_to_be_the_limit() -> None:
    outcome = Simulation(FREE, Cluster(1000, 16, 2e9), 1e8, 1.0).run()

    assert (outcome.window, outcome.busiest) == (10, "room in its object store")
    assert outcome.batches_per_s < 11


def test_tiny_batches_share_calls_and_large_ones_do_not() -> None:
    tiny, large = (
        Simulation(COSTS, Cluster(4, 16, 64e9), n, s) for n, s in ((1e3, 1e-4), (1e7, 1))
    )

    assert tiny.chunk == 16
    assert large.chunk == 1


def test_more_ranks_on_more_machines_get_more_until_workers_end() -> None:
    rates = [
        cluster_model.together(COSTS, "10 MB", nodes=32, ranks=ranks).batches_per_s
        for ranks in (1, 8, 16)
    ]

    assert rates[0] == pytest.approx(rates[1], rel=0.15)  # eight share one network
    assert rates[2] > 1.5 * rates[1]


@pytest.mark.slow
def test_stored_page_is_that_of_the_stored_costs(tmp_path: Path, monkeypatch) -> None:
    stored = (cluster_model.DOCS / "cluster-model.md").read_text(encoding="utf-8")
    monkeypatch.setattr(cluster_model, "DOCS", tmp_path)
    monkeypatch.setattr(cluster_model, "draw", lambda path, panels: None)
    monkeypatch.setattr(sys, "argv", ["cluster_model.py"])

    cluster_model.main()

    assert (tmp_path / "cluster-model.md").read_text(encoding="utf-8") == stored
