"""A device without one: a stream that executes copies when it is told to, and pages that it has.

Registered memory is read through pinned pages (tests/pinned_pages.py), as a device would: whatever
lies at its addresses by then. What a driver forbids or cannot see is asserted:

    registered twice, unregistered without, unregistered under a copy
    copied from memory that is neither registered nor of a buffer of its own
    written to under a copy
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from pinned_pages import PAGE_BYTES, PinnedPages

__all__ = ["Arrived", "StandIn", "flatten"]


class Mark:
    """An event of the stream."""

    def __init__(self, device: StandIn, number: int) -> None:
        self.device = device
        self.number = number

    def query(self) -> bool:
        return self.device.done >= self.number

    def synchronize(self) -> None:
        self.device.waits += 1
        self.device.run_until(self.number)


class Arrived:
    """An array on the device."""

    def __init__(self, source: Any) -> None:
        self.value: Any = None
        """None until the stream has copied it."""
        self.shape, self.dtype = source.shape, source.dtype


class StandIn:
    """Driver and its memory in one.

    Attributes:
        refusal: What `register` answers from now on.
        fails_at: The call of this name raises, once, after what it does.
    """

    def __init__(self, *, locks_pages: bool = True) -> None:
        self.memory: Any = self if locks_pages else None
        self.refusal = ""
        self.fails_at = ""
        self.registered: dict[int, PinnedPages] = {}
        self.ever_registered = 0
        self.buffers: list[Any] = []
        self.queue: list[tuple[int, list[tuple[int, bytes]], list[Any]]] = []
        """Number, what is read from where, what it becomes."""
        self.begun = self.done = self.waits = 0
        self.handed_over: list[int] = []

    def _fail(self, call: str) -> None:
        if self.fails_at == call:
            self.fails_at = ""
            raise KeyboardInterrupt(call)

    # --- memory -----------------------------------------------------------------------------

    def span(self, array: Any) -> tuple[int, int]:
        return array.ctypes.data, array.nbytes

    def register(self, address: int, nbytes: int) -> str:
        assert address % PAGE_BYTES == nbytes % PAGE_BYTES == 0
        if self.refusal:
            return self.refusal
        assert not self._registration(address, nbytes), "registered twice"
        self.registered[address] = PinnedPages(address, nbytes)
        self.ever_registered += 1
        self._fail("register")
        return ""

    def unregister(self, address: int) -> None:
        pages = self.registered.pop(address)
        for _, sources, _ in self.queue:
            for start, _ in sources:
                assert not address <= start < address + pages.nbytes, "unlocked under a copy"
        assert pages.shows_what_lies_there(), "unlocked after its pages were given back"
        pages.unpin()

    def _registration(self, address: int, nbytes: int) -> PinnedPages | None:
        for pages in self.registered.values():
            if pages.address < address + nbytes and address < pages.address + pages.nbytes:
                return pages
        return None

    def buffer(self, nbytes: int) -> Any:
        self._fail("buffer")
        self.buffers.append(np.zeros(nbytes, np.uint8))
        return self.buffers[-1]

    def fill(self, buffer: Any, start: int, array: Any) -> Any:
        place = buffer[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
        place[...] = array
        self._fail("fill")
        return place

    # --- the stream -------------------------------------------------------------------------

    def copy(self, arrays: list[Any]) -> tuple[list[Any], Any]:
        arrived = [self.arriving(array) for array in arrays]
        sources = []
        for array in arrays:
            address, nbytes = self.span(array)
            sources.append((address, self._read(address, nbytes)))
        self.begun += 1
        self.queue.append((self.begun, sources, arrived))
        self._fail("copy")
        return arrived, Mark(self, self.begun)

    def _read(self, address: int, nbytes: int) -> bytes:
        """What the device sees at an address."""
        if not nbytes:
            return b""
        pages = self._registration(address, nbytes)
        if pages is not None:
            start = address - pages.address
            assert start >= 0 and start + nbytes <= pages.nbytes, "beyond what is registered"
            return pages.read()[start : start + nbytes]
        for buffer in self.buffers:
            start = address - buffer.ctypes.data
            if start >= 0 and start + nbytes <= buffer.nbytes:
                return buffer[start : start + nbytes].tobytes()
        assert self.memory is None, "a copy from memory that is not locked"
        return ctypes.string_at(address, nbytes)

    def step(self) -> None:
        """The stream executes what comes next in it."""
        number, sources, arrived = self.queue[0]
        for (address, expected), array in zip(sources, arrived, strict=True):
            seen = self._read(address, len(expected))
            assert seen == expected, "written to under a copy"
            self.arrive(array, seen)
        del self.queue[0]
        self.done = number

    def arriving(self, array: Any) -> Any:
        """What an array becomes on the device, before the stream has copied it."""
        return Arrived(array)

    def arrive(self, arriving: Any, seen: bytes) -> None:
        arriving.value = np.frombuffer(seen, arriving.dtype).reshape(arriving.shape)

    def run_until(self, number: int) -> None:
        while self.done < number:
            self.step()

    def wait_for_all(self) -> None:
        self.waits += 1
        self.run_until(self.begun)

    def hand_over(self, arrays: list[Any], event: Any) -> None:
        """The loop's stream waits; here it is the loop itself, where a test looks at the values."""
        self._fail("hand_over")
        self.handed_over.append(event.number)


def flatten(batch: Any) -> Any:
    """The arrays of a nest, and what makes a nest like it of others; see `DeviceFeed`."""
    arrays: list[Any] = []
    _map_arrays(arrays.append, batch)

    def rebuilt(moved: list[Any]) -> Any:
        on_device = iter(moved)
        return _map_arrays(lambda _: next(on_device), batch)

    return arrays, rebuilt


def _map_arrays(function: Any, batch: Any) -> Any:
    if isinstance(batch, np.ndarray):
        return function(batch)
    if isinstance(batch, dict):
        return {key: _map_arrays(function, value) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(_map_arrays(function, value) for value in batch)
    return batch
