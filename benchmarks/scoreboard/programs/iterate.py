"""What most scripts do: take epochs from a loader. Or leave them early, or leave altogether."""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import psutil
from scoreboard.course import Course

STATUS: Final = 7
BATCHES: Final = 3
EPOCHS: Final = 20
WARM: Final = 2
"""Epochs after which everything that is opened once has been opened."""
GRACE_S: Final = 2.0
kept: list[Any] = []
"""Until the interpreter ends."""


def abandon(course: Course, loader: Any) -> None:
    """Leave the loop over an epoch after a few batches, again and again; count what piles up."""
    before: dict[str, int] = {}
    for number in range(EPOCHS):
        if number == WARM:
            before = _settled_counts(course)
        course.leave_epoch(loader, BATCHES)
    course.journal.write("counted", before=before, after=_settled_counts(course))


def _settled_counts(course: Course) -> dict[str, int]:
    """What there is after garbage collection, and after what is about to end has ended."""
    gc.collect()
    end = time.monotonic() + GRACE_S
    counts = _counts()
    while time.monotonic() < end:
        time.sleep(0.1)
        counts = {name: min(count, counts[name]) for name, count in _counts().items()}
    course.journal.write("settled")
    return counts


def _counts() -> dict[str, int]:
    return {
        "processes": len(psutil.Process().children(recursive=True)),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
    }


def leave(course: Course) -> None:
    """End while an iterator is in mid-epoch, as a script does that has seen enough."""
    try:
        loader = course.open(course.sequence())
        batches = course.begin_epoch(loader)
        kept.extend((loader, batches))
        for position in range(BATCHES):
            course.check(next(batches), position)
    except Exception as error:
        course.tell(error)
        raise
    sys.stderr.flush()
    course.journal.write("leaving", status=STATUS, printed=os.fstat(2).st_size)
    sys.exit(STATUS)


def main() -> None:
    course = Course()
    if course.fault.way == "leave":
        leave(course)
    course.run(course.sequence(), abandon if course.fault.way == "abandon" else None)


if __name__ == "__main__":
    main()
