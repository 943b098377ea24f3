"""Which shard a run is, where `shard="auto"` leaves that open until an epoch begins.

A loader may be made before its trainer has made the process group. So "auto" is asked again for
each epoch, and the answer is kept while positions depend on it: of an epoch under way, of a place
inside of one, of what is to be skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqloader.errors import ResumeError
from seqloader.run import messages
from seqloader.run.shards import find_shard, resolve_shard, shard_of_group

if TYPE_CHECKING:
    from seqloader.run.options import Options
    from seqloader.run.resume.place import Place

__all__ = ["check_common_order", "check_same_shard", "options_now", "settled"]


def options_now(options: Options, place: Place) -> Options:
    """The options, with the shard that is found now if the place leaves it open.

    Raises:
        ValueError: what is found does not fit.
    """
    cursor = place.next
    begun = place.plan is not None and place.coming is None
    if not options.auto_shard or begun or cursor.position or cursor.skipped:
        return options
    found = find_shard()
    return options if found == options.shard else options._replace(shard=found)


def settled(options: Options, place: Place, sequence: Any, shuffle: bool) -> Options:
    """As `options_now`, for a run that keeps to it: it is checked, and told where it was found."""
    now = options_now(options, place)
    if now is not options:
        check_common_order(sequence, shuffle, now.shard.count, place.seeding.reseed_globals)
        resolve_shard("auto")
    return now


def check_same_shard(options: Options, place: Place) -> None:
    """ResumeError where an epoch would go on as another shard than it was begun as."""
    found = shard_of_group() if options.auto_shard else None
    if found is not None and found != options.shard:
        raise ResumeError(messages.other_shard_error(place.next, options.shard, found))


def check_common_order(sequence: Any, shuffle: bool, shards: int, seeded: bool) -> None:
    """ValueError where shards would draw an order each."""
    # Of the Sequences in samples/: others may have an answer to any name.
    drawn = shuffle or (hasattr(type(sequence), "order_is_drawn") and sequence.order_is_drawn())
    if drawn and shards > 1 and not seeded:
        raise ValueError(messages.unseeded_shards_error(shards))
