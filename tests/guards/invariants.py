"""After each test, every run that is still there is asked whether its invariants hold."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from seqloader.run.run import Run

__all__: list[str] = []


@pytest.fixture(autouse=True)
def _invariants() -> Iterator[None]:
    made: weakref.WeakSet[Run] = weakref.WeakSet()
    begin = Run.__init__

    def noting(self: Run, *args: Any) -> None:
        made.add(self)
        begin(self, *args)

    # Its frame counts as one of ours: warnings name the first line that is not.
    noting.__code__ = noting.__code__.replace(co_filename=begin.__code__.co_filename)
    # Not by `monkeypatch`: each test would have it then, and what a test has patched would be put
    # back only after the guard of leaks has looked.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "__init__", noting)
        yield
    for run in made:
        if not hasattr(run, "store"):  # its construction was interrupted
            continue
        if run.session.lock.acquire(blocking=False):  # else a thread that was left is inside
            try:
                run.check()
            finally:
                run.session.lock.release()
