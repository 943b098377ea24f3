"""Shared arrays in a worker: the files that it has of them, and the mapping of those."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from seqloader.executors.process.wire.procfd import open_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seqloader.executors.process.wire.manifest import SharedFile

__all__ = ["SharedFiles"]


class SharedFiles:
    """Files of shared arrays, open as long as the current state of the Sequence has them.

    Every state is mapped anew from them: what a worker writes to its Sequence is gone with the
    state, shared or not.

    Args:
        inherited: descriptors of all that the consumer had when this worker was started.
        consumer: its process id; 0: it is the parent.
    """

    def __init__(self, inherited: Iterable[int] = (), consumer: int = 0) -> None:
        self._consumer = consumer or os.getppid()
        self._open = {_identity(fd): fd for fd in inherited}

    def map(self, files: Sequence[SharedFile]) -> list[Any]:
        """Map those files, and close all others. What arrays may be laid over, one for each."""
        wanted = {(file.device, file.inode): file for file in files}
        for identity in self._open.keys() - wanted.keys():
            os.close(self._open.pop(identity))
        for identity, file in wanted.items():
            if identity not in self._open:
                self._open[identity] = _open(self._consumer, file)
        if not files:
            return []
        from seqloader.memory.shared_arrays import map_privately  # most Sequences do not need it

        return [
            map_privately(self._open[identity], file.nbytes) for identity, file in wanted.items()
        ]


def _identity(fd: int) -> tuple[int, int]:
    facts = os.fstat(fd)
    return facts.st_dev, facts.st_ino


def _open(consumer: int, file: SharedFile) -> int:
    try:
        fd = open_of(consumer, file.fd)
    except OSError as error:
        raise _unreachable(file, str(error)) from error
    if _identity(fd) != (file.device, file.inode):
        os.close(fd)
        raise _unreachable(file, "another file has its place")
    return fd


def _unreachable(file: SharedFile, why: str) -> OSError:
    return OSError(
        f"this worker cannot open a shared array of {file.nbytes:,} bytes that was made after the "
        f"worker had started: {why}. Make the array before start(), or start() anew"
    )
