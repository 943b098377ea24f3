"""Descriptors of the user's own that lie in a Sequence: of pipes, queues and shared values.

Every worker inherits them, under the number that the consumer keeps for them. Each state that a
worker loads gets duplicates, which are its own to close.
"""

from __future__ import annotations

import fcntl
from typing import Any

__all__ = ["PassedDescriptor", "rebuild_arena"]


class PassedDescriptor:
    """In place of a descriptor, in the pickle of an object of multiprocessing.

    Args:
        number: what every worker has inherited it as.
    """

    def __init__(self, number: int) -> None:
        self.number = number

    def detach(self) -> int:
        """A duplicate: multiprocessing's name for it."""
        return fcntl.fcntl(self.number, fcntl.F_DUPFD_CLOEXEC, 3)


_arenas: dict[int, Any] = {}


def rebuild_arena(kind: type, size: int, number: int) -> Any:
    """Memory of multiprocessing's shared values. It is the same in every state, so it is mapped
    once: multiprocessing never closes what it rebuilds one from."""
    if number not in _arenas:
        _arenas[number] = kind(size, number)
    return _arenas[number]
