"""The calls of devices, by torch. Whoever else moves arrays to a device brings a `Driver`."""

from __future__ import annotations

import contextlib
from typing import Any, Final, Protocol

__all__ = ["CudaDriver", "CudaMemory", "Driver", "Event", "HostMemory", "PlainDriver", "driver_for"]

_PORTABLE: Final = 1
"""cudaHostRegisterPortable: locked for every device of the process, not for one."""


class Event(Protocol):
    """A mark in a stream."""

    def query(self) -> bool:
        """Whether the stream has passed it."""

    def synchronize(self) -> object:
        """Wait until it has."""


class HostMemory(Protocol):
    """Memory of this process, as a device sees it that reads page-locked memory by itself."""

    def span(self, array: Any) -> tuple[int, int]:
        """Address and bytes of an array; no bytes: the driver sees to its memory itself."""

    def register(self, address: int, nbytes: int) -> str:
        """Lock whole pages. "", or why it does not."""

    def unregister(self, address: int) -> None:
        """Unlock them. Any thread, a finalizer; never raises."""

    def buffer(self, nbytes: int) -> Any:
        """Memory that is locked already."""

    def fill(self, buffer: Any, start: int, array: Any) -> Any:
        """Copy an array into a buffer; the array there."""


class Driver(Protocol):
    """What a feed asks of a device. Arrays are what the driver takes for arrays."""

    memory: HostMemory | None
    """None: the device takes arrays from anywhere."""

    def copy(self, arrays: list[Any]) -> tuple[list[Any], Event]:
        """Begin to copy arrays to the device. What they become, and an event behind the copies."""

    def wait_for_all(self) -> None:
        """Wait until all copies are done that were begun."""

    def hand_over(self, arrays: list[Any], event: Event) -> None:
        """Whatever the caller's own stream does next with the arrays comes after the event."""


def driver_for(torch: Any, device: Any) -> Driver:
    """The driver of a `torch.device` that is no CPU."""
    return CudaDriver(torch, device) if device.type == "cuda" else PlainDriver(torch, device)


class PlainDriver:
    """Copies that do not block, on the device's own stream: on "mps", "xpu" and others."""

    memory: HostMemory | None = None

    def __init__(self, torch: Any, device: Any) -> None:
        self._torch = torch
        self._device = device

    def copy(self, arrays: list[Any]) -> tuple[list[Any], Event]:
        """See `Driver`."""
        moved = [array.to(self._device, non_blocking=True) for array in arrays]
        event = self._torch.Event(self._device)
        event.record()
        return moved, event

    def wait_for_all(self) -> None:
        """See `Driver`."""
        self._torch.accelerator.synchronize(self._device)

    def hand_over(self, arrays: list[Any], event: Event) -> None:
        """Nothing is to be done: the loop uses the same stream."""


class CudaDriver:
    """Copies on a stream of their own, from memory that is page-locked.

    # Note [Memory on two streams]
    What is allocated while a stream is current belongs to that stream: torch would use it again
    for the next copy as soon as nothing refers to it, even while kernels of the loop's stream still
    read it. `record_stream` tells torch of the other stream.
    """

    def __init__(self, torch: Any, device: Any) -> None:
        index = torch.cuda.current_device() if device.index is None else device.index
        self._torch = torch
        self._device = torch.device("cuda", index)
        self._stream = torch.cuda.Stream(self._device)
        self.memory: HostMemory | None = CudaMemory(torch, self._device)

    def copy(self, arrays: list[Any]) -> tuple[list[Any], Event]:
        """See `Driver`."""
        cuda = self._torch.cuda
        with cuda.stream(self._stream):
            moved = [array.to(self._device, non_blocking=True) for array in arrays]
            event = cuda.Event(blocking=True)  # waiting for it takes no processor
            event.record(self._stream)
        return moved, event

    def wait_for_all(self) -> None:
        """See `Driver`."""
        self._stream.synchronize()

    def hand_over(self, arrays: list[Any], event: Event) -> None:
        """See `Driver`, and Note [Memory on two streams]."""
        current = self._torch.cuda.current_stream(self._device)
        current.wait_event(event)
        for array in arrays:
            array.record_stream(current)


class CudaMemory:
    """Memory that CUDA reads by itself."""

    def __init__(self, torch: Any, device: Any) -> None:
        self._torch = torch
        self._device = device
        self._calls = torch.cuda.cudart()

    def span(self, array: Any) -> tuple[int, int]:
        """See `HostMemory`."""
        if array.layout is not self._torch.strided:
            return 0, 0
        return array.data_ptr(), array.numel() * array.element_size()

    def register(self, address: int, nbytes: int) -> str:
        """See `HostMemory`."""
        status = self._calls.cudaHostRegister(address, nbytes, _PORTABLE)
        if status == self._calls.cudaError.success:
            return ""
        self._forget_error()
        return f"{self._calls.cudaGetErrorString(status)} (cudaHostRegister: {int(status)})"

    def unregister(self, address: int) -> None:
        """See `HostMemory`."""
        if self._calls.cudaHostUnregister(address) != self._calls.cudaError.success:
            self._forget_error()  # it was never locked: an interrupt came before that

    def _forget_error(self) -> None:
        """CUDA keeps the error of a call for whoever asks for the last one. torch asks after each
        kernel that it starts, and it is not to find ours after one of the user's."""
        with contextlib.suppress(RuntimeError):
            self._torch.zeros(1, device=self._device)

    def buffer(self, nbytes: int) -> Any:
        """See `HostMemory`."""
        return self._torch.empty(nbytes, dtype=self._torch.uint8, pin_memory=True)

    def fill(self, buffer: Any, start: int, array: Any) -> Any:
        """See `HostMemory`."""
        place = buffer[start : start + self.span(array)[1]].view(array.dtype)
        return place.view(array.shape).copy_(array)
