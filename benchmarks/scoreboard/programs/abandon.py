"""Leave the loop over an epoch after a few batches, again and again, and count what piles up."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any, Final

import psutil
from scoreboard.course import Course

EPOCHS: Final = 20
BATCHES: Final = 3
WARM: Final = 2
"""Epochs after which everything that is opened once has been opened."""
GRACE_S: Final = 2.0


def main() -> None:
    course = Course()
    course.run(course.sequence(), _abandon)


def _abandon(course: Course, loader: Any) -> None:
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


if __name__ == "__main__":
    main()
