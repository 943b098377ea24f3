"""The suite's workloads hold what their checks expect, and its chapters name what exists."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import peers
import pytest
from chapters import CHAPTERS
from chapters.paces import FULL, QUICK
from harness import measures, workloads
from harness.cases import Case
from harness.chapter import Chapter
from harness.checks import WrongBatch, check_batch
from harness.pictures import FOLDER_VARIABLE, Pictures, PicturesInArena, cut_pictures
from harness.tables import beside_table, peer_table
from suite_results import results

PEERS = [dataclasses.replace(peer, requires=()) for peer in peers.PEERS]  # as if all were there


@pytest.mark.parametrize(
    "sequence",
    [
        workloads.Copied(),
        workloads.CopiedInArena(),
        workloads.HoldsArray(nbytes=1_000_000),
        workloads.HoldsPaths(count=100),
    ],
    ids=lambda sequence: type(sequence).__name__,
)
def test_workload_holds_what_its_check_expects(sequence: Any) -> None:
    check_batch(sequence[7], 7, True, sequence)


def test_shared_array_holds_what_its_check_expects() -> None:
    if workloads.shared_empty() is None:
        pytest.skip("this seqloader has no shared_empty")

    sequence = workloads.HoldsSharedArray(nbytes=1_000_000)

    check_batch(sequence[7], 7, True, sequence)


def test_copy_is_checked_on_every_page() -> None:
    array, labels = workloads.Copied()[7]
    array[200, 0] = 0

    with pytest.raises(WrongBatch, match="batch 7 does not hold"):
        check_batch((array, labels), 7, True)


@pytest.fixture
def pictures_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("PIL")
    pytest.importorskip("skimage")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    cut_pictures(tmp_path, count=40)
    return tmp_path


@pytest.mark.parametrize("kind", [Pictures, PicturesInArena])
def test_photographs_are_checked_against_what_pillow_made_of_them(
    kind: type[Pictures], pictures_folder: Path
) -> None:
    sequence = kind()
    array, labels = sequence[3]

    check_batch((array, labels), 3, True, sequence)
    changed = array.copy()
    changed[5] = 255 - changed[5]
    with pytest.raises(WrongBatch, match="batch 3 does not hold"):
        check_batch((changed, labels), 3, True, sequence)


def test_photographs_follow_each_other_without_end(pictures_folder: Path) -> None:
    sequence = Pictures()

    array, labels = sequence[1]  # 32 to 71 of 40: the last eight, then from the start

    assert array.shape == (32, 224, 224, 3)
    assert array.dtype == np.uint8
    assert labels.tolist() == [1] * 32
    assert np.array_equal(array[8], sequence[0][0][0])


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
def test_every_case_of_a_chapter_names_what_exists(chapter: Chapter, quick: bool) -> None:
    cases = chapter.cases(quick, PEERS)

    names = [case.name for case in cases]
    assert len(set(names)) == len(names)
    for case in cases:
        assert case.name.startswith(f"{chapter.name}: ")
        measures.find(case.measure)
        workloads.find(case.workload)
        assert case.engine == "none" or peers.find(case.engine)
        assert case.time_limit_s >= (QUICK if quick else FULL).time_limit_s
        assert Case.from_json(case.to_json()) == case


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_every_peer_is_in_every_chapter_of_a_full_suite(chapter: Chapter) -> None:
    engines = {case.engine for case in chapter.cases(False, PEERS)}

    assert engines >= {peer.name for peer in PEERS if not peer.is_yardstick}


def test_every_peer_is_somewhere_in_a_quick_suite() -> None:
    engines = {
        case.engine
        for chapter in CHAPTERS
        for case in chapter.cases(True, PEERS)
        if chapter.quick_peers is None or case.engine in chapter.quick_peers
    }

    assert engines >= {peer.name for peer in PEERS}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_peers_that_quick_measures_exist(chapter: Chapter) -> None:
    assert set(chapter.quick_peers or []) <= {peer.name for peer in peers.PEERS}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_chapter_without_a_single_run_has_a_line_for_every_competitor(chapter: Chapter) -> None:
    table = peer_table(chapter, results())

    assert [row[0] for row in table.rows] == [
        *("quick peer", "slow peer", "unbounded", "unordered", "hanging", "absent", "seqloader")
    ]
    assert all(row[-1] for row in table.rows)
    assert beside_table(chapter, results()) is None
