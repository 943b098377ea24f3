"""TorchLoader: an enqueuer in a DataLoader's place.

It is no subclass of DataLoader: Lightning and Accelerate make DataLoaders anew from their
attributes, and would leave out how this one iterates.

What a pass is made of, from the inside out

    Prefetched    tensors, with `mask_rows` and a mask; with `device` there, some sent ahead
    ToldPass      where an Accelerator is: tells it which batch is the last
    LoaderPass    what `iter(loader)` returns: begins all that when its first batch is asked for
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from seqloader.adapters.frameworks import framework
from seqloader.adapters.masked import checked_rows, masked
from seqloader.adapters.owner import EnqueuerOwner
from seqloader.adapters.prefetch import Prefetched
from seqloader.adapters.torch.gradient_state import ToldPass, is_accelerated
from seqloader.adapters.torch.tensors import as_tensors
from seqloader.errors.integers import checked_integer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from seqloader.adapters.device.feed import DeviceFeed
    from seqloader.adapters.prefetch import Batches
    from seqloader.run.iterators import EpochIterator

__all__ = ["LoaderPass", "TorchLoader"]

torch = framework("torch", extra="torch")

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
        device: Where the loop gets its batches: "cuda", "cuda:1", "mps", a `torch.device`, ...;
            None or "cpu": where the worker wrote them.
        prefetch: With a device, how many batches are sent to it before the loop asks for them.
        options: The arguments of `OrderedEnqueuer`, where one is to be made.

    Yields:
        Batches of the structure that the Sequence gave them (tuples, dicts, named tuples,
        dataclasses), with a CPU tensor of the same shape and dtype in place of each array. It views
        the memory that the worker wrote, which is used again when the last tensor over it is gone.
        With `device`, the tensors lie there, and whatever the current stream does with them comes
        after their copies; nothing else is to be waited for.
        Arrays that torch cannot view are copied; what torch has no type for stays as it is.

    Raises:
        ImportError: torch is not installed.
        RuntimeError: torch knows no such device, or has none here.
        TypeError, ValueError: As `OrderedEnqueuer`; or it was given arguments beside an enqueuer.
            In a loop with `mask_rows`: the arrays of a batch differ in rows, or have more.
    """

    def __init__(
        self,
        source: Any,
        *,
        mask_rows: int | None = None,
        device: Any = None,
        prefetch: int = 2,
        **options: Any,
    ) -> None:
        self._mask_rows = checked_rows(mask_rows)
        self._device = checked_device(device)
        self._prefetch = checked_integer("prefetch", prefetch, 0)
        self._feed: DeviceFeed | None = None
        if options.get("executor") == "ray":
            # torch has no read-only tensors; copies in memory that is used again cost the least.
            options.setdefault("copy", True)
        super().__init__(source, **options)
        self._wanted_epoch = 0
        self._has_begun = False
        """Whether a pass began since a place was loaded or sought."""

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

    @property
    def feed(self) -> DeviceFeed | None:
        """What sends batches to the device, from the first batch on; it counts what it does."""
        return self._feed

    def close(self, timeout: float | None = None) -> None:
        """Wait for the copies that are under way, then as every adapter."""
        try:
            self._close_feed()
        finally:  # a device that fails does not keep the workers
            super().close(timeout)

    def __exit__(self, *raised: Any) -> None:
        try:
            self._close_feed()
        finally:
            super().__exit__(*raised)

    def _close_feed(self) -> None:
        if self._feed is not None:
            self._feed.close()

    # --- where it stands ------------------------------------------------------------------

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch is due, as trainers do before each.

        At the beginning of an epoch it goes on to that one; epochs that are over do not come again.
        An iterator that has begun goes on. So does a place inside of an epoch that was loaded or
        sought; at the end of one, that epoch ends first, with its hook. A pass after one that was
        left early is of the epoch that was set.
        """
        enqueuer = self.enqueuer
        if epoch <= enqueuer.epoch:
            return
        state = self.state_dict()
        if state["position"] == 0 and state["first"] == 0:
            enqueuer.seek(epoch)
        else:
            self._wanted_epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands: after the last batch handed out. See `OrderedEnqueuer`."""
        return self.enqueuer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any], **how: Any) -> None:
        """Go on where `state` was saved; `how` as in `OrderedEnqueuer.load_state_dict`."""
        self.enqueuer.load_state_dict(state, **how)
        self._wanted_epoch, self._has_begun = 0, False

    def seek(self, epoch: int, position: int = 0) -> None:
        """Go on at any place, as `OrderedEnqueuer.seek`."""
        self.enqueuer.seek(epoch, position)
        self._wanted_epoch, self._has_begun = 0, False

    def end_epoch(self) -> None:
        """End the epoch under way now, as `OrderedEnqueuer.end_epoch`."""
        self.enqueuer.end_epoch()

    # --- what a pass asks -----------------------------------------------------------------

    def begin_pass(self) -> Batches:
        """The batches of a pass that begins."""
        feed, rows = self._device_feed(), self._mask_rows
        send: Callable[[Any], Any] = as_tensors if feed is None else feed.send

        def prepare(batch: Any, padding: bool) -> Any:
            return send(batch if rows is None else masked(batch, rows, padding=padding))

        batches: Prefetched[Batch, Any] = Prefetched(
            self.enqueuer,
            0 if feed is None else self._prefetch,
            prepare,
            None if feed is None else feed.receive,
            self._begin_epoch,
        )
        # What tells Accelerate ends when the user's pass is garbage: it is not kept here.
        return ToldPass(batches, self._whole_rows()) if is_accelerated() else batches

    def _whole_rows(self) -> int:
        """Of a batch that is not the last, where that is known; else 0."""
        if self._mask_rows is not None:
            return self._mask_rows
        rows = getattr(self.enqueuer.sequence, "batch_size", None)
        return rows if isinstance(rows, int) else 0

    def _device_feed(self) -> DeviceFeed | None:
        if self._device is not None and self._feed is None:
            # Not before: it would begin to use the device.
            from seqloader.adapters.torch.device import device_feed

            self._feed = device_feed(self._device, self._prefetch)
        return self._feed

    def _begin_epoch(self) -> EpochIterator[Batch]:
        enqueuer, wanted = self.enqueuer, self._wanted_epoch
        self._wanted_epoch = 0
        if self._has_begun and enqueuer.epoch < wanted:
            enqueuer.end_epoch()  # of a pass that was left
            if enqueuer.epoch < wanted:
                enqueuer.seek(wanted)
        self._has_begun = True
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
        entry = batches.find()
        batch: Batch = entry.ready
        # fmt: off
        entry.ready = entry.item = None; return batch  # noqa: E702  (R3 of prefetch.py)
        # fmt: on


def checked_device(device: Any) -> Any:
    """The argument `device` as a `torch.device`; None for the CPU."""
    if device is None:
        return None
    checked = torch.device(device)
    # Whether there is such a device is not asked: it would begin to use CUDA, in a process that may
    # be about to fork. torch says so with the first batch.
    if checked.type == "cuda" and not torch.backends.cuda.is_built():
        raise RuntimeError(
            f"device={str(checked)!r}: this torch ({torch.__version__}) was built without CUDA. "
            "Install one that was built with it (https://pytorch.org), or leave device= out"
        )
    return None if checked.type == "cpu" else checked
