"""Descriptors that belong together and are closed together.

An exception may be raised asynchronously between any two bytecodes: also between the return of
`os.pipe()` and the store of what it returned, and between closing a descriptor and forgetting its
number, which is somebody else's soon. So descriptors are made and stored, and forgotten and closed,
in one call into C each: `list.extend` and `deque` over an iterator that does the work.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections import deque
from itertools import chain, repeat, starmap
from typing import TYPE_CHECKING

from seqloader.memory.memfile import REFUSALS, memfd_flags, unlinked_file

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Descriptors"]

ABOVE_STANDARD = 3
"""A consumer with closed standard descriptors would get one of their numbers, and a child takes
those for its standard input or output."""


class Descriptors:
    """A set of open descriptors, all above 2 and closed on exec."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: list[int] = []

    def pipe(self) -> tuple[int, int]:
        """Make a pipe; its read end and its write end."""
        self._open.extend(chain.from_iterable(starmap(os.pipe, ((),))))
        return self._lift(-2), self._lift(-1)

    def add(self, make: Callable[..., int], *arguments: object) -> int:
        """Keep the descriptor that `make(*arguments)` returns."""
        self._open.extend(starmap(make, (arguments,)))
        return self._lift(-1)

    def memory(self, name: str) -> int:
        """Make an anonymous memory file; the name is only shown."""
        for flags in memfd_flags():
            try:
                return self.add(os.memfd_create, name, flags)
            except OSError as error:
                if error.errno not in REFUSALS:
                    raise
        return self.add(unlinked_file, name)

    def duplicate(self, fd: int) -> int:
        """Make another descriptor of what `fd` is open for."""
        return self.add(fcntl.fcntl, fd, fcntl.F_DUPFD_CLOEXEC, ABOVE_STANDARD)

    def _lift(self, place: int) -> int:
        fd = self._open[place]
        if fd < ABOVE_STANDARD:
            lifted = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, ABOVE_STANDARD)
            self._open[place] = lifted
            os.close(fd)
        return self._open[place]

    def close_one(self, fd: int) -> int:
        """Close `fd` if it is open here; returns -1, to be stored in its place."""
        if fd in self._open:
            place = self._open.index(fd)
            self._open[place], self._open[-1] = self._open[-1], fd
            self._close(1)
        return -1

    def close(self) -> None:
        """Close all. Idempotent."""
        while self._open:
            self._close(len(self._open))

    def check(self) -> None:
        """Assert what always holds between calls."""
        assert len({*self._open}) == len(self._open), self._open
        assert all(fd >= ABOVE_STANDARD for fd in self._open), self._open
        assert not any(map(os.get_inheritable, self._open)), self._open

    def __del__(self) -> None:
        # Where an exception came before `close()` was called.
        if getattr(self, "_open", None):
            self.close()

    def _close(self, count: int) -> None:
        with contextlib.suppress(OSError):  # somebody else has closed it
            deque(map(os.close, starmap(self._open.pop, repeat((), count))), maxlen=0)
