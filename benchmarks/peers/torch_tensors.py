"""Torch's `DataLoader` as it comes: arrays become tensors, and travel through shared memory.

Each tensor is moved to a new piece of shared memory in the worker, and its file descriptor is sent
(the default sharing strategy on Linux). The consumer gets numpy views of the tensors; no copy.
"""

from __future__ import annotations

from typing import Any

from peers.torch_dataloader import TorchLoader

__all__ = ["make_loader"]


def make_loader(
    sequence: Any,
    workers: int,
    queue: int,
    *,
    start_method: str = "fork",
    timeout_s: float | None = None,
) -> TorchLoader:
    """A DataLoader; as it does by itself, it starts its workers with the first epoch."""
    from torch.utils.data import DataLoader

    return TorchLoader(DataLoader, sequence, workers, queue, start_method, timeout_s)
