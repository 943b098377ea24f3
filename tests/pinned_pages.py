"""Pages that stay pinned, as by a device's driver, without a device.

`vmsplice` puts references to pages into a pipe, not their bytes; `tee` and a read show what these
pages hold by now. So this sees what a device would: a page that was given back is seen as it was,
whatever lies at its address since.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import sys
from typing import Any

import pytest

PAGE_BYTES = mmap.PAGESIZE


class _Range(ctypes.Structure):
    _fields_ = (("address", ctypes.c_void_p), ("nbytes", ctypes.c_size_t))


class PinnedPages:
    """A range of whole pages, of 1 MiB at most, that is pinned until `unpin`."""

    def __init__(self, address: int, nbytes: int) -> None:
        assert address % PAGE_BYTES == nbytes % PAGE_BYTES == 0, (address, nbytes)
        self.address, self.nbytes = address, nbytes
        self._pipe = self._open()
        pinned = 0
        while pinned < nbytes:
            rest = _Range(address + pinned, nbytes - pinned)
            pinned += _called("vmsplice", self._pipe[1], ctypes.byref(rest), 1, 0)

    def _open(self) -> tuple[int, int]:
        pipe = os.pipe()
        fcntl.fcntl(pipe[0], fcntl.F_SETPIPE_SZ, self.nbytes)
        return pipe

    def read(self) -> bytes:
        """What the pages hold."""
        out, into = self._open()
        _called("tee", self._pipe[0], into, ctypes.c_size_t(self.nbytes), 0)
        os.close(into)
        with open(out, "rb") as shown:
            return shown.read()

    def shows_what_lies_there(self) -> bool:
        """Whether these are still the pages at their addresses, as far as their bytes say."""
        return self.read() == ctypes.string_at(self.address, self.nbytes)

    def unpin(self) -> None:
        for end in self._pipe:
            os.close(end)


def _called(name: str, *arguments: Any) -> int:
    result: int = getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def _can_pin() -> bool:
    memory = mmap.mmap(-1, PAGE_BYTES)
    try:
        PinnedPages(ctypes.addressof(ctypes.c_char.from_buffer(memory)), PAGE_BYTES).unpin()
    except (OSError, AttributeError):
        return False
    return True


CAN_PIN = sys.platform == "linux" and _can_pin()
needs_pinned_pages = pytest.mark.skipif(not CAN_PIN, reason="pages are pinned by vmsplice")
