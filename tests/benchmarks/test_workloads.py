"""The workloads hold what their checks expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import workloads
from harness.checks import WrongBatch, check_batch
from harness.pictures import FOLDER_VARIABLE, Pictures, PicturesInArena, cut_pictures


@pytest.mark.parametrize(
    "sequence",
    [
        workloads.Copied(),
        workloads.CopiedInArena(),
        workloads.HoldsArray(nbytes=1_000_000),
        workloads.HoldsSharedArray(nbytes=1_000_000),
        workloads.HoldsPaths(count=100),
    ],
    ids=lambda sequence: type(sequence).__name__,
)
def test_workload_holds_what_its_check_expects(sequence: Any) -> None:
    check_batch(sequence[7], 7, True, sequence)


def test_copy_is_checked_on_every_page() -> None:
    array, labels = workloads.Copied()[7]
    array[200, 0] = 0

    with pytest.raises(WrongBatch, match="batch 7 does not hold"):
        check_batch((array, labels), 7, True)


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

    assert (array.shape, array.dtype) == ((32, 224, 224, 3), np.uint8)
    assert labels.tolist() == [1] * 32
    assert np.array_equal(array[8], sequence[0][0][0])
