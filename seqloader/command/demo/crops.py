"""Cutting photographs into the labelled picture files of a small data set."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

from seqloader.command.demo.photographs import NoPicturesError

if TYPE_CHECKING:
    from pathlib import Path

    from seqloader.command.demo.photographs import Photograph

__all__ = ["Box", "Crops", "choose_box", "cut_crops"]

SMALLEST_SIDE_PX = 200
LARGEST_SIDE_PX = 300
JPEG_QUALITY = 90


class Box(NamedTuple):
    """A rectangle in pixels, as Pillow takes it."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Crops:
    """A data set on disk: picture files, the class of each, and the names of the classes."""

    paths: list[str]
    labels: list[int]
    names: list[str]


def cut_crops(photographs: list[Photograph], folder: Path, *, count: int, seed: int = 0) -> Crops:
    """Cut `count` squares out of `photographs` into JPEG files `folder/<label>/<number>.jpg`.

    The photographs take turns, so that any stretch of the data set holds all labels. The same
    photographs, count and seed give the same files.
    """
    names = list(dict.fromkeys(photograph.label for photograph in photographs))
    paths = [""] * count
    labels = [0] * count
    for turn, photograph in enumerate(photographs[:count]):
        target = folder / photograph.label
        target.mkdir(parents=True, exist_ok=True)
        picture = _open(photograph)
        rng = random.Random(f"{seed}/{turn}")
        for number in range(turn, count, len(photographs)):
            path = target / f"{number:05d}.jpg"
            picture.crop(choose_box(picture.size, rng)).save(path, quality=JPEG_QUALITY)
            paths[number] = str(path)
            labels[number] = names.index(photograph.label)
    return Crops(paths, labels, names)


def choose_box(size: tuple[int, int], rng: random.Random) -> Box:
    """A square somewhere in a picture of `size`, of a random side that fits."""
    width, height = size
    largest = min(LARGEST_SIDE_PX, width, height)
    side = rng.randint(min(SMALLEST_SIDE_PX, largest), largest)
    left, top = rng.randint(0, width - side), rng.randint(0, height - side)
    return Box(left, top, left + side, top + side)


def _open(photograph: Photograph) -> Image.Image:
    try:
        with Image.open(photograph.path) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise NoPicturesError(f"Cannot read the picture {photograph.path}: {error}") from error
