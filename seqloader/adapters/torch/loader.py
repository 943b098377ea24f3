"""TorchLoader: an enqueuer in a DataLoader's place.

It is no subclass of DataLoader: Lightning and Accelerate make DataLoaders anew from their
attributes, and would leave out how this one iterates.

What a pass is made of, from the inside out

    Pass          arrays, from the enqueuer; begins an epoch when its first batch is asked for
    MaskedPass    with `mask_rows`: the same, as (batch, mask)
    ToldPass      where an Accelerator is: tells it which batch is the last
    LoaderPass    what `iter(loader)` returns: the same batches as tensors
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from seqloader.adapters.masked import MaskedPass, checked_rows
from seqloader.adapters.owner import EnqueuerOwner
from seqloader.adapters.passes import Pass
from seqloader.adapters.torch.gradient_state import ToldPass, is_accelerated
from seqloader.adapters.torch.tensors import as_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from seqloader.adapters.passes import Batches
    from seqloader.run.iterators import EpochIterator

__all__ = ["LoaderPass", "TorchLoader"]

Batch = TypeVar("Batch")


class TorchLoader(EnqueuerOwner[Batch]):
    """The batches of an enqueuer as tensors: an iterable in a `DataLoader`'s place.

        loader = TorchLoader(train, workers=4, seed=0)
        for images, labels in loader: ...

    Each `for` is an epoch, as with the enqueuer itself. `iter()` does nothing until the first batch
    is asked for. A pass that is left early ends when the next one begins: then `on_epoch_end` runs.

    Args:
        source: A Sequence, or whatever else an `OrderedEnqueuer` takes; or an enqueuer.
        mask_rows: Deliver (batch, mask) instead of the batch, for an evaluation on several
            processes: every array is filled up to this many rows, with copies of its last one, and
            the mask, a (mask_rows,) bool tensor, is True for rows that count. None of it is where
            the batch only fills up this shard (`remainder="pad"`).
        options: The arguments of `OrderedEnqueuer`, where one is to be made.

    Yields:
        Batches of the structure that the Sequence gave them (tuples, dicts, named tuples,
        dataclasses), with a CPU tensor of the same shape and dtype in place of each array. It views
        the memory that the worker wrote, which is used again when the last tensor over it is gone.
        Arrays that torch cannot view are copied; what torch has no type for stays as it is.

    Raises:
        ImportError: torch is not installed.
        TypeError, ValueError: As `OrderedEnqueuer`; or it was given arguments beside an enqueuer.
            In a loop with `mask_rows`: the arrays of a batch differ in rows, or have more.
    """

    def __init__(self, source: Any, *, mask_rows: int | None = None, **options: Any) -> None:
        self._mask_rows = checked_rows(mask_rows)
        super().__init__(source, **options)
        self._batches: Batches | None = None
        """Of the pass that began last."""
        self._wanted_epoch = 0

    def __len__(self) -> int:
        """Number of batches in a whole epoch on this shard. TypeError where it is endless."""
        return len(self.enqueuer)

    def __iter__(self) -> LoaderPass[Batch]:
        """A pass over the epoch that is due. It begins when its first batch is asked for."""
        return LoaderPass(self)

    @property
    def sampler(self) -> Self:
        """This loader. Trainers tell `loader.sampler.set_epoch` of each epoch."""
        return self

    batch_sampler = None
    """Lightning asks for it where there is a `sampler`."""

    # --- where it stands ------------------------------------------------------------------

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch is due, as trainers do before each.

        At the beginning of an epoch it goes on to that one; epochs that are over do not come again,
        and one that is under way goes on. A state that was saved after the last batch of an epoch
        stands at the end of it: then that epoch ends first, with its hook.
        """
        enqueuer = self.enqueuer
        if epoch <= enqueuer.epoch:
            return
        state = self.state_dict()
        if state["position"] == 0 and state["first"] == 0:
            enqueuer.seek(epoch)
            self._batches = None
        else:
            self._wanted_epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands: after the last batch handed out. See `OrderedEnqueuer`."""
        return (self._batches or self.enqueuer).state_dict()

    def load_state_dict(self, state: Mapping[str, Any], **how: Any) -> None:
        """Go on where `state` was saved; `how` as in `OrderedEnqueuer.load_state_dict`."""
        self.enqueuer.load_state_dict(state, **how)
        self._batches = None
        self._wanted_epoch = 0

    def seek(self, epoch: int, position: int = 0) -> None:
        """Go on at any place, as `OrderedEnqueuer.seek`."""
        self.enqueuer.seek(epoch, position)
        self._batches = None
        self._wanted_epoch = 0

    def end_epoch(self) -> None:
        """End the epoch under way now, as `OrderedEnqueuer.end_epoch`."""
        self.enqueuer.end_epoch()
        self._batches = None

    # --- what a pass asks -----------------------------------------------------------------

    def begin_pass(self) -> Batches:
        """The batches of a pass that begins."""
        source: Pass[Batch] = Pass(self.enqueuer, self._begin_epoch)
        batches: Batches = source
        if self._mask_rows is not None:
            batches = MaskedPass(source, self._mask_rows)
        self._batches = batches
        if is_accelerated():
            # Not kept: it ends when the user's pass is garbage.
            batches = ToldPass(batches, source, self._whole_rows())
        return batches

    def _whole_rows(self) -> int:
        """Of a batch that is not the last, where that is known; else 0."""
        if self._mask_rows is not None:
            return self._mask_rows
        rows = getattr(self.enqueuer.sequence, "batch_size", None)
        return rows if isinstance(rows, int) else 0

    def _begin_epoch(self) -> EpochIterator[Batch]:
        enqueuer, wanted = self.enqueuer, self._wanted_epoch
        self._wanted_epoch = 0
        epoch = iter(enqueuer)
        if enqueuer.epoch < wanted and not epoch.has_next():
            for _ in epoch:  # it has no batch, and its hook is still to run
                pass
            if enqueuer.epoch < wanted:
                enqueuer.seek(wanted)
            epoch = iter(enqueuer)
        return epoch


class LoaderPass(Generic[Batch]):
    """One pass over a loader."""

    __slots__ = ("_batches", "_loader")

    def __init__(self, loader: TorchLoader[Batch]) -> None:
        self._loader = loader
        self._batches: Batches | None = None

    def __iter__(self) -> LoaderPass[Batch]:
        return self

    def __next__(self) -> Batch:
        batches = self._batches
        if batches is None:
            batches = self._batches = self._loader.begin_pass()
        batch: Batch = as_tensors(next(batches))
        return batch
