"""`Sequence`, the base class of users' Sequences.

A Sequence is random access to whole batches: `sequence[index]` is batch number `index`, and its
length is the number of *batches*, not of samples. Anything that offers this is accepted by duck
typing (interface.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic

from seqloader.errors import ENDINGS, ERRORS, as_raisable
from seqloader.sequence import defaults as sequence_defaults
from seqloader.sequence.interface import (
    count_batches,
    declares_num_batches,
    length_of,
    missing_getitem,
    missing_length,
    name_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    # A type variable with a default lets `class S(Sequence):` pass `mypy --strict`. It is in
    # `typing` from Python 3.13 on only, and its backport must not become a dependency.
    from typing_extensions import TypeVar

    Batch = TypeVar("Batch", covariant=True, default=Any)
else:
    from typing import TypeVar

    Batch = TypeVar("Batch", covariant=True)

__all__ = ["PlainIterator", "Sequence"]


class Sequence(Generic[Batch]):
    """Random access to batches: the one thing a user of seqloader writes.

    Subclass it, plainly or as `Sequence[SomeBatch]`, and define `__getitem__` and `__len__`:

        class Squares(Sequence):
            def __len__(self):
                return 100  # batches, not samples

            def __getitem__(self, index):
                return numpy.arange(32 * index, 32 * (index + 1)) ** 2

    `__getitem__` is called in worker processes, in any order, and must depend on nothing but the
    index and the state of the Sequence. What it changes on `self` stays in that worker; what the
    hooks `on_epoch_begin` and `on_epoch_end` change reaches every worker before the next epoch.

    A Sequence without an end defines `num_batches` as None instead of `__len__`.
    """

    use_sequence_api = True  # by this mark Keras knows a Sequence that is not of its own class

    if TYPE_CHECKING:

        def __init__(
            self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
        ) -> None: ...

    else:

        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            """Need not be called. Takes what Keras' `PyDataset` takes, for an enqueuer.

            `workers`: processes or threads; 0 computes in the consumer. `use_multiprocessing`:
            False means threads. `max_queue_size`: batches computed ahead. What is given here is the
            default of the enqueuer's argument of that name; what is not given says nothing.
            Arguments of other base classes go on to them.

            Raises:
                TypeError: an argument is none of these, and there is no other base class.
            """
            inherited = super().__init__
            given, arguments, keywords = sequence_defaults.split(inherited, arguments, keywords)
            sequence_defaults.keep(self, given)
            inherited(*arguments, **keywords)

    def __getitem__(self, index: int, /) -> Batch:
        """The batch number `index`, 0 <= index < number of batches."""
        raise NotImplementedError(missing_getitem(type(self)))

    def __len__(self) -> int:
        """The number of batches in an epoch. It is read anew for every epoch."""
        # Not abstract by ABCMeta: the classic class could be instantiated, and a Sequence that
        # defines num_batches needs no __len__.
        if not declares_num_batches(self):
            raise NotImplementedError(missing_length(type(self)))
        count = count_batches(self)
        if count is None:
            raise TypeError(
                f"{name_of(type(self))} is endless (num_batches is None): it has no len()"
            )
        return count

    def __iter__(self) -> Iterator[Batch]:
        """One pass over the batches in order, here and now: no workers, no hooks.

        The length is read once, at the start. Without end where `num_batches` is None.
        """
        return PlainIterator(self.__getitem__, count_batches(self))

    if TYPE_CHECKING:

        @property
        def num_batches(self) -> int | None:
            """The number of batches in an epoch; None: endless."""

    else:

        class _NumBatches:
            """The number of batches in an epoch; None: endless.

            Unless a subclass says otherwise it is `len(self)`.
            """

            # A property would refuse `self.num_batches = ...`, which classic Sequences do in
            # their constructors; a descriptor without `__set__` lets the instance shadow it.
            def __get__(self, sequence: Any, owner: type) -> Any:
                return self if sequence is None else length_of(sequence)

        num_batches = _NumBatches()

    def on_epoch_begin(self) -> None:
        """Called once before an epoch's first batch is computed. Does nothing unless overridden."""

    def on_epoch_end(self) -> None:
        """Called once after an epoch's last batch was taken. Does nothing unless overridden."""


class PlainIterator(Iterator[Batch]):
    """One pass over the batches, without an enqueuer.

    An object, neither a generator nor `map`: `map` reads a StopIteration of `__getitem__` as the
    end, and an exception ends a generator. After an error this goes on with the next batch; after a
    Ctrl-C with the same.

    Args:
        compute: `compute(number)` is the batch.
        count: How many; None: without end.
    """

    def __init__(self, compute: Callable[[int], Batch], count: int | None) -> None:
        self._compute = compute
        self._count = count
        self._next = 0

    def __next__(self) -> Batch:
        number = self._next
        if self._count is not None and number >= self._count:
            raise StopIteration
        try:
            batch = self._compute(number)
        except BaseException as error:
            if isinstance(error, ERRORS):
                self._next = number + 1
            if isinstance(error, ENDINGS):
                raise as_raisable(error) from error
            raise
        self._next = number + 1
        return batch
