"""Which of the batches that Keras asks for are trained on, and when a new epoch begins.

Pure: it is told what Keras calls, and says what to do. It knows no Keras, enqueuer or thread.

What Keras does with a dataset (recorded for each backend in tests/adapters/keras_calls)

    makes an adapter   reads `workers` and `use_multiprocessing`: at every fit, evaluate, predict,
                       and at the first validation of a fit
    probes             TensorFlow asks for the first two batches, by plain calls, for their shapes
    walks              on_epoch_begin, one batch after another, on_epoch_end. A generator of its own
                       walks over the steps, and both hooks are called from it
    asks               from another generator, of one pass over the data. TensorFlow runs it in a
                       thread of its own, ahead of the walk and for some time after it; jax looks
                       one batch ahead off the CPU; with `steps_per_epoch` several walks share it
    builds             where a model is not built: begins a walk, takes the first batches, and drops
                       the walk
    resets             calls on_epoch_end from elsewhere: after the build, before the first real
                       walk of an adapter, and before each validation

Rules
    R1  From an adapter's making to the first on_epoch_end, batches are only looked at (LOOKING).
        They are kept. If that on_epoch_end comes from the walk itself, the walk was real
        (`predict` resets nothing); if not, what was kept is shown again to the next walk.
    R2  After that (TRAINING) a walk goes on where the last one ended: with `steps_per_epoch` one
        epoch reaches over several.
    R3  A new adapter or a reset ends the pass before it: where its epoch is not over, that is cut,
        and the next walk begins another. Its generator is abandoned, and refused if it asks again.
        An epoch in the middle of which the enqueuer was brought, and of which nothing was asked
        for, is not cut: no pass was before.
    R4  A plain call outside of a probe is somebody's `dataset[3]`: random access, no delivery.
    R5  At most `KEPT` batches are kept. A build that takes more (some backends take as many as
        `steps_per_execution`) is undone by going back to where the epoch was begun.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Any

__all__ = ["KEPT", "Answer", "Ending", "Passes"]

KEPT = 8
"""Batches: a probe takes 2, a build 1 or 2."""

ABANDONED = 8
"""Generators known as abandoned: one for each pass that was cut, of which the latest count."""


class _Phase(enum.Enum):
    LOOKING = "an adapter was made, and has neither reset nor ended a walk"
    TRAINING = "walks are real"


class Answer(enum.Enum):
    """What to do for one `__getitem__`."""

    AGAIN = "show the next of the batches that were kept"
    NEXT = "deliver the next batch"
    KEEP = "deliver the next batch, and keep it"
    COMPUTE = "plain random access"
    REFUSE = "the pass that asks was ended"


class Ending(enum.Enum):
    """What to do for one `on_epoch_end`."""

    JOIN = "if the epoch is over, run its hook now"
    GO_BACK = "go back to where the epoch was begun"


class Passes:
    """What Keras has done with one dataset, and what follows from it."""

    def __init__(self) -> None:
        self._phase = _Phase.TRAINING
        self._kept: deque[Any] = deque()
        self._shown = 0
        """How many of those kept were shown again to this walk, while looking."""
        self._kept_all = True
        self._walk: object = None
        self._generator: object = None
        self.abandoned: deque[object] = deque(maxlen=ABANDONED)
        """Generators of passes that were ended, and which may ask again."""
        self._arrived = False
        """Whether the enqueuer was brought where it is, and nothing was asked for since."""
        self.cut = False
        """Whether the epoch under way is not gone on with."""

    @property
    def is_untrained(self) -> bool:
        """Whether what was delivered of the epoch under way, if anything, is shown again. Before
        the first walk of an adapter; False may also mean that nobody knows."""
        return self._arrived or self.is_pending

    @property
    def is_pending(self) -> bool:
        """Whether batches that were kept are to be shown before others are asked for."""
        return self._shown < len(self._kept)

    @property
    def is_training(self) -> bool:
        """Whether what is shown now is real, and not only looked at."""
        return self._phase is _Phase.TRAINING

    def check(self) -> None:
        """Assert what holds between any two calls."""
        assert 0 <= self._shown <= len(self._kept) <= KEPT
        assert self._kept_all or not self._kept
        assert self._phase is _Phase.LOOKING or self._shown == 0
        assert not any(self._generator is abandoned for abandoned in self.abandoned)

    # --- what Keras does ------------------------------------------------------------------

    def made(self) -> None:
        """An adapter was made: whatever was under way is over."""
        self._abandon()
        self._walk = None
        if self._arrived or (self._phase is _Phase.LOOKING and self._kept_all):
            self._shown = 0  # nobody has trained on them
        else:
            self._cut()
        self._phase = _Phase.LOOKING

    def begin(self, walk: object) -> bool:
        """A walk begins; whether the epoch under way, if any, is to be left for another."""
        self._walk = walk
        if self._phase is _Phase.LOOKING:
            self._shown = 0
        return self._take_cut()

    def ask(self, generator: object) -> tuple[Answer, bool]:
        """A batch is asked for; what to do, and whether to begin another epoch before.

        Args:
            generator: Of the pass that asks; None: a plain call.
        """
        if generator is None:
            if self._phase is not _Phase.LOOKING or self._walk is not None:
                return Answer.COMPUTE, False
        elif generator is not self._generator:
            if any(generator is abandoned for abandoned in self.abandoned):
                return Answer.REFUSE, False
            self._abandon()
            self._generator = generator
            if self._phase is _Phase.LOOKING:
                self._shown = 0
        self._arrived = False
        begins = self._take_cut()
        if self.is_pending:
            return Answer.AGAIN, begins
        if self._phase is _Phase.LOOKING and self._kept_all:
            if len(self._kept) < KEPT:
                return Answer.KEEP, begins
            self._forget()
            self._kept_all = False
        return Answer.NEXT, begins

    def end(self, walk: object) -> Ending:
        """A walk ended itself, or something else has called the hook.

        Args:
            walk: Which generator it was called from; None: from none.
        """
        own = walk is not None and walk == self._walk
        looking = self._phase is _Phase.LOOKING
        self._phase = _Phase.TRAINING
        if own:
            for _ in range(self._shown):
                self._kept.popleft()
            self._shown = 0
            self._kept_all = True
            self._walk = None
            return Ending.JOIN
        self._walk = None
        self._abandon()
        self._shown = 0
        if not looking:
            self._cut()
            return Ending.JOIN
        if self._kept_all:
            return Ending.JOIN
        self._kept_all = True
        return Ending.GO_BACK

    # --- what becomes of batches ----------------------------------------------------------

    def keep(self, batch: Any) -> None:
        """The batch that was delivered for `KEEP`."""
        self._kept.append(batch)
        self._shown = len(self._kept)

    def again(self) -> Any:
        """The batch for `AGAIN`."""
        if self._phase is _Phase.TRAINING:
            return self._kept.popleft()
        batch = self._kept[self._shown]
        self._shown += 1
        return batch

    def last_kept(self) -> Any:
        """The batch that was kept last; None: there is none."""
        return self._kept[-1] if self._kept else None

    def fail(self) -> None:
        """A batch was asked for, and what became of it is not known. The generator has ended."""
        self._generator = None
        self._cut()

    def joined(self) -> None:
        """The epoch is over: nobody asks for more of it. (Frames are not held for longer.)"""
        self._generator = None

    def moved(self) -> None:
        """The enqueuer was brought elsewhere, and goes on there."""
        self._abandon()
        self._forget()
        self._kept_all = True
        self._arrived, self.cut = True, False

    def _cut(self) -> None:
        self._forget()
        self._kept_all = True
        self.cut = True

    def _take_cut(self) -> bool:
        cut, self.cut = self.cut, False
        return cut

    def _forget(self) -> None:
        self._kept.clear()
        self._shown = 0

    def _abandon(self) -> None:
        if self._generator is not None:
            self.abandoned.append(self._generator)
            self._generator = None
