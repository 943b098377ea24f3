"""TorchLoader with a device: the loop gets what it gets on the CPU, and all else holds as well."""

from __future__ import annotations

import numpy as np
import pytest
from interpreter import printed_by
from pinned_pages import needs_pinned_pages
from sequences_for_adapters import Hooked, KillsItsWorkerOnce, Plain
from stand_in import StandIn

from seqloader import ArraySequence, OrderedEnqueuer, WorkerLostWarning
from seqloader.adapters.device import drivers

torch = pytest.importorskip("torch", reason="torch is not installed")

from seqloader.adapters.torch import TorchLoader  # noqa: E402
from seqloader.adapters.torch import device as torch_device  # noqa: E402

pytestmark = [pytest.mark.torch, needs_pinned_pages]


class TorchStandIn(StandIn):
    """Takes CPU tensors; what arrives are CPU tensors that are filled when the stream comes to it,
    or, at the latest, when the loop's stream is told to wait."""

    _torch = torch
    span = drivers.CudaMemory.span

    def fill(self, buffer, start, array):
        return drivers.CudaMemory.fill(self, torch.from_numpy(buffer), start, array)

    def arriving(self, array):
        return torch.empty_like(array)

    def arrive(self, arriving, seen):
        if seen:
            flat = torch.frombuffer(bytearray(seen), dtype=arriving.dtype)
            arriving.copy_(flat.view(arriving.shape))

    def hand_over(self, arrays, event):
        super().hand_over(arrays, event)
        self.run_until(event.number)


@pytest.fixture
def stand_in(monkeypatch):
    device = TorchStandIn()
    monkeypatch.setattr(torch_device, "driver_for", lambda torch, of: device)
    yield device
    assert not device.registered


def numbers(loader):
    return [int(batch) for batch in loader]


@pytest.mark.parametrize("prefetch", [0, 2, 7])
def test_batches_of_worker_processes_arrive_in_order_from_their_blocks(stand_in, prefetch):
    with TorchLoader(Hooked(20), workers=2, device="meta", prefetch=prefetch) as loader:
        assert loader.feed is None
        assert [numbers(loader), numbers(loader)] == [[*range(20)]] * 2
        assert loader.enqueuer.sequence.hooks == ["begin", "end"] * 2
        assert stand_in.begun == 40
        assert loader.feed.buffered_bytes == 0
        assert loader.feed.registrations.made == len(stand_in.registered) > 0


def test_structures_masks_and_padding_arrive_as_on_the_cpu(stand_in):
    sequence = ArraySequence({"x": np.arange(14.0).reshape(7, 2), "y": np.arange(7)}, 2)
    options = {"workers": 1, "mask_rows": 2, "shard": (1, 3), "remainder": "pad"}
    with TorchLoader(sequence, **options) as on_cpu:
        expected = [*on_cpu]
    with TorchLoader(sequence, **options, device="meta") as loader:
        arrived = [*loader]

    assert len(arrived) == len(expected) == 2
    assert not expected[-1][1].any(), "padding"
    for (batch, mask), (wanted, wanted_mask) in zip(arrived, expected, strict=True):
        assert [*batch] == [*wanted]
        assert all(torch.equal(batch[name], wanted[name]) for name in wanted)
        assert torch.equal(mask, wanted_mask)


def test_tensors_of_the_sequence_itself_lie_in_blocks_as_well(stand_in):
    class Tensors(Plain):
        def __getitem__(self, index):
            return torch.full((1000,), index, dtype=torch.bfloat16), "text"

    with TorchLoader(Tensors(), workers=1, device="meta") as loader:
        for index, (tensor, text) in enumerate(loader):
            assert (tensor == index).all()
            assert text == "text"
        assert loader.feed.buffered_bytes == 0


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": 1, "copy": True}])
def test_batches_that_lie_in_no_block_arrive_through_the_ring(stand_in, options):
    with TorchLoader(Plain(), device="meta", **options) as loader:
        assert numbers(loader) == [0, 1, 2, 3, 4]
        assert loader.feed.buffered_bytes == 5 * 8


