"""An error that is kept: what it says, and none of the frames that it came through."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from seqloader.adapters.last_error import without_traceback


class Wants(Exception):
    """Cannot be copied: it is made with other arguments than those it has."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def raised(make, cause=None):
    """That error, as it is caught."""
    try:
        raise make() from cause
    except BaseException as error:
        error.add_note("a note")
        return error


def test_it_says_the_same():
    cause = raised(lambda: KeyError("cause"))
    error = raised(lambda: OSError(2, "no such file", "there"), cause)
    kept = without_traceback(error)

    assert type(kept) is type(error)
    assert (str(kept), kept.errno, kept.__notes__) == (str(error), 2, ["a note"])
    assert repr(kept.__cause__) == "KeyError('cause')"
    assert (kept.__traceback__, kept.__cause__.__traceback__) == (None, None)
    assert error.__traceback__ is not None


def test_what_was_in_its_frames_is_free():
    batch = np.zeros(1)
    alive = weakref.ref(batch)

    def fails(batch):
        raise ValueError(batch.size)

    kept = None
    gc.disable()
    try:
        fails(batch)
    except ValueError as error:
        kept = without_traceback(error)
    try:
        del batch
        assert alive() is None
        assert str(kept) == "1"
    finally:
        gc.enable()


def test_an_error_that_cannot_be_copied_is_kept_as_it_is():
    error = raised(lambda: Wants(1, 2))

    assert without_traceback(error) is error
