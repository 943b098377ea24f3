from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
from PIL import Image

from seqloader.command.demo.photographs import (
    WHEEL_PHOTOGRAPHS,
    NoPicturesError,
    photographs_in,
    wheel_folder,
)


def test_every_listed_photograph_is_a_file_of_the_scikit_image_wheel():
    files = metadata.files("scikit-image")
    assert files is not None
    carried = {Path(str(file)) for file in files}

    listed = {Path("skimage", "data", each.file_name) for each in WHEEL_PHOTOGRAPHS}

    assert listed <= carried


def test_every_listed_photograph_is_free():
    assert {each.licence for each in WHEEL_PHOTOGRAPHS} == {"CC0", "public domain"}


def test_listed_photographs_are_a_dozen_with_labels_of_their_own():
    assert len(WHEEL_PHOTOGRAPHS) == 12
    assert len({each.label for each in WHEEL_PHOTOGRAPHS}) == 12


def test_without_a_folder_the_photographs_of_the_wheel_are_taken():
    photographs = photographs_in(None)

    assert [each.path.name for each in photographs] == [p.file_name for p in WHEEL_PHOTOGRAPHS]
    assert {each.path.parent for each in photographs} == {wheel_folder()}


def test_sub_folders_are_labels(tmp_path):
    for name in ("cats/tom.png", "cats/kitty.jpg", "dogs/rex.png", "dogs/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()

    photographs = photographs_in(tmp_path)

    assert [(each.path.name, each.label) for each in photographs] == [
        ("kitty.jpg", "cats"),
        ("tom.png", "cats"),
        ("rex.png", "dogs"),
    ]


def test_in_a_flat_folder_file_names_are_labels(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "sea.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "land.JPG", "jpeg")

    labels = [each.label for each in photographs_in(tmp_path)]

    assert labels == ["land", "sea"]


def test_a_folder_without_pictures_is_named_in_the_error(tmp_path):
    with pytest.raises(NoPicturesError, match=tmp_path.name):
        photographs_in(tmp_path)
