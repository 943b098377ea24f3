"""Arrays in shared memory: a Sequence that holds them is sent to its workers without them.

Actors
    owner    the process that made the array. All that it writes is in the memory's file.
    worker   maps the file privately: it sees what the owner writes, and what it writes itself is
             its own, page by page

Rules
    R1  Each array has a file of its own, without a name. It is closed and unmapped when the last
        thing ends that refers to the array, and the kernel counts for all processes: so nobody
        has to know who else uses the memory, a forked child neither.
    R2  Under all views of it lies one object that is no array, because numpy collapses chains of
        bases past arrays.
    R3  Whether an array is shared is told by the addresses of its elements, not by its bases: it
        may have come through a tensor or a memoryview.

Not here: how workers get at the file (executors/process). Threads and the inline executor have the
array as it is; a forked worker too, and makes its mapping private.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import os
import sys
import weakref
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seqloader.arrays import byte_bounds, is_plain, lengths_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from seqloader.memory.descriptors import Descriptors
    from seqloader.memory.mapping import Mapping

__all__ = [
    "SharedMemory",
    "live_memories",
    "make_private",
    "map_privately",
    "memory_of",
    "share",
    "shared_empty",
]

_SPARED_BYTES: Final = 32 << 20
"""Left to the system where an array would take all that there is."""
_CHUNK_BYTES: Final = 1 << 24
"""Written at once: small enough for a Ctrl-C between two of them."""
_MEMORY_ERRORS: Final = {errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def shared_empty(shape: Any, dtype: npt.DTypeLike = float, order: str = "C") -> npt.NDArray[Any]:
    """Return an array in shared memory, for a large array that a Sequence holds.

    It is an `numpy.ndarray` like any other, whose memory worker processes can map. A Sequence that
    holds it, or views of it (slices, reshaped, transposed, of another dtype), is sent to its
    workers without its elements: that takes no time and no further memory, at the start as in later
    epochs.

    - What this process writes, workers see at once, without `refresh()`. So write between epochs,
      or in `on_epoch_begin` and `on_epoch_end`, while no `__getitem__` runs: there is no state "as
      the epoch began" of this memory.
    - What a worker process writes stays its own, as with everything else in a Sequence. On the
      memory pages that it wrote to, it sees no more of what this process writes, until it gets
      the Sequence anew.
    - Elsewhere it is an ordinary array: pickled or copied, it becomes one without shared memory.
      With threads and inline, there is just this one array.

    The memory is taken at once, and given back when nothing refers to it any more, in this process
    and in workers. Each array takes one open file. Its contents are arbitrary at first.

    Args:
        shape: int or tuple of ints.
        dtype: its type of elements; not objects.
        order: "C" (rows are contiguous) or "F" (columns are).

    Raises:
        MemoryError: there is not as much memory.
        OSError: the system gives no shared memory, or no more open files.
    """
    kind = np.dtype(dtype)
    if not is_plain(kind):
        raise TypeError(
            f"elements of dtype {kind} are references to Python objects, which mean nothing in "
            "another process: such an array cannot be shared"
        )
    if order not in ("C", "F"):
        raise ValueError(f'order must be "C" or "F", not {order!r}')
    lengths = lengths_of(shape)
    nbytes = kind.itemsize * math.prod(lengths)
    if nbytes <= 0 or min(lengths, default=0) < 0 or sys.platform == "win32":
        return np.empty(lengths, kind, order)  # type: ignore[call-overload, no-any-return]
    memory = _allocate(nbytes)
    return np.ndarray(lengths, kind, memory.buffer(), order=order)  # type: ignore[arg-type]


def share(array: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return the array itself if it lies in shared memory, else a copy of it that does.

    See `shared_empty` for what that is good for.

    Args:
        array: what `numpy.asarray` takes; not a masked array.

    Raises:
        TypeError: its elements are Python objects; or it has a mask, which would be lost.
        MemoryError: there is no memory for the copy.
        OSError: the system gives no shared memory, or no more open files.
    """
    given = np.asanyarray(array)
    if isinstance(given, np.ma.MaskedArray):
        raise TypeError("a masked array is two arrays: share its .data and its .mask")
    if memory_of(given) is not None:
        return given
    order = "F" if given.flags.f_contiguous and not given.flags.c_contiguous else "C"
    shared = shared_empty(given.shape, given.dtype, order)
    memory = memory_of(shared)
    if memory is not None and given.flags.forc:
        memory.fill(np.asarray(given))
    else:
        np.copyto(shared, given)
    return shared


