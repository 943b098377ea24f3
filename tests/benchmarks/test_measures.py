"""Every measure there is, in real fresh processes. No time is ever asserted."""

from __future__ import annotations

import subprocess
import sys
import uuid
from typing import Any

import numpy as np
import psutil
import pytest
from harness import measures, resumption
from harness.cases import Case
from harness.checks import WrongBatch, check_batch
from harness.gathers import checked_epoch, first_of
from harness.orders import check_order
from harness.processes import (
    SHARED,
    environment,
    named_memory,
    remove_memory_since,
    run_fresh,
)
from harness.script import in_turn, requires
from harness.workloads import ImagesInArena, Tiny, Uneven
from peers.peer import is_installed

MB = 1_000_000
ENGINES = ("loop", "Pool.imap", "seqloader")
LONG = {"length": 100_000, "position": 90_001}
ROWS = {"rows": 240, "row_nbytes": 16, "batch": 4}
ORDER = {"length": 3000, "chunk": 64}
HOLDS = {"nbytes": 20 * MB, "length": 8}


def case(measure: str, engine: str = "none", workload: str = "Tiny", **options: Any) -> Case:
    facts = {name: options.pop(name) for name in list(options) if hasattr(Case, name)}
    if measure.startswith("gather"):
        facts |= {"in_flight": 4, "measure_s": 0.01}
    return Case(measure, measure, engine, workload, options, **facts)


MEASURED = [
    *(case("stream", engine, min_batches=20) for engine in ENGINES),
    *(case("epochs", engine, length=20, epochs=3) for engine in ENGINES),
    *(case("epochs", e, "NewOrderEachEpoch", length=20, epochs=3) for e in ENGINES),
    *(case("first_batch", engine, "HoldsArray", **HOLDS, watch_memory=True) for engine in ENGINES),
    *(case("makespan", e, "Uneven", length=16, in_flight=16) for e in ENGINES[1:]),
    case("stream", "seqloader", "ImagesInArena", batch=2, min_batches=20),
    case("stream", "loop", length=5, goes_on=True, min_batches=12),
    case("pipe"),
    case("bandwidth", workload="Copied"),
    case("own_cost", workload="Copied"),
    case("loops", measure_s=0.01),
    case("interpreters"),
    case("sleepers", workload="Uneven", length=32),
    case("gather_by_seqloader", "seqloader", **ROWS),
    case("gather_by_take", **ROWS),
    case("gather_by_torch", **ROWS, requires="torch"),
    case("order_by_chunks", "seqloader", **ORDER),
    case("order_one_by_one", "Grain", **ORDER),
    case("order_whole_by_numpy", **ORDER),
    case("order_whole_by_torch", **ORDER, requires="torch"),
    case("resume", "seqloader", **LONG),
    case("resume", "seqloader", **LONG, shuffle=1),
    case("resume", "seqloader", length=100_000, position=900, batch=32, shuffle=1),
    case("resume", "torchdata", **LONG),
    case("resume", "Grain", **LONG, shuffle=1),
    case("save", "seqloader", length=10),  # also over short epochs
    *(case("save", engine, length=10**9) for engine in ("seqloader", "torchdata", "Grain")),
]
FIGURES = {
    "bandwidth": {"np_full_gb_per_s", "fill_gb_per_s", "copy_and_copy_gb_per_s"},
    "epochs": {"epochs", "epoch_ms", "first_batch_ms", "slowest_first_batch_ms"},
    "first_batch": {"first_batch_s", "epoch_s", "peak_memory_mb"},
    "gather": {"batches_per_s", "samples_per_s", "gb_per_s", "worker_us"},
    "interpreters": {"first_batch_s"},
    "loops": {"batches_per_s", "items_per_s", "gb_per_s"},
    "makespan": {"wall_s", "over_ideal", "over_even_share"},
    "order": {"m_indices_per_s", "call_us", "first_index_us"},
    "own": {"check_us"},
    "pipe": {"pipe_write_read_us", "pipe_round_trip_us"},
    "resume": {"fresh_ms", "resumed_ms", "resumed_over_fresh", "pairs"},
    "save": {"save_us", "state_nbytes"},
    "sleepers": {"wall_s", "over_even_share"},
    "stream": {"batches", "batches_per_s", "items_per_s", "gb_per_s", "consumer_us", "all_us"},
}


def name_of(case: Case) -> str:
    return f"{case.measure} {case.engine} {case.workload} {list(case.workload_options.values())}"


