"""`ArraySequence`: batches of arrays in memory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from seqloader.arrays import empty
from seqloader.samples.batched import BatchesOfSamples
from seqloader.samples.collate import as_array
from seqloader.samples.nest import map_nest
from seqloader.samples.rows import take_rows
from seqloader.sequence.interface import offered

if TYPE_CHECKING:
    from seqloader.samples.order import Indices

__all__ = ["ArraySequence"]


class ArraySequence(BatchesOfSamples):
    """Batches of the rows of arrays: a Sequence, made of arrays of one length.

        train = ArraySequence({"image": images, "label": labels}, 32, shuffle=True)

    A batch is the same nest with the rows of the batch in place of each array, gathered straight
    into the memory that they are delivered from. Arrays in shared memory (`seqloader.share`) are
    sent to the workers without a copy, and memmaps as the names of their files.

    What a batch needs beyond that is vectorised best. Override `__getitem__` for it, call
    `super().__getitem__(index)`, and draw from `batch_context().rng`.

    Args:
        arrays: A nest (tuple, list, dict, dataclass) of numpy arrays or CPU tensors of torch, each
            (samples, ...). Tensors are viewed as numpy arrays.
        batch_size: Samples in a batch; the last one may have fewer.
        shuffle: True: each epoch has all samples in a new order, a permutation of the whole.
            "blocks": blocks of `block_length` samples that lie side by side stay together, and come
            in a new order, each in a new order within: for memmaps on slow disks.
        block_length: Samples in a block, with "blocks".
        seed: An int >= 0 that decides the order; None: the enqueuer's.
        drop_remainder: Leave out a last batch that has fewer samples.

    Raises:
        TypeError: a leaf is no array; the message names it.
        ValueError: the lengths differ; or another argument is not as above.

    In an enqueuer, leave its own `shuffle` at False: it would permute the batches once more.
    """

    def __init__(
        self,
        arrays: Any,
        batch_size: int,
        *,
        shuffle: Any = False,
        block_length: int | None = None,
        seed: int | None = None,
        drop_remainder: bool = False,
    ) -> None:
        super().__init__(batch_size, shuffle, block_length, seed, drop_remainder)
        self.arrays = arrays

    @property
    def arrays(self) -> Any:
        """The nest of arrays. Another one may be set, between epochs."""
        return self._arrays

    @arrays.setter
    def arrays(self, arrays: Any) -> None:
        leaves: dict[str, Any] = {}

        def checked(leaf: Any, path: str) -> Any:
            leaves[path] = _as_rows(leaf, path)
            return leaves[path]

        nest = map_nest(checked, arrays)
        if not leaves:
            raise ValueError("arrays holds no array")
        if len({len(array) for array in leaves.values()}) > 1:
            named = ", ".join(f"arrays{path} has {len(array)}" for path, array in leaves.items())
            raise ValueError(f"all arrays must have as many rows: {named}")
        self._arrays = nest
        self._rows = len(next(iter(leaves.values())))

    def _count_samples(self) -> int:
        return self._rows

    def _batch(self, indices: Indices) -> Any:
        def taken(array: Any, path: str) -> Any:
            if len(array) != self._rows:  # rows that are not there would be taken from its end
                raise ValueError(
                    f"arrays{path} has {len(array)} rows now, and had {self._rows}. To change the "
                    "length, set `arrays` anew"
                )
            return take_rows(array, indices, empty)

        return map_nest(taken, self._arrays)


def _as_rows(leaf: Any, path: str) -> Any:
    """The array that a leaf is, or views; TypeError where it is none."""
    torch = sys.modules.get("torch")
    where, kind = f"arrays{path}", type(leaf).__qualname__
    if not isinstance(leaf, np.ndarray) and (torch is None or not isinstance(leaf, torch.Tensor)):
        hint = "numpy.asarray(it)"
        if offered(leaf, "to_numpy") is not None:
            hint = "frame.to_numpy(), or {name: frame[name].to_numpy() for name in frame}"
        elif offered(leaf, "chunks") is not None:
            hint = "BatchedSequence(function that opens it, batch_size) to read it batch by batch"
        raise TypeError(f"{where} is {kind}, not an array: pass {hint}")
    try:
        array = leaf if isinstance(leaf, np.memmap) else as_array(leaf)
    except TypeError as error:
        raise TypeError(f"{where}: {error}") from error
    if not array.ndim:
        raise TypeError(f"{where} is an array without dimensions: it has no rows to batch")
    return array
