"""Arrays in mapped files: they travel as the file's name, however they were sliced or viewed.

The file is mapped once for all the arrays that look into one mapping, in the worker as in the
consumer: a list of a million slices of one `numpy.memmap` needs one mapping, not a million.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seqloader.arrays import byte_bounds
from seqloader.executors.process.wire.views import address_of
from seqloader.memory.kernel_files import read

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FileMap", "file_map_of", "open_map"]

_WORKER_MODES: Final = {"r": "r", "r+": "r+", "w+": "r+"}
""""w+" would empty the file; "c" is missing, since its private changes exist in memory alone."""


class FileMap:
    """Stands for one mapping of the consumer in a pickle; loads as an array of its bytes."""

    __slots__ = ("address", "mode", "nbytes", "offset", "path")

    def __init__(self, path: str, mode: str, offset: int, nbytes: int, address: int) -> None:
        self.path = path
        self.mode = mode
        self.offset = offset
        self.nbytes = nbytes
        self.address = address
        """Where the consumer has it. Does not travel."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open_map, (self.path, self.mode, self.offset, self.nbytes)


def open_map(path: str, mode: str, offset: int, nbytes: int) -> NDArray[np.uint8]:
    """Map a range of a file."""
    return np.memmap(path, dtype=np.uint8, mode=mode, offset=offset, shape=(nbytes,))  # type: ignore[call-overload,no-any-return]


def file_map_of(array: NDArray[Any], known: dict[int, FileMap | None]) -> FileMap | None:
    """The file mapping that holds the array's memory, None if that must travel itself.

    `known` has what was found for earlier arrays, by the id of their mapping.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        mapping = getattr(base, "_mmap", None) if isinstance(base, np.memmap) else None
        if mapping is not None:
            if id(mapping) not in known:
                known[id(mapping)] = _file_map(base, mapping)
            found = known[id(mapping)]
            return found if found is not None and _lies_in(array, found) else None
        base = base.base
    return None


def _file_map(array: Any, mapping: mmap.mmap) -> FileMap | None:
    mode = _WORKER_MODES.get(array.mode)
    if mode is None or array.filename is None:
        return None
    path = os.path.abspath(array.filename)
    address = address_of(np.frombuffer(mapping, np.uint8))
    if not os.path.exists(path) or _is_deleted(address):
        return None
    # numpy keeps the offset that was asked for; the mapping starts at the boundary before it.
    offset = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
    return FileMap(path, mode, offset, len(mapping), address)


def _lies_in(array: NDArray[Any], found: FileMap) -> bool:
    if not array.size:
        return False
    low, high = byte_bounds(array)
    return found.address <= low and high <= found.address + found.nbytes


def _is_deleted(address: int) -> bool:
    """Whether the mapped file has lost its name, perhaps to another file that has it now."""
    try:
        for line in read("/proc/self/maps").split("\n"):
            low, _, high = line.partition(" ")[0].partition("-")
            if high and int(low, 16) <= address < int(high, 16):
                return line.rstrip().endswith(" (deleted)")
    except OSError:
        pass  # no such file on this platform: the name was looked up, that must do
    return False
