"""Real photographs, decoded and resized as a training program does: the work of the jpeg chapter.

The photographs are those in the scikit-image wheel, cut at random places and written as JPEGs of
one size, with a table of what Pillow makes of them at the places where the consumer looks.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.workloads import ENDLESS, Workload

FOLDER_VARIABLE = "SEQLOADER_BENCHMARK_PICTURES"
"""Names the folder in the environment: results must not hold paths of the machine."""

COUNT = 500
SIZE_PX = (500, 375)
RESIZED_PX = (224, 224)
BATCH = 32
JPEG_QUALITY = 90
TABLE = "touched.npy"
STEP = 4096  # bytes between two that the consumer reads: a page
SMALLEST_PART = 0.8  # of the largest crop that fits


def cut_pictures(folder: Path, count: int = COUNT) -> None:
    """Write `count` JPEGs and the table of their touched bytes into `folder`."""
    from PIL import Image

    from seqloader.command.demo.photographs import photographs_in

    photographs = photographs_in(None)
    touched = {}
    for turn, photograph in enumerate(photographs[:count]):
        with Image.open(photograph.path) as opened:
            picture = opened.convert("RGB")
        rng = random.Random(f"pictures/{turn}")
        for number in range(turn, count, len(photographs)):
            crop = picture.resize(SIZE_PX, box=_choose_box(picture.size, rng))
            crop.save(_path(folder, number), quality=JPEG_QUALITY)
            decoded = decode(_path(folder, number))
            touched[number] = decoded.reshape(-1)[::STEP]
    np.save(folder / TABLE, np.stack([touched[number] for number in range(count)]))


def decode(path: str) -> np.ndarray[Any, Any]:
    """The picture file as a (224, 224, 3) array of uint8."""
    from PIL import Image

    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB").resize(RESIZED_PX))


def _choose_box(size: tuple[int, int], rng: random.Random) -> tuple[int, int, int, int]:
    """A box of the wanted proportions, almost as large as fits, somewhere in the picture."""
    scale = min(size[0] / SIZE_PX[0], size[1] / SIZE_PX[1]) * rng.uniform(SMALLEST_PART, 1)
    width, height = int(SIZE_PX[0] * scale), int(SIZE_PX[1] * scale)
    left, top = rng.randint(0, size[0] - width), rng.randint(0, size[1] - height)
    return left, top, left + width, top + height


def _path(folder: Path, number: int) -> str:
    return str(folder / f"{number:05d}.jpg")


class Pictures(Workload):
    """32 JPEGs of about 500x375, decoded and resized to 224x224 by Pillow: uint8 and an index.

    The list of files is walked again and again, so that a stream has no end.
    """

    def __init__(self, length: float = ENDLESS) -> None:
        super().__init__(length)
        folder = Path(os.environ[FOLDER_VARIABLE])
        self._touched = np.load(folder / TABLE)
        self.paths = [_path(folder, number) for number in range(len(self._touched))]

    def __getitem__(self, index: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        images = self._allocate((BATCH, *RESIZED_PX, 3))
        for place, number in enumerate(self._numbers(index)):
            images[place] = decode(self.paths[number])
        return images, np.full(BATCH, index, np.int64)

    def touched(self, index: int) -> np.ndarray[Any, Any]:
        """What batch `index` holds at every 4096th byte of each of its pictures."""
        table: np.ndarray[Any, Any] = self._touched[self._numbers(index)]
        return table

    def _numbers(self, index: int) -> Sequence[int]:
        return [(index * BATCH + place) % len(self.paths) for place in range(BATCH)]

    def _allocate(self, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        return np.empty(shape, np.uint8)


class PicturesInArena(Pictures):
    """The same, put together in memory that `seqloader.empty` hands out."""

    def _allocate(self, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        from seqloader import empty

        return empty(shape, np.uint8)
