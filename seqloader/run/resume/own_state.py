"""The state that a Sequence saves and loads by itself: `state_dict()` and `load_state_dict()`."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from seqloader.errors import call_users, method_name
from seqloader.run.resume.saved_state import ABSENT
from seqloader.sequence.interface import offered

__all__ = ["carries_state", "copied", "give_state", "take_state"]


def carries_state(sequence: Any) -> bool:
    """Whether the Sequence saves and loads a state of its own."""
    return callable(offered(sequence, "state_dict")) and callable(
        offered(sequence, "load_state_dict")
    )


def take_state(sequence: Any) -> Any:
    """What the Sequence saves: a copy, since it may hand out what it goes on changing."""
    return copied(call_users(method_name(sequence, "state_dict"), sequence.state_dict))


def give_state(sequence: Any, state: Any) -> None:
    """Let the Sequence load it: a copy, since it may keep and change it."""
    load = sequence.load_state_dict
    call_users(method_name(sequence, "load_state_dict"), load, copied(state))


def copied(state: Any) -> Any:
    """The state, or ABSENT, as no one else has it."""
    if state is ABSENT:
        return state
    # Several times as fast as `deepcopy`: a list of a million indices is taken in every epoch.
    try:
        return pickle.loads(pickle.dumps(state, 5))
    except Exception:
        return copy.deepcopy(state)
