"""torchdata's `StatefulDataLoader`: torch's with tensors, and a state that can be saved.

Configured like `torch_tensors`. Its workers send their state along with every batch
(`snapshot_every_n_steps=1`, the default).
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
    """A StatefulDataLoader; as it does by itself, it starts its workers with the first epoch."""
    from torchdata.stateful_dataloader import StatefulDataLoader

    return TorchLoader(StatefulDataLoader, sequence, workers, queue, start_method, timeout_s)
