"""What benchmarks/resume.py measures, in real fresh processes. No time is ever asserted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from harness import resumption
from harness.cases import Case
from harness.checks import WrongBatch
from harness.processes import run_fresh
from peers import find as find_peer

LONG = {"length": 100_000, "position": 90_001}


def skip_without(engine: str) -> None:
    missing = find_peer(engine).missing()
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")


class Stubborn:
    """Begins at its beginning, whatever was saved."""

    def state_at(self, position: int) -> Any:
        return position

    def label_at(self, position: int) -> int:
        return position

    def open(self, state: Any = None) -> Iterator[Any]:
        return iter([np.array([0])])

    def save(self) -> Any:
        return 0

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("engine", "options"),
    [
        ("seqloader", LONG),
        ("seqloader", {**LONG, "shuffle": 1}),
        ("seqloader", {"length": 100_000, "position": 900, "batch": 32, "shuffle": 1}),
        ("torchdata", LONG),
        ("Grain", {**LONG, "shuffle": 1}),
    ],
    ids=["seqloader", "shuffled", "samples", "torchdata", "Grain"],
)
def test_resumed_start_is_measured_beside_a_fresh_one(
    engine: str, options: dict[str, float]
) -> None:
    skip_without(engine)

    run = run_fresh(Case("resume", "resume", engine, workload_options=options))

    assert run.failure is None
    assert run.figures["pairs"] >= 1
    assert run.figures["fresh_ms"] > 0
    assert run.figures["resumed_over_fresh"] > 0


def test_loader_that_does_not_resume_makes_a_run_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumption, "find", lambda case: Stubborn())

    with pytest.raises(WrongBatch, match="the first batch holds 0 where 90001 was due"):
        resumption.resume(Case("resume", "resume", workload_options=LONG))


@pytest.mark.parametrize(
    ("engine", "length"),
    [("seqloader", 10), ("seqloader", 10**9), ("torchdata", 10**9), ("Grain", 10**9)],
)
def test_state_is_saved_after_every_batch_also_over_short_epochs(engine: str, length: int) -> None:
    skip_without(engine)

    run = run_fresh(Case("save", "save", engine, workload_options={"length": length}))

    assert run.failure is None
    assert run.figures["save_us"] > 0
    assert run.figures["state_nbytes"] > 10


def test_skipped_positions_are_part_of_the_state_that_is_measured() -> None:
    none, some = (
        run_fresh(Case("save", "save", "seqloader", workload_options={"length": 10**6, **skips}))
        for skips in ({}, {"skipped": 50})
    )

    assert some.figures["state_nbytes"] > none.figures["state_nbytes"] + 50 * len("[0,1,2],")
