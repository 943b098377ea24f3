"""What benchmarks/gather.py measures, in real fresh processes. No time is ever asserted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from harness.cases import Case
from harness.checks import WrongBatch
from harness.gathers import checked_epoch, first_of
from harness.processes import run_fresh
from peers.peer import is_installed

ROWS = {"rows": 240, "row_nbytes": 16, "batch": 4}


def case(measure: str, engine: str = "none", **options: float) -> Case:
    return Case(
        "gather",
        measure,
        engine,
        workload_options={**ROWS, **options},
        workers=2,
        in_flight=4,
        measure_s=0.01,
    )


class Told:
    """An epoch of these labels in batches of two, with rows that fit, or those of other labels."""

    def __init__(self, labels: list[int], rows_of: list[int] | None = None) -> None:
        self.labels = np.array(labels)
        self.rows = first_of(self.labels if rows_of is None else np.array(rows_of))[:, None]

    def epoch(self) -> Iterator[Any]:
        for start in range(0, len(self.labels), 2):
            yield self.rows[start : start + 2], self.labels[start : start + 2]

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("measure", "engine", "requires"),
    [
        ("gather_by_seqloader", "seqloader", "seqloader"),
        ("gather_by_take", "none", "numpy"),
        ("gather_by_torch", "none", "torch"),
    ],
)
def test_every_way_to_gather_is_measured(measure: str, engine: str, requires: str) -> None:
    if not is_installed(requires):
        pytest.skip(f"{requires} is not installed")

    run = run_fresh(case(measure, engine))

    assert run.failure is None
    assert set(run.figures) >= {"batches_per_s", "samples_per_s", "gb_per_s"}
    assert all(value > 0 for value in run.figures.values())


def test_samples_of_a_batch_are_counted() -> None:
    figures = run_fresh(case("gather_by_take")).figures

    assert figures["samples_per_s"] == pytest.approx(4 * figures["batches_per_s"])
    assert figures["gb_per_s"] == pytest.approx(figures["samples_per_s"] * (16 + 8) / 1e9)


def test_epoch_without_a_middle_is_refused() -> None:
    run = run_fresh(case("gather_by_seqloader", "seqloader", rows=40))

    assert "10 batches an epoch leave too few" in str(run.failure)


def test_whole_epoch_passes_the_check() -> None:
    assert len(list(checked_epoch(Told([3, 0, 2, 1]), length=4))) == 2


@pytest.mark.parametrize(
    ("told", "failure"),
    [
        (Told([3, 0, 2, 1], rows_of=[3, 0, 1, 2]), "another label than its own"),
        (Told([3, 0, 0, 1]), "a row came twice"),
        (Told([3, 0]), "2 rows of 4 never came"),
    ],
    ids=["swapped", "twice", "lost"],
)
def test_wrong_epoch_is_noticed(told: Told, failure: str) -> None:
    with pytest.raises(WrongBatch, match=failure):
        list(checked_epoch(told, length=4))
