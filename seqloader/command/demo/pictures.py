"""The picture Sequence that tutorials begin with: read files, resize, stack.

Nothing in it knows of workers. Copy it, and change what it reads.
"""

from __future__ import annotations

import math
import random

import numpy as np
from numpy.typing import NDArray
from skimage.io import imread
from skimage.transform import resize

from seqloader.sequence import Sequence

__all__ = ["PictureBatch", "PictureSequence"]

SIDE_PX = 200

PictureBatch = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Pictures (batch, 200, 200, 3) between 0 and 1, and the class of each."""


class PictureSequence(Sequence[PictureBatch]):
    """Batches of pictures, read from files when they are asked for.

    Args:
        x_set: Paths of picture files.
        y_set: The class of each picture.
        batch_size: Pictures in a batch; the last one may hold fewer.
    """

    def __init__(self, x_set: list[str], y_set: list[int], batch_size: int) -> None:
        self.x, self.y = x_set, y_set
        self.batch_size = batch_size
        self.epochs_ended = 0

    def __len__(self) -> int:
        return math.ceil(len(self.x) / self.batch_size)

    def __getitem__(self, idx: int) -> PictureBatch:
        low = idx * self.batch_size
        high = min(low + self.batch_size, len(self.x))
        batch_x = self.x[low:high]
        batch_y = self.y[low:high]

        return np.array(
            [resize(imread(file_name), (SIDE_PX, SIDE_PX)) for file_name in batch_x]
        ), np.array(batch_y)

    def on_epoch_end(self) -> None:
        """Shuffle. The order builds on the last one: an epoch that a worker missed would show."""
        self.epochs_ended += 1
        order = list(range(len(self.x)))
        random.Random(self.epochs_ended).shuffle(order)
        self.x = [self.x[i] for i in order]
        self.y = [self.y[i] for i in order]
