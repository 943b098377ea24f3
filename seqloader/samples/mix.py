"""`WeightedMix`: several Sequences or sample sources as one, in given proportions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seqloader.randomness.context import current_batch
from seqloader.randomness.seeding import compute_part
from seqloader.samples.order import check_count
from seqloader.samples.proportions import Proportions, source_seed
from seqloader.samples.seeded import SeededSequence
from seqloader.samples.source import Opener, as_source, count_items, opened

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["WeightedMix"]

_UNAWARE: Final = (list, tuple, range, np.ndarray, np.memmap)
"""Sources that never ask for the batch's context."""


class WeightedMix(SeededSequence):
    """A mixture, by index, of Sequences or of sample sources.

        mixed = WeightedMix([photographs, drawings], [0.7, 0.3])     # of Sequences: batches
        mixed = BatchedSequence(WeightedMix([news, books], [3, 1]), 32)     # of samples

    Each item is one item of one source. Which, is computed from the index; so a mixture is resumed,
    shuffled and cut in shards like any other Sequence.

    - The proportions are exact: after n items, a source with the share w was used n * w times, but
      for a few items, however large n is. The sources take turns as evenly as they can.
    - Each source is gone through in its own order: 0, 1, 2, ... An epoch goes on where the one
      before ended, and a source that has come to its end begins anew. So nothing of any source is
      left out in the long run.
    - While an item is computed, `batch_context()` is the item's: `epoch` is the number of times
      that its source was gone through before, `index` is the item's own. A `BatchedSequence` with
      `shuffle=True` is so shuffled anew each time. `seed` is derived from the enqueuer's and the
      number of the source, so that no two items of the mixture share random numbers.

    Args:
        sources: Sequences, or anything that `BatchedSequence` takes as its source.
        weights: One positive number for each, of any scale. ints and `fractions.Fraction` are
            taken exactly; where there is a float, shares are rounded to fractions with a
            denominator of at most a million.
        seed: An int >= 0 that decides where the mixture begins in its pattern; None: the
            enqueuer's.
        length: Items in an epoch; sources are used again within it if they have fewer. None: as
            many as surely use nothing twice in one epoch, whatever the seed.

    Raises:
        TypeError, ValueError: an argument is not as above.

    The hooks of the sources are called as the mixture's own, and their states are part of its own;
    not those of a source that each process opens.
    """

    def __init__(
        self,
        sources: Iterable[Any],
        weights: Iterable[Any],
        seed: int | None = None,
        *,
        length: int | None = None,
    ) -> None:
        super().__init__(seed)
        self._sources = [_checked(number, source) for number, source in enumerate(sources)]
        given = list(weights)
        if len(given) != len(self._sources):
            raise ValueError(
                f"{len(self._sources)} sources need as many weights, and there are {len(given)}"
            )
        self._proportions = Proportions(given)
        self._length = None if length is None else check_count("length", length)

    def __len__(self) -> int:
        """The number of items in an epoch."""
        return self._length_of(self._counts())

    def __getitems__(self, numbers: list[int]) -> list[Any]:
        """The items with these numbers: faster for many, as of samples for a batch."""
        context = current_batch()
        own = type(self).__getitem__ is SeededSequence.__getitem__
        if context is None or not numbers or not own:
            return [self[number] for number in numbers]
        count = len(self)
        if not 0 <= min(numbers) <= max(numbers) < count:
            raise IndexError(f"{min(numbers)} ... {max(numbers)} were asked for, of {count} items")
        seed = context.seed if self.seed is None else self.seed
        return self._items(numbers, count, seed, context.epoch)

    def _compute(self, number: int, count: int, seed: int, epoch: int) -> Any:
        return self._items([number], count, seed, epoch)[0]

    def _items(self, numbers: list[int], count: int, seed: int, epoch: int) -> list[Any]:
        pick, phases = self._proportions.pick, self._proportions.phases(seed)
        sources = [
            _SourceInUse(number, opened(source)) for number, source in enumerate(self._sources)
        ]
        picks = (pick(epoch * count + number, phases) for number in numbers)
        return [sources[source].item(use) for source, use in picks]

    def _length_of(self, counts: list[int | None]) -> int:
        for number, count in enumerate(counts):
            if count == 0:
                raise ValueError(f"sources[{number}] is empty: there is nothing of it to mix in")
        if self._length is not None:
            return self._length
        longest = self._proportions.longest(counts)
        if longest is None:
            raise TypeError("all sources are endless: give the mixture a length of its own")
        return longest

    def _counts(self) -> list[int | None]:
        return [count_items(opened(source)) for source in self._sources]

    def _identity(self) -> dict[str, Any]:
        counts = self._counts()
        return {
            "weights": [str(share) for share in self._proportions.shares],
            "lengths": counts,
            "length": self._length_of(counts),
        }

    def order_is_drawn(self) -> bool:
        """Whether the order of its items depends on the seed of the enqueuer."""
        return self.seed is None or super().order_is_drawn()

    def _parts(self) -> dict[str, Any]:
        return {
            f"sources[{number}]": source
            for number, source in enumerate(self._sources)
            if not isinstance(source, Opener)
        }


class _SourceInUse:
    """One source, as the batch that is being computed uses it."""

    def __init__(self, number: int, source: Any) -> None:
        context = current_batch()
        assert context is not None
        self._number, self._source = number, source
        self._length = count_items(source)
        self._aware = type(source) not in _UNAWARE
        self._seed = source_seed(context.seed, number) if self._aware else 0

    def item(self, use: int) -> Any:
        """The item that is due when the source was used so often before."""
        again, index = (0, use) if self._length is None else divmod(use, self._length)
        try:
            if self._aware:
                return compute_part(self._source, index, epoch=again, seed=self._seed)
            return self._source[index]
        except Exception as error:
            error.add_note(f"raised by sources[{self._number}] of a WeightedMix for item {index}")
            raise


def _checked(number: int, source: Any) -> Any:
    try:
        return as_source(source)
    except TypeError as error:
        raise TypeError(f"sources[{number}]: {error}") from None
