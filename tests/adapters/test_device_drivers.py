"""What is called of torch for a device: which calls, in which order, on which stream."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from seqloader.adapters.device.drivers import CudaDriver, PlainDriver, driver_for

SUCCESS, OUT_OF_MEMORY = 0, 2


class FakeTorch:
    """torch, as far as the drivers call it; notes what is called."""

    strided = "strided"
    uint8 = "uint8"

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.current = "the loop's stream"
        self.answers = {"cudaHostRegister": SUCCESS, "cudaHostUnregister": SUCCESS}
        self.pending_error = ""
        self.cuda = self
        self.accelerator = SimpleNamespace(synchronize=lambda device: self.note("wait", device))
        self.cudaError = SimpleNamespace(success=SUCCESS)

    def note(self, *call: Any) -> Any:
        self.calls.append(call)
        return call

    # --- torch ----------------------------------------------------------------------------

    def device(self, kind: str, index: int | None = None) -> Any:
        return SimpleNamespace(type=kind, index=index)

    def zeros(self, size: int, device: Any) -> None:
        error, self.pending_error = self.pending_error, ""
        if error:  # what torch finds after it has started a kernel
            raise RuntimeError(error)

    def empty(self, nbytes: int, **options: Any) -> Any:
        return self.note("empty", nbytes, options)

    # --- torch.cuda -----------------------------------------------------------------------

    def current_device(self) -> int:
        return 3

    def cudart(self) -> FakeTorch:
        return self

    def Stream(self, device: Any) -> Any:
        return SimpleNamespace(name="copies", synchronize=lambda: self.note("synchronize"))

    def current_stream(self, device: Any) -> Any:
        return SimpleNamespace(wait_event=lambda event: self.note("wait_event", event))

    def stream(self, stream: Any) -> Any:
        return _Current(self, stream.name)

    def Event(self, *device: Any, **options: Any) -> Any:
        return SimpleNamespace(
            record=lambda *stream: self.note("record", *(each.name for each in stream)), **options
        )

    # --- cudart ---------------------------------------------------------------------------

    def cudaHostRegister(self, address: int, nbytes: int, flags: int) -> int:
        self.note("register", address, nbytes, flags)
        return self._answer("cudaHostRegister")

    def cudaHostUnregister(self, address: int) -> int:
        self.note("unregister", address)
        return self._answer("cudaHostUnregister")

    def _answer(self, call: str) -> int:
        if self.answers[call] != SUCCESS:
            self.pending_error = call
        return self.answers[call]

    def cudaGetErrorString(self, status: int) -> str:
        return "out of memory"


class _Current:
    def __init__(self, torch: FakeTorch, name: str) -> None:
        self.torch, self.name = torch, name

    def __enter__(self) -> None:
        self.before, self.torch.current = self.torch.current, self.name

    def __exit__(self, *_: object) -> None:
        self.torch.current = self.before


class Tensor:
    layout = "strided"

    def __init__(self, torch: FakeTorch) -> None:
        self.torch = torch

    def to(self, device: Any, *, non_blocking: bool) -> Tensor:
        self.torch.note("to", device.type, device.index, non_blocking, self.torch.current)
        return self

    def record_stream(self, stream: Any) -> None:
        self.torch.note("record_stream")


@pytest.fixture
def torch() -> FakeTorch:
    return FakeTorch()


def test_cuda_copies_on_a_stream_of_its_own_and_the_loops_stream_waits_for_the_event(
    torch: FakeTorch,
) -> None:
    driver = driver_for(torch, torch.device("cuda"))
    arrays, event = driver.copy([Tensor(torch), Tensor(torch)])
    assert torch.calls == [("to", "cuda", 3, True, "copies")] * 2 + [("record", "copies")]
    assert torch.current == "the loop's stream"

    torch.calls.clear()
    driver.hand_over(arrays, event)
    assert torch.calls == [("wait_event", event), ("record_stream",), ("record_stream",)]

    torch.calls.clear()
    driver.wait_for_all()
    assert torch.calls == [("synchronize",)]


def test_memory_is_registered_for_all_devices_and_unregistered_by_its_address(
    torch: FakeTorch,
) -> None:
    memory = CudaDriver(torch, torch.device("cuda", 1)).memory
    assert memory is not None
    assert memory.register(4096, 8192) == ""
    memory.unregister(4096)

    assert torch.calls == [("register", 4096, 8192, 1), ("unregister", 4096)]


@pytest.mark.parametrize("call", ["cudaHostRegister", "cudaHostUnregister"])
def test_error_of_a_refused_call_is_not_left_for_the_users_next_kernel(
    torch: FakeTorch, call: str
) -> None:
    memory = CudaDriver(torch, torch.device("cuda")).memory
    assert memory is not None
    torch.answers[call] = OUT_OF_MEMORY
    if call == "cudaHostRegister":
        assert memory.register(4096, 8192) == "out of memory (cudaHostRegister: 2)"
    else:
        memory.unregister(4096)

    assert not torch.pending_error


def test_buffers_are_pinned_and_tensors_without_strides_are_left_to_torch(
    torch: FakeTorch,
) -> None:
    memory = CudaDriver(torch, torch.device("cuda")).memory
    assert memory is not None
    assert memory.buffer(100) == ("empty", 100, {"dtype": "uint8", "pin_memory": True})
    sparse = Tensor(torch)
    sparse.layout = "sparse"
    assert memory.span(sparse) == (0, 0)


@pytest.mark.parametrize("kind", ["mps", "xpu"])
def test_other_devices_get_plain_copies_and_lock_nothing(torch: FakeTorch, kind: str) -> None:
    driver = driver_for(torch, torch.device(kind))
    assert isinstance(driver, PlainDriver)
    assert driver.memory is None
    arrays, event = driver.copy([Tensor(torch)])
    driver.hand_over(arrays, event)
    driver.wait_for_all()

    assert torch.calls[:2] == [("to", kind, None, True, "the loop's stream"), ("record",)]
    assert [call[0] for call in torch.calls[2:]] == ["wait"]
