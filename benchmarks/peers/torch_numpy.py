"""Torch's `DataLoader` with numpy batches: pickled, and sent through a pipe.

`collate_fn` must be given: by default even `batch_size=None` turns arrays into tensors.
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

    return TorchLoader(
        DataLoader, sequence, workers, queue, start_method, timeout_s, collate_fn=_identity
    )


def _identity(batch: Any) -> Any:
    return batch
