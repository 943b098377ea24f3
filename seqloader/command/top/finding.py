"""Where the boards and tables of a process are: among its descriptors, by their names."""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from seqloader.executors.process.wire.table import OWNER as TABLE_OWNER
from seqloader.executors.process.wire.table import TABLE_BYTES
from seqloader.run.board import BOARD_BYTES, BOARD_NAME, FORM, FORM_NOW, OWNER, PID

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Found", "Mapped", "NotOursError", "enqueuers_of", "has_open", "processes"]

TABLE_NAME: Final = "seqloader-table"


class NotOursError(Exception):
    """The process belongs to another user."""


class Mapped:
    """A memory file of another process, mapped to be read: it stays when that process ends."""

    def __init__(self, path: str, size: int) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.inode = os.fstat(fd).st_ino
            self._mapping = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
        finally:
            os.close(fd)
        self._view = memoryview(self._mapping)
        self.words = self._view.cast("Q")
        self.seconds = self._view.cast("d")

    def text(self, at: int, size: int) -> str:
        """UTF-8 that ends with a zero."""
        return bytes(self._view[at : at + size]).partition(b"\0")[0].decode(errors="replace")

    def close(self) -> None:
        """Unmap. Idempotent."""
        self.words.release()
        self.seconds.release()
        self._view.release()
        self._mapping.close()


class Found(NamedTuple):
    """An enqueuer that runs in a process."""

    pid: int
    board: Mapped
    table: Mapped | None
    """Of its workers, where they are processes."""

    def close(self) -> None:
        """Let go of both."""
        self.board.close()
        if self.table is not None:
            self.table.close()


def enqueuers_of(pid: int) -> list[Found]:
    """Those that run now, in the order in which they were started. Empty also where the process
    has ended.

    Raises:
        NotOursError: it may not be looked at.
    """
    boards = [board for board in _mapped(pid, BOARD_NAME, BOARD_BYTES) if _is_of(board, pid)]
    tables = {table.words[TABLE_OWNER]: table for table in _mapped(pid, TABLE_NAME, TABLE_BYTES)}
    found = [Found(pid, board, tables.pop(board.words[OWNER], None)) for board in boards]
    for table in tables.values():
        table.close()
    return found


def _is_of(board: Mapped, pid: int) -> bool:
    # A forked child has inherited its parent's; another version may have another form.
    if board.words[FORM] == FORM_NOW and board.words[PID] == pid:
        return True
    board.close()
    return False


def _mapped(pid: int, name: str, size: int) -> Iterator[Mapped]:
    seen: set[int] = set()
    for path in _descriptors(pid, name):
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile
            if (inode := os.stat(path).st_ino) not in seen:
                seen.add(inode)
                yield Mapped(path, size)


def _descriptors(pid: int, name: str) -> list[str]:
    folder = f"/proc/{pid}/fd"
    found = []
    try:
        numbers = sorted(os.listdir(folder), key=int)
    except (FileNotFoundError, ProcessLookupError):
        return []
    except PermissionError as error:
        raise NotOursError from error
    for number in numbers:
        with contextlib.suppress(OSError):
            if os.readlink(f"{folder}/{number}").startswith(f"/memfd:{name}"):
                found.append(f"{folder}/{number}")
    return found


def has_open(pid: int, inode: int, name: str = TABLE_NAME) -> bool:
    """Whether a process lives and has a file of that name open: it is who it is taken for, although
    process ids are used again."""
    with contextlib.suppress(OSError, NotOursError):
        return any(os.stat(path).st_ino == inode for path in _descriptors(pid, name))
    return False


def processes() -> list[int]:
    """Processes that have enqueuers which run, of those that we may look at."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(NotOursError, OSError):
                here = enqueuers_of(int(name))
                if here:
                    found.append(int(name))
                for one in here:
                    one.close()
    return sorted(found)
