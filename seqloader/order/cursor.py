"""Where a run stands: all that a plan needs, beside length and seed, to go on from there."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from seqloader.order.ranges import NOTHING, Ranges

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqloader.order.plan import Plan

__all__ = ["Cursor"]


_NONE: Final[Mapping[int, Ranges]] = MappingProxyType({})


class Cursor(NamedTuple):
    """A place in a run, and what is to be skipped on the way. It does not change.

    Attributes:
        epoch: number of the pass.
        position: the next one to be delivered on this shard.
        first: where in the epoch's global order the first shard's position 0 is: above 0 where the
            epoch was begun on another number of shards, or where an endless Sequence goes on.
        skipped: epoch -> positions on this shard that are not delivered.
        left_out: epoch -> global positions that no shard delivers.
    """

    epoch: int = 0
    position: int = 0
    first: int = 0
    skipped: Mapping[int, Ranges] = _NONE
    left_out: Mapping[int, Ranges] = _NONE

    def at(self, epoch: int, position: int = 0, first: int = 0) -> Cursor:
        """Elsewhere in the same run."""
        return Cursor(epoch, position, first, self.skipped, self.left_out)

    def skipping(self, epoch: int, positions: Ranges) -> Cursor:
        """The same place, with more to be skipped."""
        together = self.skipped.get(epoch, NOTHING) | positions
        if not together:
            return self
        return self._replace(skipped=MappingProxyType({**self.skipped, epoch: together}))

    def on_other_shards(self, plan: Plan) -> Cursor:
        """The same place, for another number of shards than `plan` has.

        The shards of `plan` were in lock step: each had delivered as many batches, and was told to
        skip the same positions. `plan` is that of this epoch.
        """
        left_out = dict(self.left_out)
        for epoch, positions in self.skipped.items():
            known = self.left_out.get(epoch, NOTHING)
            first = plan.first if epoch == self.epoch else 0
            left_out[epoch] = known | _globally(positions, plan.shard.count, first, known)
        return Cursor(self.epoch, 0, plan.reached(self.position), _NONE, MappingProxyType(left_out))


def _globally(positions: Ranges, shards: int, first: int, left_out: Ranges) -> Ranges:
    """The global positions that all shards together deliver at these positions of each."""
    ahead = left_out.within(first, None)
    return Ranges(
        (
            ahead.nth_outside(first + start * shards),
            ahead.nth_outside(first + stop * shards - 1) + 1,
        )
        for start, stop in positions.pairs
    )
