"""Torch's `DataLoader`, with tensors and with numpy batches, and torchdata's.

With tensors, as it comes: arrays become tensors, each of which is moved to a new piece of shared
memory in the worker, and its file descriptor is sent (the default sharing strategy on Linux). The
consumer gets numpy views of the tensors; no copy. With numpy, batches are pickled, and sent through
a pipe: `collate_fn` must be given, since by default even `batch_size=None` turns arrays into
tensors. torchdata's `StatefulDataLoader` has tensors, and a state that can be saved: its workers
send theirs along with every batch (`snapshot_every_n_steps=1`, the default).

The Sequence is a map-style dataset whose items are batches already, so `batch_size=None`.
`persistent_workers` keeps the processes from one epoch to the next, as the documentation advises;
they then keep the Sequence they got at their start. `prefetch_factor` is counted per worker.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator
from typing import Any

from peers.peer import end_epoch


class TorchLoader:
    """Delivers the epochs of a DataLoader or of one of its subclasses; `make` names its class."""

    def __init__(
        self,
        sequence: Any,
        workers: int,
        queue: int,
        *,
        make: str = "torch.utils.data:DataLoader",
        as_numpy: bool = False,
        batch_size: int | None = None,
        shuffle: bool = False,
        start_method: str = "fork",
        timeout_s: float | None = None,
        state: Any = None,
    ) -> None:
        module, _, name = make.partition(":")
        self._sequence = sequence
        self._as_numpy = as_numpy
        self.loader: Any = getattr(importlib.import_module(module), name)(
            sequence,
            batch_size=batch_size,
            shuffle=shuffle,
            num_workers=workers,
            prefetch_factor=max(1, queue // workers),
            persistent_workers=True,
            multiprocessing_context=start_method,
            timeout=timeout_s or 0,  # 0: none
            **({"collate_fn": _identity} if as_numpy else {}),
        )
        if state is not None:
            self.loader.load_state_dict(state)
        self._batches: Any = None

    def epoch(self) -> Iterator[Any]:
        self._batches = iter(self.loader)
        while True:
            # Not a for loop: that would keep a reference to the iterator while the consumer has
            # the batch, and only the last reference ends the workers.
            try:
                batch = next(self._batches)
            except StopIteration:
                break
            yield batch if self._as_numpy else tuple(tensor.numpy() for tensor in batch)
        end_epoch(self._sequence)

    def close(self) -> None:
        # An exception that came out of the iterator may refer to it, in a cycle. An iterator that
        # is collected together with that cycle waits in vain for its workers to leave.
        gc.collect()
        # Torch has no method for it. To drop the loader and its iterator is the documented way.
        self._batches = self.loader = None


def _identity(batch: Any) -> Any:
    return batch
