"""What consumer and zygote say to each other: one message at a time, over a socket that keeps them
whole. Descriptors travel beside a request for a birth.

    request    serial, IMPORT, names of modules     once, before all others
               serial, BEAR, a worker's settings    and the descriptors that the settings name
               serial, REAP, process id             of a worker that has ended
    answer     serial, kind, facts                  to each request, in order

A serial tells which request is answered: the consumer may have been interrupted while it waited for
the answer to an earlier one.
"""

from __future__ import annotations

import marshal
from typing import Any, Final, NamedTuple

__all__ = [
    "BEAR",
    "BORN",
    "DESCRIPTORS_AT_ONCE",
    "ENDED",
    "FIT",
    "IMPORT",
    "MESSAGE_BYTES",
    "REAP",
    "REFUSED",
    "UNFIT",
    "Message",
]

IMPORT: Final = 1
BEAR: Final = 2
REAP: Final = 3

FIT: Final = 11
"""All is imported, and may be shared."""
UNFIT: Final = 12
"""With the reason, in words."""
BORN: Final = 13
"""With the process id."""
REFUSED: Final = 14
"""With the system's error number."""
ENDED: Final = 15
"""With the wait status, -1 where nobody knows it, and the peak of its memory as the system
counts it."""

MESSAGE_BYTES: Final = 1 << 16
DESCRIPTORS_AT_ONCE: Final = 200
"""Below what systems let travel with one message."""


class Message(NamedTuple):
    """One request, or the answer to one."""

    serial: int
    kind: int
    facts: Any
    """Plain values."""

    def pack(self) -> bytes:
        """As it travels."""
        return marshal.dumps(tuple(self))

    @classmethod
    def unpack(cls, data: bytes) -> Message:
        """From what `pack` made."""
        return cls._make(marshal.loads(data))
