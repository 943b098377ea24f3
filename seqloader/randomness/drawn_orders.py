"""Orders that a Sequence draws when it is first asked for a batch.

The image iterators of Keras (`ImageDataGenerator().flow(...)` and the like) begin without one: the
first `__getitem__` draws `index_array` by `_set_index_array()`. Each worker would draw another, and
an epoch would hold some samples twice and others never. So it is drawn here, in the consumer,
before the Sequence is sent: by the iterator's own method, under the random numbers of a hook.

They are known by that method of their class, since Keras, tf.keras and their copies have classes
of their own. Looked at are the Sequence, what its attributes are bound to, and elements of short
lists and tuples there.

An iterator with a `seed` of its own seeds numpy's global generator with seed + total_batches_seen
before each batch, and two of them with one seed (images and their masks) are meant to agree. So
the order of each epoch is drawn under that seed, and the count, of which each worker would have
its own, is set for each batch to what it is where one process computes them all in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seqloader.randomness.seeding import Seeding

__all__ = ["count_batches_seen", "draw_orders", "draws_orders", "forget_orders", "seeded_iterators"]

_SHORT: Final = 16


def draw_orders(sequence: Any, seeding: Seeding, epoch: int, *, begins: bool) -> None:
    """Have the iterators in `sequence` draw the orders that they lack.

    `begins`: an epoch begins, for which those with a seed of their own draw anew.
    """
    for iterator in _iterators(sequence):
        missing = getattr(iterator, "index_array", None) is None
        if missing or (begins and getattr(iterator, "seed", None) is not None):
            _draw(iterator, seeding, epoch)


def draws_orders(sequence: Any) -> bool:
    """Whether there are iterators in `sequence` that draw orders."""
    return any(True for _ in _iterators(sequence))


def forget_orders(sequence: Any) -> None:
    """Have the iterators in `sequence` stand as when they were made: without an order."""
    for iterator in _iterators(sequence):
        iterator.index_array = None


def seeded_iterators(sequence: Any) -> list[Any]:
    """Those of the iterators in `sequence` that have a seed of their own."""
    return [one for one in _iterators(sequence) if getattr(one, "seed", None) is not None]


def count_batches_seen(iterator: Any, epoch: int, index: int) -> None:
    """Set its count to what it is before this batch, where one process computes all in order."""
    iterator.total_batches_seen = epoch * len(iterator) + index


def _draw(iterator: Any, seeding: Seeding, epoch: int) -> None:
    seed = getattr(iterator, "seed", None)
    if seed is None:
        seeding.hook(epoch, iterator._set_index_array, name="_set_index_array")
        return
    import numpy.random

    kept = numpy.random.get_state()
    try:
        numpy.random.seed(seed + epoch)
        iterator._set_index_array()
    finally:
        numpy.random.set_state(kept)


def _iterators(sequence: Any) -> Iterator[Any]:
    """The iterators of this kind that the Sequence is, or has among its attributes."""
    if _is_iterator(sequence):
        yield sequence
        return
    for value in list(getattr(sequence, "__dict__", {}).values()):
        if _is_iterator(value):
            yield value
        elif type(value) in (list, tuple) and len(value) <= _SHORT:
            yield from filter(_is_iterator, value)


def _is_iterator(obj: Any) -> bool:
    return callable(getattr(type(obj), "_set_index_array", None))
