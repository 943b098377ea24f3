"""End while an iterator is in mid-epoch, as a script does that has seen enough."""

from __future__ import annotations

import os
import sys
from typing import Final

from scoreboard.course import Course

STATUS: Final = 7
BATCHES: Final = 3

if __name__ == "__main__":
    course = Course()
    try:
        loader = course.open(course.sequence())
        batches = course.begin_epoch(loader)
        for position in range(BATCHES):
            course.check(next(batches), position)
    except Exception as error:
        course.tell(error)
        raise
    sys.stderr.flush()
    course.journal.write("leaving", status=STATUS, printed=os.fstat(2).st_size)
    sys.exit(STATUS)