@pytest.mark.parametrize("case", MEASURED, ids=name_of)
def test_every_measure_brings_its_figures_from_checked_data(case: Case) -> None:
    missing = [name for name in requires(case) if not is_installed(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")

    run = run_fresh(case)

    assert run.failure is None
    kind = next(kind for kind in FIGURES if case.measure.startswith(kind))
    assert set(run.figures) >= FIGURES[kind]
    assert all(value > 0 for value in run.figures.values())
    assert run.figures.get("batches", case.min_batches) >= case.min_batches
    assert run.figures.get("first_batch_s", 0) <= run.figures.get("epoch_s", float("inf"))
    assert run.figures.get("peak_memory_mb", 21) > 20
    assert run.figures.get("over_ideal", 1) >= 1
    if kind == "gather":
        samples = run.figures["samples_per_s"]
        assert samples == pytest.approx(4 * run.figures["batches_per_s"])
        assert run.figures["gb_per_s"] == pytest.approx(samples * (16 + 8) / 1e9)


def test_no_measure_is_left_out_of_these_tests() -> None:
    assert {each.measure for each in MEASURED} == set(measures.MEASURES)


def test_no_peer_is_measured_with_seqloader_loaded() -> None:
    program = "import harness.one_run, sys; print('seqloader' in sys.modules)"
    command = [sys.executable, "-c", program]

    assert subprocess.check_output(command, env=environment()) == b"False\n"


def test_skipped_positions_are_part_of_the_state_that_is_measured() -> None:
    none, some = (
        run_fresh(case("save", "seqloader", length=10**6, **skips)).figures["state_nbytes"]
        for skips in ({}, {"skipped": 50})
    )

    assert some > none + 50 * len("[0,1,2],")


def test_cases_take_turns_until_they_were_measured_often_enough() -> None:
    once, always = Case("once", "own_cost", max_rounds=1), Case("always", "own_cost")

    runs = in_turn([once, always], rounds=2)

    assert [(r.case.name, r.round) for r in runs] == [("once", 1), ("always", 1), ("always", 2)]
    assert all(run.took_s > 0 for run in runs)


# --- what is wrong, hangs or breaks ------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "failure", "wrong"),
    [
        (case("stream", "loop", length=3, min_batches=10), "the epoch ended 3 batches into", True),
        (
            case("gather_by_seqloader", "seqloader", **{**ROWS, "rows": 40}),
            "10 batches an epoch leave too few",
            False,
        ),
        (
            case("stream", "an engine nobody wrote"),
            "no peer is named 'an engine nobody wrote'",
            False,
        ),
    ],
    ids=["lost batches", "no middle", "crash"],
)
def test_failed_run_shows_what_was_wrong_or_the_end_of_what_it_printed(
    case: Case, failure: str, wrong: bool
) -> None:
    run = run_fresh(case)

    assert run.wrong is wrong
    assert failure in str(run.failure)
    assert ("exit status 1" in str(run.failure)) is not wrong


def test_hung_run_is_killed_with_its_workers() -> None:
    marker = uuid.uuid4().hex  # is in the command line of the run and of what it forks
    for_ever = {"sleep_s": 3600.0}

    run = run_fresh(Case(marker, "stream", "Pool.imap", "Tiny", for_ever, time_limit_s=2.0))

    assert (run.failure, run.hung, run.wrong) == ("hung: killed after 2 s", True, False)
    left = [p for p in psutil.process_iter(["cmdline"]) if marker in str(p.info["cmdline"])]
    _, alive = psutil.wait_procs(left, timeout=10)
    assert alive == []


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs /dev/shm")
def test_memory_that_a_killed_run_left_is_removed_unless_somebody_uses_it() -> None:
    before = named_memory()
    left, used = (SHARED / f"benchmark-test-{uuid.uuid4().hex}" for _ in range(2))
    left.write_bytes(b"left")
    with used.open("wb"):
        remove_memory_since(before)
        assert not left.exists()
        assert used.exists()

    remove_memory_since(before)

    assert not used.exists()


class Stubborn:
    """Begins at its beginning, whatever was saved."""

    def state_at(self, position: int) -> int:
        return position

    label_at = state_at

    def open(self, state: object = None) -> Any:
        return iter([np.array([0])])

    def close(self) -> None:
        pass


def test_loader_that_does_not_resume_makes_a_run_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumption, "find", lambda case: Stubborn())

    with pytest.raises(WrongBatch, match="the first batch holds 0 where 90001 was due"):
        resumption.resume(case("resume", **LONG))


# --- the checks --------------------------------------------------------------------------


def test_check_accepts_what_the_workloads_compute_and_no_other_batch_of_the_same_value() -> None:
    check_batch(Tiny()[4097], 4097, touch=True)
    check_batch(Uneven()[3], 3, touch=True)
    check_batch(ImagesInArena(batch=1)[5], 5, touch=True)
    with pytest.raises(WrongBatch, match="batch 4097 came where 1 was due"):
        check_batch(Tiny()[4097], 1, touch=True)


def test_check_sees_altered_data_where_it_touches() -> None:
    array = np.full((4, 1024), 7, np.float32)  # a row is a page
    array[2, 0] = 8
    batch = array, np.full(4, 7, np.int64)

    check_batch(batch, 7, touch=False)
    with pytest.raises(WrongBatch, match="batch 7 does not hold"):
        check_batch(batch, 7, touch=True)


class Told:
    """An epoch of these labels in batches of two, with rows that fit, or those of other labels."""

    def __init__(self, labels: list[int], rows_of: list[int] | None = None) -> None:
        self.labels = np.array(labels)
        self.rows = first_of(self.labels if rows_of is None else np.array(rows_of))[:, None]

    def epoch(self) -> Any:
        for start in range(0, len(self.labels), 2):
            yield self.rows[start : start + 2], self.labels[start : start + 2]


@pytest.mark.parametrize(
    ("told", "failure"),
    [
        (Told([3, 0, 2, 1], rows_of=[3, 0, 1, 2]), "another label than its own"),
        (Told([3, 0, 0, 1]), "a row came twice"),
        (Told([3, 0]), "2 rows of 4 never came"),
    ],
    ids=["swapped", "twice", "lost"],
)
def test_wrong_epoch_of_gathered_rows_is_noticed(told: Told, failure: str) -> None:
    assert len(list(checked_epoch(Told([3, 0, 2, 1]), length=4))) == 2  # type: ignore[arg-type]
    with pytest.raises(WrongBatch, match=failure):
        list(checked_epoch(told, length=4))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda positions: positions // 2, "an index twice"),
        (lambda positions: positions + 1, "gave indices that are not of them"),
        (lambda positions: positions[:-1], "gave indices that are not of them"),
    ],
    ids=["twice", "beyond", "too few"],
)
def test_what_is_no_permutation_makes_a_run_wrong(wrong: Any, told: str) -> None:
    check_order(500, np.random.default_rng(0).permutation(500).__getitem__)
    with pytest.raises(WrongBatch, match=told):
        check_order(500, wrong)
