from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seqloader.command.demo.crops import Crops, choose_box, cut_crops
from seqloader.command.demo.photographs import NoPicturesError, Photograph, photographs_in


def contents(crops: Crops) -> list[bytes]:
    return [Path(path).read_bytes() for path in crops.paths]


def test_same_photographs_and_seed_give_the_same_crops(tmp_path):
    photographs = photographs_in(None)[:3]

    one = cut_crops(photographs, tmp_path / "one", count=7)
    other = cut_crops(photographs, tmp_path / "other", count=7)

    assert contents(one) == contents(other)
    assert one.labels == other.labels


def test_another_seed_cuts_elsewhere(tmp_path):
    photographs = photographs_in(None)[:1]

    one = cut_crops(photographs, tmp_path / "one", count=3, seed=1)
    other = cut_crops(photographs, tmp_path / "other", count=3, seed=2)

    assert contents(one) != contents(other)


def test_a_crop_carries_the_label_of_its_photograph(tmp_path):
    for label, colour in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
        Image.new("RGB", (300, 260), colour).save(tmp_path / f"{label}.png")

    crops = cut_crops(photographs_in(tmp_path), tmp_path / "crops", count=5)

    for path, label in zip(crops.paths, crops.labels, strict=True):
        with Image.open(path) as crop:
            red, _, blue = crop.getpixel((0, 0))
        assert crops.names[label] == ("red" if red > blue else "blue")


def test_photographs_take_turns(tmp_path):
    photographs = photographs_in(None)

    crops = cut_crops(photographs, tmp_path, count=24)

    assert crops.labels == [*range(12), *range(12)]
    assert len(set(crops.paths)) == 24


def test_more_photographs_than_crops_leave_no_gap(tmp_path):
    crops = cut_crops(photographs_in(None), tmp_path, count=2)

    assert all(Path(path).is_file() for path in crops.paths)


def test_photographs_of_one_label_share_its_number(tmp_path):
    first, second, third = photographs_in(None)[:3]
    photographs = [
        Photograph(first.path, "a"),
        Photograph(second.path, "b"),
        Photograph(third.path, "a"),
    ]

    crops = cut_crops(photographs, tmp_path, count=6)

    assert crops.names == ["a", "b"]
    assert crops.labels == [0, 1, 0, 0, 1, 0]


def test_grey_photographs_become_rgb_crops(tmp_path):
    camera = [each for each in photographs_in(None) if each.label == "camera"]

    crops = cut_crops(camera, tmp_path, count=1)

    with Image.open(crops.paths[0]) as crop:
        assert crop.mode == "RGB"


@given(width=st.integers(1, 2000), height=st.integers(1, 2000), seed=st.integers(0, 99))
def test_a_box_is_a_square_inside_the_picture(width, height, seed):
    box = choose_box((width, height), random.Random(seed))

    assert 0 <= box.left < box.right <= width
    assert 0 <= box.top < box.bottom <= height
    side = box.right - box.left
    assert side == box.bottom - box.top
    assert min(200, width, height) <= side <= 300


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "broken.png").write_text("not a picture")

    with pytest.raises(NoPicturesError, match=r"broken\.png"):
        cut_crops(photographs_in(tmp_path), tmp_path / "crops", count=1)
