"""A file mapped into memory, for as long as this object lives.

By the C library, because Python's `mmap` keeps a descriptor of its own for every mapping, and a
limit on open files must not limit how many batches can be kept.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import sys
from itertools import starmap
from typing import Any, Final

import numpy as np

__all__ = ["Mapping"]

_MAP_FAILED: Final = ctypes.c_void_p(-1).value
_REMOVE: Final[int | None] = getattr(mmap, "MADV_REMOVE", None)
_READ_WRITE: Final = mmap.PROT_READ | mmap.PROT_WRITE
_PRIVATE: Final = mmap.MAP_PRIVATE | (0x4000 if sys.platform == "linux" else 0)
"""With MAP_NORESERVE: pages that are never written to need no promise of memory."""
_FIXED: Final = 0x10
"""MAP_FIXED of Linux and macOS; Python does not name it."""


class Mapping:
    """The bytes of a file from its start, readable and writable.

    Args:
        fd: of the file; not needed after this.
        size: in bytes.
        private: what is written here stays in this process (copy on write, page by page), instead
            of being shared with all others.

    Attributes:
        address: of the first byte.
        size: in bytes.
    """

    _libc: Any = None
    """None also in an object whose construction was interrupted: its finalizer asks."""
    _addresses: list[int | None] | tuple[()] = ()
    """One, once it is mapped."""
    _end: Any = None
    """Holds what unmaps it when it ends; see `_unmapping`."""
    _failed: Any = _MAP_FAILED

    def __init__(self, fd: int, size: int, *, private: bool = False) -> None:
        self.size = size
        self._pid = os.getpid()
        self._getpid = os.getpid  # at exit, modules are emptied before the last objects go
        self._kept: Any = None
        self._advise: Any = None
        libc = _libc()
        flags = _PRIVATE if private else mmap.MAP_SHARED
        if libc is None:
            mapped = mmap.mmap(fd, size, flags, _READ_WRITE)
            self._kept = (mapped, ctypes.c_char.from_buffer(mapped))
            self.address = ctypes.addressof(self._kept[1])
            return
        self._advise = libc.madvise
        self._libc = libc
        self._addresses = []
        self._end = np.empty(1, object)
        # Mapped and stored in one call into C: an interrupt finds it known, or not there.
        self._addresses.extend(starmap(libc.mmap, ((None, size, _READ_WRITE, flags, fd, 0),)))
        self.address = _checked(self._addresses[0], size)
        ends = map(self._end.fill, starmap(_unmapping(libc, self.address, size), ((),)))
        list(ends)  # made and stored in one call, for the same reason

    def make_private(self, fd: int) -> None:
        """Map the same file again, at the same addresses, privately. Writes so far are kept."""
        libc = _libc()
        if libc is not None:
            flags = _PRIVATE | _FIXED
            _checked(libc.mmap(self.address, self.size, _READ_WRITE, flags, fd, 0), self.size)

    def punch(self, offset: int, size: int) -> bool:
        """Give pages back to the system; their contents are zeros after that.

        Returns:
            Whether that was done: not every file can, and a forked child must not, because it
            shares the file with its parent.
        """
        if _REMOVE is None or self._getpid() != self._pid:
            return False
        if self._advise is not None:
            return bool(self._advise(self.address + offset, size, _REMOVE) == 0)
        try:
            self._kept[0].madvise(_REMOVE, offset, size)
        except OSError:
            return False
        return True

    def __del__(self) -> None:
        if self._end is None or self._end[0] is None:  # an interrupt came before there was one
            for address in self._addresses:
                if address is not None and address != self._failed:
                    self._libc.munmap(address, self.size)


def _unmapping(libc: Any, address: int, size: int) -> type:
    """A type whose object, at its end, unmaps that memory: by C alone.

    An interrupt inside a finalizer in Python would be dropped there, and the memory stay mapped.
    And the garbage collector calls the finalizers of a whole cycle before it lets go of any part,
    while one of the others may still read the memory. So the object is held by a numpy array: the
    collector does not look into those, and what they hold ends with them, after that.
    """
    end = staticmethod(functools.partial(libc.munmap, address, size))
    return type("Mapped", (), {"__slots__": (), "__del__": end})


def _checked(address: int | None, size: int) -> int:
    if address is None or address == _MAP_FAILED:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot map {size} bytes: {os.strerror(code)}")
    return address


@functools.cache
def _libc() -> Any:
    """The C library, or None where it cannot be had this way."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_ssize_t,  # as wide as off_t where Python is built without large file calls
        ]
        libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    except (OSError, AttributeError, TypeError):
        return None
    return libc
