"""PyTorch: an enqueuer in a DataLoader's place.

    loader.py           TorchLoader, and one pass over it
    tensors.py          a nest of arrays as a nest of tensors
    gradient_state.py   what Accelerate is told of a pass

It needs torch, and nothing else.
"""

from __future__ import annotations

from seqloader.adapters.torch.loader import TorchLoader

__all__ = ["TorchLoader"]
