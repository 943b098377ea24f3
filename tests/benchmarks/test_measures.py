"""Every measure there is. No time is ever asserted."""

from __future__ import annotations

import tomllib
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from harness import devices, measures, processes, resumption, workloads
from harness.cases import Case
from harness.gathers import checked_epoch, first_of
from harness.pictures import FOLDER_VARIABLE, Pictures, PicturesInArena, cut_pictures
from harness.processes import named_memory, remove_memory_since, run_fresh
from harness.script import requires
from harness.workloads import WrongBatch, check_batch
from peers.peer import is_installed

MEASURED = tomllib.loads(Path(__file__).with_name("measured.toml").read_text(encoding="utf-8"))
CASES = [Case(name, name, **facts) for name, tried in MEASURED.items() for facts in tried["cases"]]


def case(measure: str, engine: str = "none", **options: float) -> Case:
    return Case(measure, measure, engine, workload_options=options)


def name_of(case: Case) -> str:
    return f"{case.measure} {case.engine} {case.workload} {list(case.workload_options.values())}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_every_measure_brings_its_figures_from_checked_data(case: Case) -> None:
    missing = [name for name in requires(case) if not is_installed(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if case.measure in devices.MEASURES and (why := devices.unavailable()):
        pytest.skip(why)

    run = run_fresh(case)

    assert run.failure is None
    figures = run.figures
    assert set(figures) >= set(MEASURED[case.measure]["figures"])
    assert figures.get("copied_mb", 0) == 0
    assert all(value > 0 for name, value in figures.items() if name != "copied_mb")
    assert figures.get("batches", case.min_batches) >= case.min_batches
    assert figures.get("first_batch_s", 0) <= figures.get("epoch_s", float("inf"))
    assert figures.get("peak_memory_mb", 21) > 20
    assert figures.get("over_ideal", 1) >= 1
    if "samples_per_s" in figures:
        assert figures["samples_per_s"] == pytest.approx(4 * figures["batches_per_s"])
        nbytes_per_s = figures["samples_per_s"] * (16 + 8)
        assert figures["gb_per_s"] == pytest.approx(nbytes_per_s / 1e9)


def test_no_measure_is_left_out_of_these_tests() -> None:
    assert set(MEASURED) == set(measures.MEASURES)


def test_skipped_positions_are_part_of_the_state_that_is_measured() -> None:
    none, some = (
        measures.MEASURES["save"](case("save", "seqloader", length=10**6, **skips))["state_nbytes"]
        for skips in ({}, {"skipped": 50})
    )

    assert some > none + 50 * len("[0,1,2],")


# --- what is wrong, hangs or breaks ------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "failure", "wrong"),
    [
        (case("stream", "loop", length=3), "the epoch ended 3 batches into", True),
        (
            case("gather_by_seqloader", "seqloader", rows=40, row_nbytes=16, batch=4),
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


def test_memory_that_a_killed_run_left_is_removed_unless_somebody_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "SHARED", tmp_path)  # other programs use the real one
    before = named_memory()
    left, used = tmp_path / "left", tmp_path / "used"
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
        resumption.resume(case("resume", length=100_000, position=90_001))


# --- the checks --------------------------------------------------------------------------


def test_check_sees_altered_data_where_it_touches() -> None:
    array = np.full((4, 1024), 7, np.float32)  # a row is a page
    array[2, 0] = 8
    batch = array, np.full(4, 7, np.int64)

    check_batch(batch, 7, touch=False)
    check_batch(workloads.Tiny()[4097], 4097, touch=True)  # values begin anew at 4096
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


# --- the workloads -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workload", "options"),
    [
        (workloads.Tiny, {}),
        (workloads.Uneven, {}),
        (workloads.ImagesInArena, {"batch": 1}),
        (workloads.Copied, {}),
        (workloads.CopiedInArena, {}),
        (workloads.HoldsArray, {"nbytes": 1_000_000}),
        (workloads.HoldsSharedArray, {"nbytes": 1_000_000}),
        (workloads.HoldsPaths, {"count": 100}),
    ],
)
def test_workload_holds_what_its_check_expects_and_is_no_other_batch_of_the_same_value(
    workload: Any, options: dict[str, Any]
) -> None:
    sequence = workload(**options)

    check_batch(sequence[7], 7, True, sequence)
    with pytest.raises(WrongBatch, match="batch 7 came where 4103 was due"):
        check_batch(sequence[7], 4103, True, sequence)


def test_ideal_of_uneven_items_is_bound_by_work_and_by_the_window() -> None:
    items = workloads.Uneven(400)  # 375 of 2 ms and 25 of 40 ms

    assert items.work_s() == pytest.approx(1.75)
    assert items.ideal_s(1, in_flight=32) == pytest.approx(1.75)
    assert items.ideal_s(4, in_flight=1) == pytest.approx(1.75)
    assert items.work_s() / 4 < items.ideal_s(4, in_flight=400) < items.ideal_s(4, in_flight=32)


@pytest.fixture
def pictures_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("PIL")
    pytest.importorskip("skimage")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    cut_pictures(tmp_path, count=40)
    return tmp_path


@pytest.mark.parametrize("kind", [Pictures, PicturesInArena])
def test_photographs_follow_each_other_and_are_checked_against_what_pillow_made_of_them(
    kind: type[Pictures], pictures_folder: Path
) -> None:
    sequence = kind()
    array, labels = sequence[1]  # 32 to 71 of 40: the last eight, then from the start

    check_batch((array, labels), 1, True, sequence)
    assert (array.shape, array.dtype) == ((32, 224, 224, 3), np.uint8)
    assert labels.tolist() == [1] * 32
    assert np.array_equal(array[8], sequence[0][0][0])
    changed = array.copy()
    changed[5] = 255 - changed[5]
    with pytest.raises(WrongBatch, match="batch 1 does not hold"):
        check_batch((changed, labels), 1, True, sequence)
