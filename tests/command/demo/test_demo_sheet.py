from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from seqloader.command.demo.sheet import contact_sheet, sheet_size, write_sheet


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (8, 1), (9, 2), (32, 4)])
def test_a_sheet_has_rows_of_eight(count, rows):
    width, height = sheet_size(count)

    assert width == sheet_size(1)[0]
    assert height - sheet_size(8)[1] == (rows - 1) * (sheet_size(9)[1] - sheet_size(8)[1])


def test_the_file_has_the_size_of_the_sheet(tmp_path):
    path = tmp_path / "sheet.png"

    write_sheet(path, np.zeros((11, 20, 20, 3)), np.arange(11) % 2, ["cat", "dog"], "a heading")

    with Image.open(path) as sheet:
        assert sheet.size == sheet_size(11)


def test_pictures_appear_in_their_places():
    black_and_red = np.zeros((2, 20, 20, 3))
    black_and_red[1, ..., 0] = 1.0

    colours = contact_sheet(black_and_red, ["black", "red"], "").getcolors(maxcolors=100_000)

    counts = {colour: count for count, colour in colours}
    assert counts[255, 0, 0] == 160 * 160
    assert counts[0, 0, 0] >= 160 * 160


def test_a_title_too_long_for_its_picture_is_cut():
    one = np.ones((2, 8, 8, 3))

    sheet = contact_sheet(one, ["m" * 200, ""], "")

    left_of_second = sheet.crop((12 + 172, 44 + 160, 12 + 172 + 160, 44 + 160 + 26))
    assert left_of_second.getcolors() == [(160 * 26, (255, 255, 255))]