def test_state_is_that_of_the_batch_the_loop_has_and_not_of_those_sent_before(stand_in):
    with TorchLoader(Plain(10), workers=2, device="meta", prefetch=3) as loader:
        batches = iter(loader)
        assert [int(next(batches)) for _ in range(4)] == [0, 1, 2, 3]
        state = loader.state_dict()
    with TorchLoader(Plain(10), workers=2, device="meta") as other:
        other.load_state_dict(state)
        assert numbers(other) == [4, 5, 6, 7, 8, 9]
        assert numbers(other) == [*range(10)]


def test_killed_worker_costs_no_batch_and_its_blocks_are_unlocked(stand_in, tmp_path):
    sequence = KillsItsWorkerOnce(tmp_path / "killed")
    with TorchLoader(sequence, workers=1, device="meta") as loader:
        with pytest.warns(WorkerLostWarning):
            assert numbers(loader) == [*range(8)]
        assert loader.enqueuer.stats().respawns == 1


def test_interrupt_while_a_batch_is_handed_over_loses_none(stand_in):
    with TorchLoader(Plain(), workers=1, device="meta") as loader:
        batches = iter(loader)
        arrived = [int(next(batches))]
        stand_in.fails_at = "hand_over"
        with pytest.raises(KeyboardInterrupt):
            next(batches)
        stand_in.fails_at = "copy"
        with pytest.raises(KeyboardInterrupt):
            for batch in batches:
                arrived.append(int(batch))
        arrived += [int(batch) for batch in batches]

    assert arrived == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("how", ["close", "with"])
def test_device_that_fails_does_not_keep_the_workers(stand_in, monkeypatch, how):
    def fail(self, number):
        raise RuntimeError("device-side assert")

    loader = TorchLoader(Plain(), workers=1, device="meta")
    next(iter(loader))
    loader.feed.send(np.arange(3))
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="device-side"):
        patch.setattr(TorchStandIn, "run_until", fail)
        if how == "close":
            loader.close()
        else:
            with loader:
                pass
    assert not loader.enqueuer.is_running()
    loader.feed.close()


def test_enqueuer_that_goes_on_without_the_loader_keeps_its_blocks_locked(stand_in):
    with OrderedEnqueuer(Plain(), workers=1) as enqueuer:
        with TorchLoader(enqueuer, device="meta") as loader:
            assert numbers(loader) == [0, 1, 2, 3, 4]
        assert stand_in.registered
        assert [int(batch[0]) for batch in enqueuer] == [0, 1, 2, 3, 4]


def test_nothing_of_it_is_imported_on_the_cpu():
    code = (
        "import sys; from seqloader.adapters.torch import TorchLoader; loader ="
        "TorchLoader(range(2), workers=0, device='cpu'); [*loader];"
        "print([name for name in sys.modules if 'adapters' in name and 'device' in name])"
    )
    assert printed_by(code).strip() == "[]"


def test_what_torch_was_built_without_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    with pytest.raises(
        RuntimeError, match=r"device='cuda:1': this torch .* was built without CUDA"
    ):
        TorchLoader(Plain(), device="cuda:1")
    with pytest.raises(RuntimeError, match="nonsense"):
        TorchLoader(Plain(), device="nonsense")
    with pytest.raises(ValueError, match="prefetch must be at least 0"):
        TorchLoader(Plain(), prefetch=-1)


def test_device_is_not_asked_for_before_the_first_batch(monkeypatch):
    def ask(torch, device):
        raise RuntimeError(f"no {device} here")

    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch_device, "driver_for", ask)
    loader = TorchLoader(Hooked(), workers=0, device="cuda")
    batches = iter(loader)
    with pytest.raises(RuntimeError, match="no cuda here"):
        next(batches)
    assert loader.enqueuer.sequence.hooks == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_delivers_what_the_cpu_delivers_and_copies_nothing_itself():
    sequence = ArraySequence({"x": np.arange(4_000_000.0).reshape(400, -1), "y": np.arange(400)}, 8)
    with (
        TorchLoader(sequence, workers=2) as on_cpu,
        TorchLoader(sequence, workers=2, device="cuda") as loader,
    ):
        for _ in range(3):
            for wanted, batch in zip(on_cpu, loader, strict=True):
                assert all(batch[name].is_cuda for name in batch)
                assert all(torch.equal(batch[name].cpu(), wanted[name]) for name in wanted)
        assert loader.feed.buffered_bytes == 0
        assert loader.feed.registrations.made <= 20
        assert isinstance(drivers.driver_for(torch, torch.device("cuda")), drivers.CudaDriver)
