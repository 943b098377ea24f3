"""A contact sheet: all pictures of one batch with their labels, to be looked at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["contact_sheet", "sheet_size", "write_sheet"]

COLUMNS = 8
PICTURE_PX = 160
GAP_PX = 12
LABEL_PX = 26
HEADING_PX = 44
CELL_WIDTH_PX = PICTURE_PX + GAP_PX
CELL_HEIGHT_PX = PICTURE_PX + LABEL_PX + GAP_PX


def write_sheet(
    path: Path,
    images: NDArray[np.float64],
    labels: NDArray[np.int64],
    names: list[str],
    heading: str,
) -> None:
    """Write the contact sheet of a batch to the picture file `path`."""
    contact_sheet(images, [names[label] for label in labels], heading).save(path)


def contact_sheet(images: NDArray[np.float64], titles: list[str], heading: str) -> Image.Image:
    """Draw `images` (n, height, width, 3), from 0 to 1, in rows of eight, each over its title."""
    sheet = Image.new("RGB", sheet_size(len(images)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP_PX, GAP_PX), heading, fill="black", font=ImageFont.load_default(20))
    font = ImageFont.load_default(16)
    for place, (image, title) in enumerate(zip(images, titles, strict=True)):
        row, column = divmod(place, COLUMNS)
        left = GAP_PX + column * CELL_WIDTH_PX
        top = HEADING_PX + row * CELL_HEIGHT_PX
        sheet.paste(_picture(image), (left, top))
        middle = (left + PICTURE_PX // 2, top + PICTURE_PX + LABEL_PX // 2)
        draw.text(middle, _fitting(title, draw, font), fill="black", font=font, anchor="mm")
    return sheet


def sheet_size(count: int) -> tuple[int, int]:
    """Width and height in pixels of the sheet of `count` pictures."""
    rows = math.ceil(count / COLUMNS)
    return GAP_PX + COLUMNS * CELL_WIDTH_PX, HEADING_PX + rows * CELL_HEIGHT_PX


def _picture(image: NDArray[np.float64]) -> Image.Image:
    pixels = (image * 255).round().clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((PICTURE_PX, PICTURE_PX))


def _fitting(
    title: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
    if draw.textlength(title, font=font) <= PICTURE_PX:
        return title
    while title and draw.textlength(title + "...", font=font) > PICTURE_PX:
        title = title[:-1]
    return title + "..."
