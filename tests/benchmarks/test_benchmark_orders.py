"""What benchmarks/permutation.py measures, in real fresh processes. No time is ever asserted."""

from __future__ import annotations

import numpy as np
import pytest
from harness.cases import Case
from harness.checks import WrongBatch
from harness.orders import check_order
from harness.processes import run_fresh
from peers.peer import is_installed


@pytest.mark.parametrize(
    ("measure", "engine", "requires"),
    [
        ("order_by_chunks", "seqloader", "seqloader"),
        ("order_one_by_one", "Grain", "grain"),
        ("order_whole_by_numpy", "none", "numpy"),
        ("order_whole_by_torch", "none", "torch"),
    ],
)
def test_every_way_to_compute_an_order_is_checked_and_measured(
    measure: str, engine: str, requires: str
) -> None:
    if not is_installed(requires):
        pytest.skip(f"{requires} is not installed")
    options = {"length": 3000, "chunk": 64}

    run = run_fresh(Case("order", measure, engine, workload_options=options))

    assert run.failure is None
    assert set(run.figures) == {"m_indices_per_s", "call_us", "first_index_us"}
    assert all(value > 0 for value in run.figures.values())


def test_permutation_passes_the_look_at_an_order() -> None:
    check_order(500, np.random.default_rng(0).permutation(500).__getitem__)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda positions: positions // 2, "an index twice"),
        (lambda positions: positions + 1, "gave indices that are not of them"),
        (lambda positions: positions[:-1], "gave indices that are not of them"),
    ],
    ids=["twice", "beyond", "too few"],
)
def test_what_is_no_permutation_makes_a_run_wrong(wrong: object, told: str) -> None:
    with pytest.raises(WrongBatch, match=told):
        check_order(500, wrong)  # type: ignore[arg-type]
