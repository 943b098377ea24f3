"""Runs of the benchmark harness in real fresh processes. No time is ever asserted."""

from __future__ import annotations

import mmap
import os
import uuid
from pathlib import Path

import numpy as np
import psutil
import pytest
from harness import leftovers
from harness.cases import Case
from harness.checks import WrongBatch, check_batch
from harness.footprint import tree_memory_bytes
from harness.leftovers import named_memory, remove_since
from harness.processes import in_turn, run_fresh
from harness.workloads import ImagesInArena, Tiny, Uneven

MB = 1_000_000
LIMIT_S = 60.0


@pytest.mark.parametrize("engine", ["loop", "Pool.imap", "seqloader"])
def test_every_engine_delivers_a_checked_stream(engine: str) -> None:
    run = run_fresh(Case("stream", "stream", engine, min_batches=20, time_limit_s=LIMIT_S))

    assert run.failure is None
    assert run.figures["batches"] >= 20
    assert run.figures["consumer_us"] > 0
    assert run.figures["all_us"] > 0


@pytest.mark.parametrize("engine", ["loop", "Pool.imap", "seqloader"])
@pytest.mark.parametrize("workload", ["Tiny", "NewOrderEachEpoch"])
def test_every_engine_delivers_whole_epochs(engine: str, workload: str) -> None:
    case = Case("epochs", "epochs", engine, workload, {"length": 20}, epochs=3)

    run = run_fresh(case)

    assert run.failure is None
    assert run.figures["epoch_ms"] > 0


@pytest.mark.parametrize("engine", ["loop", "Pool.imap", "seqloader"])
def test_start_up_is_watched_from_outside(engine: str) -> None:
    holds = {"nbytes": 20 * MB, "length": 8}
    case = Case("start", "first_batch", engine, "HoldsArray", holds, watch_memory=True)

    run = run_fresh(case)

    assert run.failure is None
    assert 0 < run.figures["first_batch_s"] <= run.figures["epoch_s"]
    assert run.figures["peak_memory_mb"] > 20


@pytest.mark.parametrize("engine", ["Pool.imap", "seqloader"])
def test_makespan_is_never_better_than_ideal(engine: str) -> None:
    case = Case("uneven", "makespan", engine, "Uneven", {"length": 16}, in_flight=16)

    run = run_fresh(case)

    assert run.failure is None
    assert run.figures["over_ideal"] >= 1


def test_images_built_in_the_arena_arrive_intact() -> None:
    case = Case("arena", "stream", "seqloader", "ImagesInArena", {"batch": 2}, min_batches=20)

    assert run_fresh(case).failure is None


@pytest.mark.parametrize(
    ("measure", "workload"),
    [
        ("pipe", "Tiny"),
        ("bandwidth", "Copied"),
        ("own_cost", "Copied"),
        ("loops", "Tiny"),
        ("interpreters", "Tiny"),
    ],
)
def test_what_is_measured_beside_the_peers_is_positive(measure: str, workload: str) -> None:
    run = run_fresh(Case("beside", measure, workload=workload, workers=2, measure_s=0.01))

    assert run.failure is None
    assert run.figures
    assert all(value > 0 for value in run.figures.values())


def test_sleepers_take_their_even_share_of_the_time() -> None:
    run = run_fresh(Case("ideal", "sleepers", workload="Uneven", workload_options={"length": 32}))

    assert run.failure is None
    assert run.figures["over_even_share"] >= 1


def test_streams_of_peers_without_a_bound_are_made_of_epochs() -> None:
    five = {"length": 5}

    run = run_fresh(Case("short", "stream", "loop", "Tiny", five, goes_on=True, min_batches=12))

    assert run.failure is None
    assert run.figures["batches"] >= 12


def test_cases_take_turns() -> None:
    one, two = Case("one", "own_cost"), Case("two", "own_cost")

    runs = in_turn([one, two], rounds=2)

    assert [(run.case.name, run.round) for run in runs] == [
        ("one", 1),
        ("two", 1),
        ("one", 2),
        ("two", 2),
    ]
    assert all(run.took_s > 0 for run in runs)


