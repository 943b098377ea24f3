"""The states of a session and of an epoch under way, and every way between them. Pure.

Each table is total for what can happen: a pair that is missing is an error of ours.
`docs/architecture` shows them, drawn from here.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DONE", "EPOCH", "SESSION", "STEP", "TORN", "EpochState", "SessionState"]

State = TypeVar("State", bound=Enum)


class SessionState(Enum):
    """Of a session: is there an executor, and is something being changed."""

    IDLE = "no executor"
    PLACING = "no executor; the run is being brought elsewhere"
    STARTING = "the executor is being started"
    RUNNING = "between two steps"
    STEPPING = "inside a step that changes something"
    CLOSING = "the executor is being stopped"

    __hash__ = (
        object.__hash__
    )  # a member is one object; Enum's own hash costs a call for each batch


class EpochState(Enum):
    """Of an epoch: has it begun for the user, and how did it end."""

    BEGUN = "no batch was asked for: it may still count as not begun"
    SHOWN = "begun by peek(): it belongs to whoever iterates next"
    ASKED = "under way: its hook runs at the end"
    VOID = "ended, as if it had not begun: no hook runs"
    FAILED = "ended in an error: no hook runs"
    CUT = "ended early"
    COMPLETE = "ended with every batch delivered"

    __hash__ = object.__hash__


def _table(rows: dict[str, dict[State, State]]) -> Mapping[str, Mapping[State, State]]:
    return MappingProxyType({event: MappingProxyType(row) for event, row in rows.items()})


def _session() -> Mapping[str, Mapping[SessionState, SessionState]]:
    S = SessionState  # noqa: N806
    return _table(
        {
            # A step inside a step is one step: whoever looks for torn ones finds it torn.
            "step": {
                S.IDLE: S.PLACING,
                S.PLACING: S.PLACING,
                S.RUNNING: S.STEPPING,
                S.STEPPING: S.STEPPING,
            },
            # What was done inside may have ended the executor, or started another.
            "done": {
                S.PLACING: S.IDLE,
                S.STEPPING: S.RUNNING,
                S.IDLE: S.IDLE,
                S.RUNNING: S.RUNNING,
            },
            "start": {S.IDLE: S.STARTING},
            "started": {S.STARTING: S.RUNNING},
            # The executor was reset. (What was left of a jump may have started it anew before.)
            "mended": {S.STARTING: S.RUNNING, S.STEPPING: S.RUNNING, S.RUNNING: S.RUNNING},
            "close": {
                S.STARTING: S.CLOSING,
                S.RUNNING: S.CLOSING,
                S.STEPPING: S.CLOSING,
                S.CLOSING: S.CLOSING,  # an interrupted one is done again
            },
            # Or it is found, after an interrupt, that there is none.
            "closed": {S.CLOSING: S.IDLE, S.STARTING: S.IDLE, S.PLACING: S.IDLE, S.IDLE: S.IDLE},
        }
    )


def _epoch() -> Mapping[str, Mapping[EpochState, EpochState]]:
    S = EpochState  # noqa: N806
    over = {state: state for state in (S.VOID, S.FAILED, S.CUT, S.COMPLETE)}
    return _table(
        {
            "show": {S.BEGUN: S.SHOWN, S.SHOWN: S.SHOWN, S.ASKED: S.ASKED},
            "take over": {S.SHOWN: S.BEGUN},
            # A complete one whose end was interrupted is asked once more, and then ended.
            "ask": {
                S.BEGUN: S.ASKED,
                S.SHOWN: S.ASKED,
                S.ASKED: S.ASKED,
                S.COMPLETE: S.COMPLETE,
            },
            "fail": {S.BEGUN: S.VOID, S.SHOWN: S.VOID, S.ASKED: S.FAILED, **over},
            "complete": {S.ASKED: S.COMPLETE, **over},
            "end": {S.BEGUN: S.VOID, S.SHOWN: S.VOID, S.ASKED: S.CUT, **over},
        }
    )


SESSION: Final = _session()
"""Event -> state before -> state after."""

STEP: Final = dict(SESSION["step"])
DONE: Final = dict(SESSION["done"])
"""Written out, as `session.state = STEP[session.state]`, in what runs for each batch: it takes half
the time of a call."""

EPOCH: Final = _epoch()
"""Event -> state before -> state after."""

TORN: Final = frozenset(
    {
        SessionState.PLACING,
        SessionState.STARTING,
        SessionState.STEPPING,
        SessionState.CLOSING,
    }
)
"""Whoever enters and finds one of these was preceded by an exception in the middle of a step."""
