"""`BatchedSequence`: batches of the samples of a dataset, list or array."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

from seqloader.randomness.context import batch_context
from seqloader.samples.collate import stack_samples
from seqloader.samples.order import Order, check_count
from seqloader.samples.seeded import SeededSequence
from seqloader.samples.source import (
    Opener,
    as_source,
    call_error,
    count_samples,
    fetch,
    gather,
    opened,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.random import Generator

    from seqloader.samples.order import Indices

__all__ = ["BatchedSequence", "BatchesOfSamples"]


class BatchesOfSamples(SeededSequence):
    """Base of what cuts an order of samples into batches.

    A subclass defines `_count_samples` and `_batch`.
    """

    def __init__(
        self,
        batch_size: int,
        shuffle: Any,
        block_length: int | None,
        seed: int | None,
        drop_remainder: bool,
    ) -> None:
        super().__init__(seed)
        self.batch_size = check_count("batch_size", batch_size)
        self._order = Order(shuffle, block_length)
        if not isinstance(drop_remainder, bool):
            raise TypeError(f"drop_remainder must be True or False, not {drop_remainder!r}")
        self.drop_remainder = drop_remainder

    def __len__(self) -> int:
        """The number of batches."""
        samples = self._count_samples()
        return (samples if self.drop_remainder else samples + self.batch_size - 1) // (
            self.batch_size
        )

    def _compute(self, number: int, count: int, seed: int, epoch: int) -> Any:
        samples = self._count_samples()
        start = number * self.batch_size
        stop = min(start + self.batch_size, samples)
        if start >= stop:
            raise IndexError(
                f"batch {number} would begin at sample {start}, and there are {samples}: "
                f"{type(self).__name__}.__len__ says {count} batches"
            )
        return self._batch(self._order.indices(start, stop, samples, seed, epoch))

    def _identity(self) -> dict[str, Any]:
        return {
            "samples": self._count_samples(),
            "batch_size": self.batch_size,
            "shuffle": self._order.shuffle,
            "block_length": self._order.block_length,
            "drop_remainder": self.drop_remainder,
        }

    def order_is_drawn(self) -> bool:
        """Whether the order of its samples depends on the seed of the enqueuer."""
        return super().order_is_drawn() or (self.seed is None and bool(self._order.shuffle))

    def _count_samples(self) -> int:
        """The number of samples there are now."""
        raise NotImplementedError

    def _batch(self, indices: Indices) -> Any:
        """The batch of these samples, at least one."""
        raise NotImplementedError


class BatchedSequence(BatchesOfSamples):
    """Batches of samples: a Sequence, made of anything that has samples by number.

        dataset = BatchedSequence(samples, 32, shuffle=True, transform=augment)

    Nothing has to be done between epochs: which samples a batch has is computed from seed and
    epoch, wherever the batch is computed, in the time of a look-up and without a list of indices.

    Args:
        source: `source[i]` is sample i, 0 <= i < len(source): a map-style dataset of torch or of
            Hugging Face, a list, an array, a memmap. Or a function without arguments that opens
            it, such as `lambda: h5py.File("train.h5")["images"]`: it is called once in each
            process, and what it returns is never pickled. Arrays are gathered a batch at a time,
            and a source with `__getitems__(list of indices)` is asked once for each batch.
        batch_size: Samples in a batch; the last one may have fewer.
        shuffle: True: each epoch has all samples in a new order, a permutation of the whole.
            "blocks": blocks of `block_length` samples that lie side by side stay together, and come
            in a new order, each in a new order within: for data that are read in runs.
        block_length: Samples in a block, with "blocks".
        seed: An int >= 0 that decides the order; None: the enqueuer's.
        drop_remainder: Leave out a last batch that has fewer samples.
        collate: `collate(list of samples)` makes the batch; None: samples that are nests of
            arrays, numbers and strings are stacked leaf by leaf, straight into the memory that
            they are delivered from. torch's `default_collate` can be given.
        transform: `transform(sample, rng)` is put in the sample's place. `rng` is a
            `numpy.random.Generator` of the sample's own: its numbers depend on seed, epoch and the
            sample's index in the source, and on nothing else. In an enqueuer the seed is the
            enqueuer's.

    Raises:
        TypeError, ValueError: an argument is not as above.

    In an enqueuer, leave its own `shuffle` at False: it would permute the batches once more.

    In the consumer's process, the hooks `on_epoch_begin` and `on_epoch_end` of the source are
    called as the Sequence's own, and its `state_dict` and `load_state_dict` are part of the
    Sequence's; not those of a source that each process opens.
    """

    def __init__(
        self,
        source: Any,
        batch_size: int,
        *,
        shuffle: Any = False,
        block_length: int | None = None,
        seed: int | None = None,
        drop_remainder: bool = False,
        collate: Callable[[list[Any]], Any] | None = None,
        transform: Callable[[Any, Generator], Any] | None = None,
    ) -> None:
        super().__init__(batch_size, shuffle, block_length, seed, drop_remainder)
        self._source = as_source(source)
        self._collate = _check_callable("collate", collate, "list of samples")
        self._transform = _check_callable("transform", transform, "sample", "rng")

    @property
    def source(self) -> Any:
        """Where the samples come from; opened in this process, if it has to be."""
        return opened(self._source)

    def _count_samples(self) -> int:
        return count_samples(self.source)

    def _batch(self, indices: Indices) -> Any:
        source, as_it_is = self.source, self._transform is None and self._collate is None
        rows = gather(source, indices, deliver=as_it_is)
        if rows is not None and as_it_is:
            return rows
        numbers = list(indices) if isinstance(indices, range) else indices.tolist()
        samples = fetch(source, numbers) if rows is None else list(rows)
        if self._transform is not None:
            samples = self._transformed(samples, numbers)
        return stack_samples(samples, numbers) if self._collate is None else self._collate(samples)

    def _transformed(self, samples: list[Any], numbers: Sequence[int]) -> list[Any]:
        assert self._transform is not None
        sample_rng = batch_context().sample_rng
        transformed: list[Any] = []
        try:
            for sample, number in zip(samples, numbers, strict=True):
                transformed.append(self._transform(sample, sample_rng(number)))
        except Exception as error:
            error.add_note(f"raised by transform for sample {numbers[len(transformed)]}")
            raise
        return transformed

    def _parts(self) -> dict[str, Any]:
        return {} if isinstance(self._source, Opener) else {"source": self._source}

    def _seqloader_parts(self) -> list[tuple[str, Any]]:
        parts = super()._seqloader_parts()
        for name, call in (("transform", self._transform), ("collate", self._collate)):
            if call is not None:
                # Of a method, what may be bound anew is in its object.
                parts.append((name, call.__self__ if isinstance(call, MethodType) else call))
        return parts


def _check_callable(name: str, call: Any, *arguments: str) -> Any:
    """Return `call`; raise TypeError unless it is None, or can be called with these."""
    if call is None:
        return None
    if not callable(call):
        raise TypeError(f"{name} must be a function, not {type(call).__qualname__}")
    error = call_error(call, *arguments)
    if error is not None:
        called = f"{name}({', '.join(arguments)})"
        hint = " For a function of the sample alone: transform=lambda sample, rng: function(sample)"
        raise TypeError(
            f"{name} is called as {called}, and the one given does not allow that: {error}."
            f"{hint if name == 'transform' else ''}"
        )
    return call
