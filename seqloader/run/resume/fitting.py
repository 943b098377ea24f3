"""Whether a saved state fits an enqueuer and its Sequence.

The Sequence is asked by giving it its part of the state. It stands so afterwards; whoever asked
puts it back where the state is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from seqloader.errors import ResumeError
from seqloader.run.planning import planned
from seqloader.run.resume.bookmarks import carries_state, give_state
from seqloader.run.resume.saved_state import ABSENT
from seqloader.sequence.interface import count_batches, overrides_hook

if TYPE_CHECKING:
    from seqloader.order import Cursor
    from seqloader.run.options import Options
    from seqloader.run.resume.saved_state import SavedState

__all__ = ["Fit", "count_at", "fit", "known_length"]


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


def count_at(cursor: Cursor, sequence: Any, shuffle: bool, options: Options) -> int | None:
    """Positions of that epoch on this shard; None: endless, or it cannot be known now.

    Raises:
        ResumeError: the cursor is beyond them.
    """
    length = known_length(sequence)
    if length is ABSENT:
        return None
    return planned(length, cursor, shuffle, options).count


def known_length(sequence: Any) -> Any:
    """The length of the coming epoch, None for endless; ABSENT where a hook may still change it."""
    if overrides_hook(sequence, "on_epoch_begin"):
        return ABSENT
    try:
        return count_batches(sequence)
    except Exception:  # it will be raised where the epoch begins
        return ABSENT


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
    planned(length, cursor, shuffle, options)
    for epoch in cursor.left_out:  # what was skipped there may leave no even rest
        if epoch > cursor.epoch:
            planned(length, cursor.at(epoch), shuffle, options)
    return []