def test_case_that_was_measured_often_enough_leaves_the_turns() -> None:
    once, always = Case("once", "own_cost", max_rounds=1), Case("always", "own_cost")

    runs = in_turn([once, always], rounds=2)

    assert [run.case.name for run in runs] == ["once", "always", "always"]


def test_hung_run_is_killed_with_its_workers() -> None:
    marker = uuid.uuid4().hex  # is in the command line of the run and of what it forks
    for_ever = {"sleep_s": 3600.0}
    case = Case(marker, "stream", "Pool.imap", "Tiny", for_ever, time_limit_s=2.0)

    run = run_fresh(case)

    assert run.failure == "hung: killed after 2 s"
    assert run.hung
    assert not run.wrong
    left = [p for p in psutil.process_iter(["cmdline"]) if marker in str(p.info["cmdline"])]
    _, alive = psutil.wait_procs(left, timeout=10)
    assert alive == []


def test_lost_batches_make_a_run_wrong() -> None:
    ends_early = {"length": 3}

    run = run_fresh(Case("short", "stream", "loop", "Tiny", ends_early, min_batches=10))

    assert run.wrong
    assert "the epoch ended 3 batches into" in str(run.failure)


def test_crashed_run_shows_the_end_of_what_it_printed() -> None:
    run = run_fresh(Case("crash", "stream", "an engine nobody wrote"))

    assert not run.wrong
    assert "exit status 1" in str(run.failure)
    assert "no peer is named 'an engine nobody wrote'" in str(run.failure)


def test_check_accepts_the_batch_that_is_due() -> None:
    check_batch(Tiny()[4097], 4097, touch=True)


def test_check_rejects_another_batch_of_the_same_value() -> None:
    with pytest.raises(WrongBatch, match="batch 4097 came where 1 was due"):
        check_batch(Tiny()[4097], 1, touch=True)


@pytest.mark.parametrize("touch", [True, False])
def test_check_sees_altered_data_where_it_touches(touch: bool) -> None:
    array = np.full((4, 1024), 7, np.float32)  # a row is a page
    array[2, 0] = 8
    batch = array, np.full(4, 7, np.int64)

    if touch:
        with pytest.raises(WrongBatch, match="batch 7 does not hold"):
            check_batch(batch, 7, touch)
    else:
        check_batch(batch, 7, touch)


def test_workloads_compute_what_the_check_expects() -> None:
    check_batch(Uneven()[3], 3, touch=True)
    check_batch(ImagesInArena(batch=1)[5], 5, touch=True)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd_create and /proc")
@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "only open"])
def test_shared_memory_is_counted_once(mapped: bool) -> None:
    nbytes = 64 * MB
    before_bytes = tree_memory_bytes(os.getpid())
    assert before_bytes is not None
    descriptor = os.memfd_create("counted")
    try:
        os.ftruncate(descriptor, nbytes)
        with mmap.mmap(descriptor, nbytes) as view:
            for start in range(0, nbytes, mmap.PAGESIZE):
                view[start] = 1
            mapped_bytes = tree_memory_bytes(os.getpid())
        open_bytes = tree_memory_bytes(os.getpid())
    finally:
        os.close(descriptor)

    after_bytes = mapped_bytes if mapped else open_bytes
    assert after_bytes is not None
    # Our part of the libraries changes with the number of other processes that map them.
    assert 0.8 * nbytes < after_bytes - before_bytes < 1.2 * nbytes


def test_memory_that_a_killed_run_left_is_removed_unless_somebody_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "FOLDER", tmp_path)  # other programs use the real one
    before = named_memory()
    left, used = tmp_path / "left", tmp_path / "used"
    left.write_bytes(b"left")
    with used.open("wb"):
        remove_since(before)
        assert not left.exists()
        assert used.exists()

    remove_since(before)

    assert not used.exists()
