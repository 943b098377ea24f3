"""Whether a place, or a saved state, fits a Sequence and an enqueuer; and the plan that follows.

To be judged, a state's part of the Sequence is given to the Sequence. It stands so afterwards;
whoever asked puts it back where the state is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from seqloader.errors import ResumeError
from seqloader.order import NOTHING, Plan
from seqloader.run import messages
from seqloader.run.resume.own_state import carries_state, give_state
from seqloader.run.resume.saved_state import ABSENT, refusal
from seqloader.sequence.interface import count_batches, overrides_hook

if TYPE_CHECKING:
    from seqloader.order import Cursor
    from seqloader.run.options import Options
    from seqloader.run.resume.place import Place
    from seqloader.run.resume.saved_state import SavedState

__all__ = ["Fit", "count_at", "fit", "known_length", "planned_at", "share_of"]


# --- plans ------------------------------------------------------------------------------------


def planned(length: int | None, cursor: Cursor, seed: int, shuffle: bool, options: Options) -> Plan:
    """The plan of the epoch in which `cursor` stands, for a Sequence of `length` batches.

    Raises:
        ValueError: it cannot be dealt out evenly, and nothing was said about the rest.
        ResumeError: there is no such position.
    """
    plan = Plan(
        length,
        shuffle,
        seed,
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


def planned_at(
    place: Place, length: int | None, shuffle: bool, options: Options
) -> tuple[Plan, Cursor]:
    """The plan of the epoch that begins at `place`, and where in it.

    That is elsewhere where a loaded state does not fit, and needs not: at the epoch's end, if the
    epoch has become shorter than what was delivered of it.

    Raises:
        ValueError, ResumeError: as `planned`; or a loaded state was to fit and does not.
    """
    cursor, seed, saved = place.cursor, place.seeding.seed, place.loaded
    difference = None if saved is None else saved.length_differs(length)
    if difference is not None:
        if place.strict:
            raise refusal([difference])
        whole = planned(length, cursor.at(cursor.epoch, 0, cursor.first), seed, shuffle, options)
        if whole.count is not None and cursor.position > whole.count:
            cursor = cursor.at(cursor.epoch, whole.count, cursor.first)
    return planned(length, cursor, seed, shuffle, options), cursor


def share_of(length: int, options: Options) -> int:
    """How many of `length` batches this shard delivers in a whole epoch."""
    plan = Plan(length, shard=options.shard, remainder=options.remainder or "uneven")
    _check_even(plan, options)
    assert plan.count is not None
    return plan.count


def count_at(
    cursor: Cursor, seed: int, sequence: Any, shuffle: bool, options: Options
) -> int | None:
    """Positions of that epoch on this shard; None: endless, or it cannot be known now.

    Raises:
        ResumeError: the cursor is beyond them.
    """
    length = known_length(sequence)
    if length is ABSENT:
        return None
    return planned(length, cursor, seed, shuffle, options).count


def known_length(sequence: Any) -> Any:
    """The length of the coming epoch, None for endless; ABSENT where a hook may still change it."""
    if overrides_hook(sequence, "on_epoch_begin"):
        return ABSENT
    try:
        return count_batches(sequence)
    except Exception:  # it will be raised where the epoch begins
        return ABSENT


def _check_even(plan: Plan, options: Options) -> None:
    remaining, shards = plan.remaining, plan.shard.count
    if options.remainder is None and remaining is not None and remaining % shards:
        raise ValueError(messages.remainder_error(remaining, shards))


# --- saved states -----------------------------------------------------------------------------


class Fit(NamedTuple):
    """What came of trying it."""

    differences: list[str]
    taken: bool
    """Whether the Sequence has taken a state of its own."""


def fit(
    saved: SavedState, sequence: Any, shuffle: bool, options: Options, *, seed: int | None
) -> Fit:
    """Give the Sequence its state, and compare everything.

    Args:
        seed: None: any.

    Raises:
        ValueError: what remains of the epoch cannot be dealt out evenly.
        Exception: whatever the Sequence's `load_state_dict` raises, but ResumeError.
    """
    differences = saved.differences(seed=seed, shuffle=shuffle)
    carried = carries_state(sequence)
    if carried != (saved.sequence is not ABSENT):
        differences.append(_one_sided(sequence, carried=carried))
    taken = carried and saved.sequence is not ABSENT
    refusals: list[str] = []
    if taken and saved.sequence_at_begin is not ABSENT:
        refusals = _give(sequence, saved.sequence_at_begin)  # the epoch's length was this one's
        differences += _length_differs(saved, sequence, shuffle, options)
        refusals = refusals or _give(sequence, saved.sequence)
    else:
        refusals = _give(sequence, saved.sequence) if taken else []
        differences += _length_differs(saved, sequence, shuffle, options)
    return Fit(differences + refusals, taken and not refusals)


def _one_sided(sequence: Any, *, carried: bool) -> str:
    name = type(sequence).__qualname__
    if carried:
        return f"sequence: the state holds none of the Sequence, and {name} has state_dict()"
    return (
        f"sequence: the state holds one of the Sequence, and {name} has no state_dict() and "
        "load_state_dict()"
    )


def _give(sequence: Any, state: Any) -> list[str]:
    try:
        give_state(sequence, state)
    except ResumeError as error:
        return [*(error.differences or (str(error),))]
    except Exception as error:
        name = type(sequence).__qualname__
        error.add_note(f"raised by {name}.load_state_dict(); the enqueuer stands where it stood")
        raise
    return []


def _length_differs(saved: SavedState, sequence: Any, shuffle: bool, options: Options) -> list[str]:
    length = known_length(sequence)
    if length is ABSENT:
        return []
    difference = saved.length_differs(length)
    if difference is not None:
        return [difference]
    cursor = saved.cursor_on(options.shard, options.remainder)
    planned(length, cursor, saved.seed, shuffle, options)
    for epoch in cursor.left_out:  # what was skipped there may leave no even rest
        if epoch > cursor.epoch:
            planned(length, cursor.at(epoch), saved.seed, shuffle, options)
    return []
