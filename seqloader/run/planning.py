"""From a Sequence's length and a place in the run to the plan of an epoch, or what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqloader.errors import ResumeError
from seqloader.order import NOTHING, Plan
from seqloader.run import messages

if TYPE_CHECKING:
    from seqloader.order import Cursor
    from seqloader.run.options import Options

__all__ = ["planned", "share_of"]


def planned(length: int | None, cursor: Cursor, shuffle: bool, options: Options) -> Plan:
    """The plan of the epoch in which `cursor` stands, for a Sequence of `length` batches.

    Raises:
        ValueError: it cannot be dealt out evenly, and nothing was said about the rest.
        ResumeError: there is no such position.
    """
    plan = Plan(
        length,
        shuffle,
        options.seed,
        cursor.epoch,
        options.shard,
        cursor.first,
        options.remainder or "uneven",
        cursor.left_out.get(cursor.epoch, NOTHING),
    )
    _check_even(plan, options)
    if plan.count is not None and cursor.position > plan.count:
        difference = (
            f"position: {cursor.position} of epoch {cursor.epoch} was to come next, and the epoch "
            f"has {plan.count} on this shard"
        )
        raise ResumeError(
            f"{difference}. The data have become fewer, or the position was wrong: seek() to "
            "another",
            differences=(difference,),
        )
    return plan


def share_of(length: int, options: Options) -> int:
    """How many of `length` batches this shard delivers in a whole epoch."""
    plan = Plan(length, shard=options.shard, remainder=options.remainder or "uneven")
    _check_even(plan, options)
    assert plan.count is not None
    return plan.count


def _check_even(plan: Plan, options: Options) -> None:
    remaining, shards = plan.remaining, plan.shard.count
    if options.remainder is None and remaining is not None and remaining % shards:
        raise ValueError(messages.remainder_error(remaining, shards))
