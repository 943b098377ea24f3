"""An error that is kept, by whoever is in its traceback."""

from __future__ import annotations

import copy
from typing import TypeVar

__all__ = ["without_traceback"]

Error = TypeVar("Error", bound=BaseException)


def without_traceback(error: Error) -> Error:
    """A copy of the error with its notes and its cause, and without their tracebacks.

    The frames in a traceback hold all that was there: the batches, the model, and who keeps the
    error. What cannot be copied is returned as it is.
    """
    try:
        kept = copy.copy(error)
    except Exception:  # of a class whose `__init__` wants other arguments, or worse
        return error
    if type(kept) is not type(error):
        return error
    if error.__cause__ is not None:
        kept.__cause__ = without_traceback(error.__cause__)
    return kept
