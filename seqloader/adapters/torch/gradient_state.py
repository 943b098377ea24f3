"""What Accelerate is told of a pass, as its own loaders tell it.

`accelerator.prepare(loader)` passes on what is no DataLoader, and then knows nothing of its end:
the last, short accumulation would never be stepped, and `gather_for_metrics` would not leave out
padding. Accelerate asks the loader that its `GradientState` names last.

Rules
    R1  Accelerate is never imported for it; it is told where an Accelerator was made.
    R2  Whether a batch is the last one is found out when Accelerate asks, inside the user's step.
        Nothing is taken ahead for it, so that an interrupt meanwhile loses nothing.
    R3  An error that is met then belongs to the batch after: it is raised by the next `next()`.
    R4  A pass that was left early is taken off the list when it is garbage. Else a validation that
        was left would hide the end of the training around it.
    R5  Where a loader of Accelerate reads this one, it tells of itself. It is a batch ahead of the
        user, so that the end would come too early from here.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any

from seqloader.adapters.masked import rows_of

if TYPE_CHECKING:
    from seqloader.adapters.prefetch import Entry, Prefetched

__all__ = ["ToldPass", "is_accelerated"]

log = logging.getLogger("seqloader")

UNKNOWN = -1
"""Accelerate's word for a remainder that is not known: it then leaves nothing out."""


def is_accelerated() -> bool:
    """Whether there is an Accelerator to be told of a pass that begins here."""
    state: Any = sys.modules.get("accelerate.state")
    if state is None or not state.is_initialized():
        return False
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_globals.get("__name__") == "accelerate.data_loader":  # R5
            return False
    return True


class ToldPass:
    """The batches of a pass of which Accelerate's `GradientState` is told.

    Args:
        batches: Of the pass.
        whole_rows: Of a batch that is not the last, where that is known; else 0.
    """

    def __init__(self, batches: Prefetched[Any, Any], whole_rows: int = 0) -> None:
        self._batches = batches
        self._whole_rows = whole_rows
        self._rows = UNKNOWN
        """Of the batch handed out last, where some shard pads."""
        self._error: Exception | None = None
        _put(self, listed=True)

    # --- what Accelerate asks -------------------------------------------------------------

    @property
    def end_of_dataloader(self) -> bool:
        """Whether the batch handed out last is the last one. Waits for the next."""
        try:
            return self._error is None and not self._batches.has_next()
        except Exception as error:
            self._error = error
            return False

    @property
    def remainder(self) -> int:
        """Of the rows that all processes have at the last step, one process after the other, how
        many come before the padding; 0: there is none; -1: unknown."""
        plan = self._batches.plan
        real = plan.real_at_the_end
        if plan.remainder != "pad" or real is None or real == plan.shard.count:
            return 0
        return UNKNOWN if self._rows == UNKNOWN else real * self._rows

    # --- batches --------------------------------------------------------------------------

    def find(self) -> Entry[Any, Any]:
        """The entry of the next batch; StopIteration: there is none."""
        try:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            entry = self._batches.find()
        except Exception:
            _put(self, listed=False)
            raise
        plan = self._batches.plan
        if plan.remainder == "pad" and plan.shard.count > 1:
            self._note_rows(entry.ready)
        return entry

    def _note_rows(self, batch: Any) -> None:
        try:
            self._rows = rows_of(batch)
        except ValueError:
            self._rows = UNKNOWN
            return
        if self._rows < self._whole_rows:
            # Not by a Python warning, which may be an error: the batch would be lost.
            log.warning(
                "a batch of this process has %d rows, and others have %d. If they are gathered, "
                "gather_for_metrics needs as many on every process: else some backends end the "
                "process. TorchLoader(..., mask_rows=%d) fills it up, and says which rows count",
                *(self._rows, self._whole_rows, self._whole_rows),
            )
        self._whole_rows = max(self._whole_rows, self._rows)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            _put(self, listed=False)


def _put(told: ToldPass, *, listed: bool) -> None:
    """As the last of those that Accelerate knows, or as none of them.

    It refers to them weakly, and shows those that are gone as None. The first is always None.
    """
    state: Any = sys.modules["accelerate.state"].GradientState()
    known = [each for each in state.dataloader_references if each not in (None, told)]
    state.dataloader_references = [None, *known, *([told] if listed else [])]