class SharedMemory:
    """The memory under one array, as this process has it mapped.

    Attributes:
        fd: its file, for workers to inherit; -1 where this process is the worker.
        address, end: of its bytes.
        private: whether what this process writes is its own.
    """

    def __init__(self, mapping: Mapping, nbytes: int, descriptors: Descriptors | None, fd: int):
        self._mapping = mapping
        self._descriptors = descriptors
        self.fd = fd
        self.nbytes = nbytes
        self.address = mapping.address
        self.end = mapping.address + nbytes
        self.private = fd < 0
        _live[self.address] = self

    def buffer(self) -> Any:
        """What lies under an array over this memory. It keeps the memory alive; see rule R2."""
        # `__slots__` makes the attribute a part of the object: nothing is left in a dictionary.
        kind: Any = type("SharedBytes", (ctypes.c_char * self.nbytes,), {"__slots__": ("memory",)})
        found = kind.from_address(self.address)
        found.memory = self
        return found

    def fill(self, array: npt.NDArray[Any]) -> None:
        """Write a contiguous array into the file: no page faults, twice as fast as copying."""
        data = array.reshape(-1, order="A").view(np.uint8).data
        done = 0
        while done < self.nbytes:
            done += os.pwrite(self.fd, data[done : done + _CHUNK_BYTES], done)

    def make_private(self) -> None:
        """In a forked child: from now on, what is written here is this process's own."""
        if not self.private:
            self.private = True
            self._mapping.make_private(self.fd)


_live: weakref.WeakValueDictionary[int, SharedMemory] = weakref.WeakValueDictionary()
"""By address: all shared memory that this process has mapped."""


def live_memories() -> list[SharedMemory]:
    """All that are mapped in this process now."""
    found = (reference() for reference in _live.valuerefs())  # one call, whatever other threads do
    return [memory for memory in found if memory is not None]


def memory_of(array: npt.NDArray[Any]) -> SharedMemory | None:
    """The shared memory that all elements lie in, if there is one; see rule R3."""
    if not _live or not array.size or (array.base is None and array.flags.owndata):
        return None
    low, high = byte_bounds(array)
    for memory in live_memories():
        if memory.address <= low and high <= memory.end:
            return memory
    return None


def map_privately(fd: int, nbytes: int) -> Any:
    """Map the file of another process's shared memory, privately: in a worker.

    Returns:
        What arrays may be laid over. The descriptor is not needed after this.
    """
    from seqloader.memory.mapping import Mapping

    return SharedMemory(Mapping(fd, nbytes, private=True), nbytes, None, -1).buffer()


def make_private() -> None:
    """In a worker that was forked: see to it that what it writes stays its own."""
    for memory in live_memories():
        with contextlib.suppress(OSError):
            memory.make_private()


def _allocate(nbytes: int) -> SharedMemory:
    # Not imported by whoever only asks whether an array is shared; nor on Windows, which has none.
    from seqloader.memory.descriptors import Descriptors
    from seqloader.memory.headroom import available_bytes, reserve
    from seqloader.memory.mapping import Mapping

    available = available_bytes()
    if available is not None and available < nbytes + _SPARED_BYTES:
        raise MemoryError(
            f"no memory for a shared array of {nbytes:,} bytes: {available:,} bytes are available, "
            f"and {_SPARED_BYTES:,} of them are left to the system"
        )
    descriptors = Descriptors()
    try:
        fd = descriptors.memory("seqloader-shared")
        os.ftruncate(fd, nbytes)
        reserve(fd, 0, nbytes)
        return SharedMemory(Mapping(fd, nbytes), nbytes, descriptors, fd)
    except OSError as error:
        raise _explained(error, nbytes) from error


def _explained(error: OSError, nbytes: int) -> Exception:
    what = f"no shared memory for an array of {nbytes:,} bytes: {error.strerror}"
    if error.errno == errno.EFBIG:
        from seqloader.memory.memfile import FILE_SIZE_HINT

        what += f"; {FILE_SIZE_HINT}"
    if error.errno in _MEMORY_ERRORS:
        return MemoryError(what)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        what += (
            f". Each shared array takes one open file, and there are {len(_live)} of them: make "
            "one large array and hold slices of it, or raise `ulimit -n` (RLIMIT_NOFILE)"
        )
    return OSError(error.errno, what)
