"""Which source the n-th item of a mixture comes from: exact, from integer arithmetic alone. Pure.

How
    Splits, one after another: the first source against all others, the second against those after
    it, and so on. Of the first n items that reach a split with share p/q, (n p + phase) // q go to
    its source, with 0 <= phase < q; so its count is never off by one whole item, and item n goes
    there if the count rises with it. What goes on is numbered anew, without gaps, for the next
    split. Each source so has its own items in their order, 0, 1, 2, ..., and none is left out.
"""

from __future__ import annotations

import numbers
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from seqloader.randomness.seeds import MIX, derive

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Pick", "Proportions", "source_seed"]

FINEST: Final = 10**6
"""Greatest denominator of a share that was given as a float: what was meant by 0.1 is 1/10."""


class Pick(NamedTuple):
    """Where an item of the mixture comes from."""

    source: int
    use: int
    """How often the source was used before."""


class Proportions:
    """Shares of some sources.

    Args:
        weights: Of each source; positive, of any scale. ints, Fractions and Decimals are taken
            exactly; if there is a float among them, shares are taken to the nearest fraction with
            a denominator of at most a million.

    Raises:
        TypeError, ValueError: they are not such numbers.
    """

    def __init__(self, weights: Iterable[Any]) -> None:
        self.shares = _shares_of(list(weights))
        rest = Fraction(1)
        self._splits: list[tuple[int, int]] = []
        for share in self.shares[:-1]:
            self._splits.append((share / rest).as_integer_ratio())
            rest -= share

    def phases(self, seed: int) -> tuple[int, ...]:
        """Where each split begins in its pattern, drawn from the seed."""
        return _phases(tuple(self._splits), seed)

    def pick(self, number: int, phases: Sequence[int]) -> Pick:
        """Where item `number` comes from."""
        for source, ((part, whole), phase) in enumerate(zip(self._splits, phases, strict=True)):
            before = (number * part + phase) // whole
            if ((number + 1) * part + phase) // whole > before:
                return Pick(source, before)
            number -= before
        return Pick(len(self._splits), number)

    def longest(self, lengths: Iterable[int | None]) -> int | None:
        """As many items as surely use no source more often than it has items, wherever in the
        mixture they begin and whatever the phases. A length of None has no end; None if none has.
        """
        return _longest(tuple(self._splits), tuple(lengths))


@lru_cache(maxsize=64)
def source_seed(seed: int, source: int) -> int:
    """The seed that a source is computed with, so that no two draw the same numbers."""
    return int.from_bytes(derive(MIX, seed, source, 1), "little")


def _shares_of(weights: list[Any]) -> list[Fraction]:
    if not weights:
        raise ValueError("weights is empty: each source needs one")
    exact = [_fraction_of(number, weight) for number, weight in enumerate(weights)]
    shares = [weight / sum(exact) for weight in exact]
    if any(not isinstance(weight, (numbers.Rational, Decimal)) for weight in weights):
        shares = [share.limit_denominator(FINEST) for share in shares]
        for number, share in enumerate(shares):
            if not share:
                raise ValueError(
                    f"weights[{number}] is {weights[number]!r}, less than a millionth of all "
                    "weights, which floats are rounded to: give ints or fractions.Fraction"
                )
        shares = [share / sum(shares) for share in shares]
    return shares


def _fraction_of(number: int, weight: Any) -> Fraction:
    what = f"weights[{number}] is {weight!r}"
    if isinstance(weight, bool) or not isinstance(weight, (numbers.Real, Decimal)):
        raise TypeError(f"{what}: a weight must be a positive number")
    try:
        if isinstance(weight, numbers.Rational):
            fraction = Fraction(int(weight.numerator), int(weight.denominator))
        else:
            fraction = Fraction(weight if isinstance(weight, Decimal) else float(weight))
    except (ValueError, OverflowError):  # not a number, or infinite
        fraction = Fraction(0)
    if fraction <= 0:
        hint = ": leave a source out that is not to be used" if weight == 0 else ""
        raise ValueError(f"{what}: a weight must be a positive number{hint}")
    return fraction


@lru_cache(maxsize=64)
def _phases(splits: tuple[tuple[int, int], ...], seed: int) -> tuple[int, ...]:
    return tuple(
        int.from_bytes(derive(MIX, seed, level), "little") * whole >> 256
        for level, (_, whole) in enumerate(splits)
    )


@lru_cache(maxsize=64)
def _longest(splits: tuple[tuple[int, int], ...], lengths: tuple[int | None, ...]) -> int | None:
    known = [length for length in lengths if length is not None]
    if not known:
        return None

    def fits(count: int) -> bool:
        # The most of `count` items in a row that a split may give to its source, and leave over.
        for (part, whole), length in zip((*splits, (1, 1)), lengths, strict=True):
            given = -(-count * part // whole)
            if length is not None and given > length:
                return False
            count -= count * part // whole
        return True

    low, high = 0, 1
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
