"""The board: what the consumer does, in words of shared memory that another process may read.

For whoever looks on from outside (`seqloader top`), also while the consumer hangs. Nothing is sent
and nobody is waited for: the consumer stores some words, and the memory file has a name by which it
is found among the descriptors of this process. There is one board for each session, whatever the
executor; that of processes has a table beside it (executors/process/wire/table.py), with the same
OWNER.

Every word has eight bytes and one writer, whoever holds the session's lock; storing one is a single
access. A reader may see the words of two instants side by side, and no half of one.

    FORM        of this layout
    PID         of the process that made it: a forked child has inherited it, and is not it
    STARTED     when the session began; all times are of CLOCK_MONOTONIC, in ns
    OWNER       the executor's, as in its table; 0 before the first epoch
    WORKERS     how many are wanted; 0: batches are computed in the consumer
    QUEUE       `max_queue_size`
    EPOCH       the one under way, or the last
    COUNT       batches in it, plus 1; 0: endless
    FIRST       the position that it began with
    BEFORE      batches delivered in the life of the enqueuer, when it began
    POSITION    the next one to be found, in the epoch on this shard: those before it are delivered,
                but for one that was only shown (`peek`, `has_next`)
    WAITED      seconds that the consumer has waited in the life of the enqueuer, a float
    WAITS_SINCE since when it waits for the batch of POSITION, in seconds, a float; 0: it does not
    DIED        workers that have died in the life of the enqueuer
    DOING       what else the consumer is inside of: its place in DOINGS
    SINCE       since when

POSITION, and where it waits for workers WAITED and WAITS_SINCE, are all that is stored for each
batch. (Where it computes batches itself, it does not wait.)

From byte TEXT_AT on stands the name of the Sequence's class, in UTF-8, ended by a zero.
"""

from __future__ import annotations

import mmap
import os
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    Words = memoryview[int] | list[int]
    Seconds = memoryview[float] | list[float]

__all__ = [
    "BOARD_BYTES",
    "BOARD_NAME",
    "DOINGS",
    "FORM_NOW",
    "TEXT_AT",
    "TEXT_BYTES",
    "Board",
    "no_words",
]

BOARD_NAME: Final = "seqloader-board"
BOARD_BYTES: Final = 4096
TEXT_AT: Final = 1024
TEXT_BYTES: Final = 256
FORM_NOW: Final = 1

WORDS: Final = 16
(
    FORM,
    PID,
    STARTED,
    OWNER,
    WORKERS,
    QUEUE,
    EPOCH,
    COUNT,
    FIRST,
    BEFORE,
    POSITION,
    WAITED,
    WAITS_SINCE,
    DIED,
    DOING,
    SINCE,
) = range(16)

DOINGS: Final = (
    "",
    "on_epoch_begin",
    "on_epoch_end",
    "send the Sequence",
    "stop computing",
    "start",
)
"""The first: it is inside none of our calls that may take long, and so most likely in the loop."""


def no_words() -> tuple[Words, Seconds]:
    """Words that nobody reads, so that whoever stores one need not ask."""
    return [0] * WORDS, [0.0] * WORDS


class Board:
    """The words of one session, while it runs."""

    def __init__(self) -> None:
        self.words: Words
        self.seconds: Seconds
        """The same words, for those that are floats."""
        self.words, self.seconds = no_words()
        self._mapping: mmap.mmap | None = None

    def open(self, subject: str) -> None:
        """Put it up. Where that cannot be, the words are nobody's, and nothing else is lost."""
        self.close()
        try:
            from seqloader.memory.descriptors import Descriptors
            from seqloader.memory.memfile import memfd_flags

            if not memfd_flags():
                return  # it would be a file without a name, which nobody finds
            descriptors = Descriptors()
            try:
                fd = descriptors.memory(BOARD_NAME)
                os.ftruncate(fd, BOARD_BYTES)
                mapping = self._mapping = mmap.mmap(fd, BOARD_BYTES)  # has a descriptor of its own
            finally:
                descriptors.close()
        except (ImportError, OSError):
            return
        text = subject.encode(errors="replace")[: TEXT_BYTES - 1]
        mapping[TEXT_AT : TEXT_AT + len(text)] = text
        words = memoryview(mapping).cast("Q")
        words[PID], words[STARTED] = os.getpid(), time.monotonic_ns()
        words[FORM] = FORM_NOW
        self.words, self.seconds = words, memoryview(mapping).cast("d")

    def close(self) -> None:
        """Take it down. Idempotent."""
        views = self.words, self.seconds
        self.words, self.seconds = no_words()
        mapping, self._mapping = self._mapping, None
        for view in views:
            if isinstance(view, memoryview):
                view.release()
        if mapping is not None:
            try:
                mapping.close()
            except BufferError:  # an interrupt came before the view was known: it ends with it
                pass
