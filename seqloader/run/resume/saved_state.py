"""A saved state: where a run stands, as plain values that JSON can write. Pure.

Its keys
    version             of this form: `STATE_VERSION`
    seed, seeded        what order and random numbers derive from; whether the user gave it
    epoch, position     of the next batch to be delivered, on each shard
    shard               [id, count] of who saved it
    first               where in the epoch's global order position 0 of shard 0 is
    skipped, left_out   [[epoch, start, stop], ...]: positions of each shard, and global ones
    skipped_by_errors   how many batches `on_error="skip"` left out so far
    fingerprint         of the plan: length (null: endless; absent: it could not be known), shuffle,
                        shuffle_version
    sequence            what the Sequence's own `state_dict()` returned, if it has one
    sequence_at_begin   the same before the epoch began, where that was something else
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from seqloader.errors import ResumeError
from seqloader.errors.integers import as_integer
from seqloader.order import NOTHING, SHUFFLE_VERSION, Cursor, Plan, Ranges, Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seqloader.order import Remainder

__all__ = ["ABSENT", "STATE_VERSION", "SavedState", "refusal"]

STATE_VERSION: Final = 1
"""Raised when the form changes so that older versions of this package cannot read it."""


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()
"""There is no such thing: None is a value that it may have."""


class SavedState(NamedTuple):
    """What a saved state says. `length` None: endless; ABSENT: unknown."""

    cursor: Cursor
    seed: int
    seeded: bool
    shard: Shard
    length: Any
    shuffle: bool
    skipped_by_errors: int = 0
    sequence: Any = ABSENT
    sequence_at_begin: Any = ABSENT
    version: int = STATE_VERSION
    shuffle_version: int = SHUFFLE_VERSION

    def write(self) -> dict[str, Any]:
        """As a plain dictionary."""
        cursor = self.cursor
        fingerprint: dict[str, Any] = {
            "shuffle": self.shuffle,
            "shuffle_version": self.shuffle_version,
        }
        if self.length is not ABSENT:
            fingerprint["length"] = self.length
        state: dict[str, Any] = {
            "version": self.version,
            "seed": self.seed,
            "seeded": self.seeded,
            "epoch": cursor.epoch,
            "position": cursor.position,
            "shard": [self.shard.id, self.shard.count],
            "first": cursor.first,
            "skipped": _triples(cursor.skipped),
            "left_out": _triples(cursor.left_out),
            "skipped_by_errors": self.skipped_by_errors,
            "fingerprint": fingerprint,
        }
        if self.sequence is not ABSENT:
            state["sequence"] = self.sequence
        if self.sequence_at_begin is not ABSENT:
            state["sequence_at_begin"] = self.sequence_at_begin
        return state

    @classmethod
    def read(cls, state: Any) -> SavedState:
        """From what `write` made.

        Raises:
            TypeError: it is no dictionary.
            ResumeError: it is not a state of an enqueuer, or part of it is missing or damaged.
        """
        if not hasattr(state, "keys"):
            raise TypeError(f"a state is a dictionary, as state_dict() returns it, not {state!r}")
        faults: list[str] = []
        fields = _Fields(state, faults)
        fingerprint = _Fields(fields.get("fingerprint", _mapping, {}), faults)
        cursor = Cursor(
            fields.get("epoch", _count, 0),
            fields.get("position", _count, 0),
            fields.get("first", _count, 0),
            fields.get("skipped", _ranges, {}),
            fields.get("left_out", _ranges, {}),
        )
        saved = cls(
            cursor=cursor,
            seed=fields.get("seed", _count, 0),
            seeded=fields.get("seeded", _flag, True),
            shard=fields.get("shard", _shard, Shard()),
            length=fingerprint.get("length", _length, None)
            if fingerprint.has("length")
            else ABSENT,
            shuffle=fingerprint.get("shuffle", _flag, False),
            skipped_by_errors=fields.get("skipped_by_errors", _count, 0),
            sequence=state.get("sequence", ABSENT),
            sequence_at_begin=state.get("sequence_at_begin", ABSENT),
            version=fields.get("version", _count, 0),
            shuffle_version=fingerprint.get("shuffle_version", _count, 0),
        )
        if "sequence_at_begin" in state and "sequence" not in state:
            faults.append("sequence is missing, and sequence_at_begin is there")
        if faults:
            told = _told("this is no whole state of an enqueuer", faults)
            raise ResumeError(told, differences=tuple(faults))
        return saved

    def differences(self, *, seed: int | None, shuffle: bool) -> list[str]:
        """What differs from an enqueuer with this seed (None: it takes any) and this shuffle."""
        found = []
        if self.version != STATE_VERSION:
            found.append(
                f"version: the state has form {self.version}, this seqloader reads {STATE_VERSION}"
            )
        if seed is not None and seed != self.seed:
            found.append(f"seed: {self.seed} in the state, {seed} here")
        if shuffle != self.shuffle:
            found.append(f"shuffle: {self.shuffle} in the state, {shuffle} here")
        if self.shuffle and self.shuffle_version != SHUFFLE_VERSION:
            found.append(
                f"shuffle version: {self.shuffle_version} in the state, {SHUFFLE_VERSION} here: "
                "another order"
            )
        return found

    def length_differs(self, length: int | None) -> str | None:
        """What differs, if the Sequence has another length now."""
        if self.length is ABSENT or self.length == length:
            return None
        names = ["endless" if each is None else f"{each} batches" for each in (self.length, length)]
        return f"length: {names[0]} in the state, {names[1]} here"

    def cursor_on(self, shard: Shard, remainder: Remainder | None) -> Cursor:
        """Where to go on with this many shards."""
        cursor = self.cursor
        length = None if self.length is ABSENT else self.length
        left_out = cursor.left_out.get(cursor.epoch, NOTHING)
        theirs = Plan(
            length,
            shard=self.shard,
            first=cursor.first,
            remainder=remainder or "uneven",
            left_out=left_out,
        )
        if self.shard.count != shard.count:
            return cursor.on_other_shards(theirs)
        ours = replace(theirs, shard=shard)
        if ours.count is not None and ours.count < cursor.position == theirs.count:
            return cursor.at(cursor.epoch, ours.count, cursor.first)  # they had one batch more
        return cursor


def refusal(differences: list[str]) -> ResumeError:
    """The error that names them."""
    told = _told("this state does not fit this enqueuer", differences)
    return ResumeError(
        f"{told}\nIt was saved by another run, or the data have changed since. "
        "load_state_dict(state, strict=False) takes from it what can be taken.",
        differences=tuple(differences),
    )


def _told(what: str, differences: list[str]) -> str:
    return f"{what}:\n" + "\n".join(f"  - {difference}" for difference in differences)


# --- plain values -----------------------------------------------------------------------------


class _Fields:
    """The values of a dictionary that was read from somewhere, each checked when it is taken."""

    def __init__(self, values: Mapping[str, Any], faults: list[str]) -> None:
        self._values = values
        self._faults = faults

    def has(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str, check: Callable[[Any], Any], instead: Any) -> Any:
        """The value; where it is missing or wrong that is noted, and `instead` is returned."""
        if key not in self._values:
            self._faults.append(f"{key} is missing")
            return instead
        value = self._values[key]
        try:
            return check(value)
        except (TypeError, ValueError) as error:
            self._faults.append(f"{key} is {value!r}: {error}")
            return instead


def _count(value: Any) -> int:
    number = as_integer(value)
    if number is None or number < 0:
        raise ValueError("a whole number >= 0 is needed")
    return number


def _length(value: Any) -> int | None:
    return None if value is None else _count(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("True or False is needed")
    return value


def _mapping(value: Any) -> Any:
    if not hasattr(value, "keys"):
        raise TypeError("a dictionary is needed")
    return value


def _shard(value: Any) -> Shard:
    id, count = value
    return Shard(_count(id), _count(count))


def _ranges(value: Any) -> Mapping[int, Ranges]:
    pairs: dict[int, list[tuple[int, int]]] = {}
    for epoch, start, stop in value:
        pairs.setdefault(_count(epoch), []).append((_count(start), _count(stop)))
    return MappingProxyType({epoch: Ranges(pairs[epoch]) for epoch in pairs})


def _triples(ranges: Mapping[int, Ranges]) -> list[list[int]]:
    return [[epoch, start, stop] for epoch in sorted(ranges) for start, stop in ranges[epoch].pairs]
