"""PyTorch: an enqueuer in a DataLoader's place.

loader.py     TorchLoader, and one pass over it
tensors.py    a nest of arrays as a nest of tensors
"""

from __future__ import annotations

from seqloader.adapters.torch.loader import TorchLoader
from seqloader.adapters.torch.tensors import as_tensors

__all__ = ["TorchLoader", "as_tensors"]
