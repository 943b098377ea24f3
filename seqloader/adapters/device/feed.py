"""The way of batches to a device; the package says how."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from typing import TYPE_CHECKING, Any

from seqloader.adapters.device.copies import Copies
from seqloader.adapters.device.registrations import Registrations
from seqloader.errors import SeqloaderWarning
from seqloader.executors.process.consumer.leased import leased_at
from seqloader.run.messages import issue

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.adapters.device.copies import Slot
    from seqloader.adapters.device.drivers import Driver, HostMemory
    from seqloader.executors.process.consumer.leased import LeasedBlock

    Flatten = Callable[[Any], tuple[list[Any], Callable[[list[Any]], Any]]]
    """A batch to its arrays, and to what makes a batch like it of what became of them."""

__all__ = ["DeviceFeed", "Sent"]

ALIGNMENT_BYTES = 256
"""Of arrays in a pinned buffer: as CUDA aligns what it allocates itself."""

_of_parents: list[Any] = []
"""In a forked child, what the parent's copies read: freeing a pinned buffer asks the device."""


class Sent:
    """A batch that is on its way to the device."""

    __slots__ = ("arrays", "batch", "event")

    def __init__(self, batch: Any, arrays: list[Any], event: Any) -> None:
        self.batch = batch
        self.arrays = arrays
        self.event = event


class DeviceFeed:
    """Sends batches to a device, and hands them over. One thread; see the package for its rules.

    Args:
        driver: Of the device.
        ahead: How many batches are sent before they are received, at most.
        flatten: Returns the arrays of a batch, as the driver takes them, and a function that makes
            the same batch of what became of each on the device.

    Attributes:
        registrations: What of the workers' memory the driver has locked.
        buffered_bytes: Bytes that the consumer's processor has copied into pinned buffers.
    """

    def __init__(self, driver: Driver, ahead: int, flatten: Flatten) -> None:
        self.registrations = Registrations()
        self.buffered_bytes = 0
        self._driver = driver
        self._flatten = flatten
        self._copies = Copies(ahead + 1)
        self._pid = os.getpid()

    # --- the way of a batch -----------------------------------------------------------------

    def send(self, batch: Any) -> Sent:
        """Begin to copy a batch. Waits only where more copies are under way than may be.

        Raises:
            RuntimeError: The device has no memory for it, or fails. Nothing is lost: the same batch
                may be sent again.
        """
        self._release_done()
        if self._copies.is_full:
            self._end_oldest()
        arrays, rebuilt = self._flatten(batch)
        direct = self._read_directly(arrays)
        kept = [array for array, is_direct in zip(arrays, direct, strict=True) if is_direct]
        copy = self._copies.begin(kept, in_ring=len(kept) < len(arrays))
        if copy.slot is not None:
            arrays = self._buffered(arrays, direct, copy.slot)
        moved, copy.event = self._driver.copy(arrays)
        return Sent(rebuilt(moved), moved, copy.event)

    def receive(self, sent: Sent) -> Any:
        """The batch, on the device; whatever the caller's stream does next comes after its copy."""
        self._driver.hand_over(sent.arrays, sent.event)
        self._release_done()
        return sent.batch

    def close(self) -> None:
        """Wait for all copies that are under way, and let go of what they read."""
        if os.getpid() != self._pid:
            _of_parents.append(self._copies)  # R5
            return
        while self._copies.under_way:
            self._end_oldest()
        self._copies.forget_buffers()

    def __del__(self, _finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if hasattr(self, "_pid") and not _finalizing():
            with contextlib.suppress(Exception):  # a device that fails copies nothing any more
                self.close()

    # --- what a copy reads ------------------------------------------------------------------

    def _release_done(self) -> None:
        """End the copies whose events the stream has passed."""
        while (oldest := self._copies.oldest) is not None:
            if oldest.event is None or not oldest.event.query():
                return
            self._copies.end_oldest()

    def _end_oldest(self) -> None:
        oldest = self._copies.oldest
        assert oldest is not None
        if oldest.event is None:
            self._driver.wait_for_all()
        else:
            oldest.event.synchronize()
        self._copies.end_oldest()

    def _read_directly(self, arrays: list[Any]) -> list[bool]:
        """For each array, whether the device may read it where it lies."""
        memory = self._driver.memory
        if memory is None:
            return [True] * len(arrays)
        direct: list[bool] = []
        block: LeasedBlock | None = None
        for address, nbytes in map(memory.span, arrays):
            if nbytes and (block is None or not block.covers(address)):
                block = leased_at(address)
            direct.append(not nbytes or (block is not None and self._is_locked(block, memory)))
        return direct

    def _is_locked(self, block: LeasedBlock, memory: HostMemory) -> bool:
        """Whether the pages of a block are locked, or can be."""
        registrations = self.registrations
        if block.is_locked():
            return True
        if not registrations.wants(block.address):
            return False
        registrations.ask(block.address, block.nbytes)
        block.lock(functools.partial(_unlock, memory, registrations, block.address))
        refusal = memory.register(block.address, block.nbytes)
        if not refusal:
            registrations.grant()
            return True
        registrations.refuse(block.address, refusal)
        block.unlock()
        issue(_refused_warning(block.nbytes, refusal))
        return False

    def _buffered(self, arrays: list[Any], direct: list[bool], slot: Slot) -> list[Any]:
        """The arrays; those that the device cannot read directly are copied into the slot."""
        memory = self._driver.memory
        assert memory is not None
        places, end = [], 0
        for array, is_direct in zip(arrays, direct, strict=True):
            places.append(end)
            if not is_direct:
                nbytes = memory.span(array)[1]
                end += -(-nbytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
                self.buffered_bytes += nbytes
        if slot.nbytes < end:
            slot.buffer, slot.nbytes = None, 0  # before there are two
            slot.buffer = memory.buffer(end)
            slot.nbytes = end
        return [
            array if is_direct else memory.fill(slot.buffer, place, array)
            for array, is_direct, place in zip(arrays, direct, places, strict=True)
        ]


def _unlock(memory: HostMemory, registrations: Registrations, address: int) -> None:
    """The memory of a block ends. Any thread, a finalizer."""
    if registrations.end(address):
        memory.unregister(address)


def _refused_warning(nbytes: int, refusal: str) -> SeqloaderWarning:
    return SeqloaderWarning(
        f"the device's driver did not page-lock a block of {nbytes / 1e6:.3g} MB of the workers' "
        f"shared memory: {refusal}. Batches are right all the same, but each is copied into a "
        "pinned buffer first, which takes time of this process. Usual reasons: a limit on locked "
        "memory (raise `ulimit -l`; in a container its memory limit), a sandbox that does not "
        "allow it, or shared memory in a file on disk (give /dev/shm 256 MB at least, or allow "
        "memfd_create)"
    )
