"""Do the hooks behave?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from seqloader.command import words
from seqloader.command.check.finding import Finding, Question, note, ok, problem
from seqloader.command.check.options import Settings
from seqloader.command.check.sent import PICKLE_ADVICE, unpicklable
from seqloader.command.faults import fault_text
from seqloader.randomness.seeding import Seeding
from seqloader.sequence.interface import count_batches, overrides_hook, run_hook

__all__ = ["EpochHooks", "Hooks", "epochs_of"]

SLOW_HOOK_S = 1.0


@dataclass(frozen=True)
class EpochHooks:
    """The hooks around one epoch, as they ran."""

    epoch: int
    begin_s: float
    end_s: float
    length: int | None


@dataclass(frozen=True)
class Hooks:
    """`on_epoch_begin`, `__len__` and `on_epoch_end`, epoch after epoch."""

    begins: bool  # whether the Sequence has an `on_epoch_begin` of its own
    ends: bool
    turns: tuple[EpochHooks, ...] = ()
    early_length: str = ""  # what `len()` raised before any hook ran
    raised: str = ""  # what is wrong with a hook or the length, and in which epoch
    traceback: str = ""
    problem: str = ""  # why it cannot be pickled after hooks ran, although it could before
    question = Question.HOOKS

    def finding(self) -> Finding:
        if self.raised:
            return problem(
                self.raised,
                "Hooks and the length are asked for in the training process, at the turn of an "
                "epoch: it would be raised to the training loop, and the enqueuer would stop",
                "Mend it; the traceback is below" if self.traceback else "Mend it",
                self.traceback,
            )
        if self.problem:
            why = self.problem.partition(PICKLE_ADVICE)[0]
            return problem(
                f"After hooks ran, it cannot be pickled any more: {why}",
                "Workers get the Sequence anew at the turn of an epoch, as the hooks have left it",
                "Leave such a thing out in __getstate__, or open it in __getitem__",
            )
        epochs = "1 epoch" if len(self.turns) == 1 else f"{len(self.turns)} epochs"
        own = [f"on_epoch_{n}" for n, has in (("begin", self.begins), ("end", self.ends)) if has]
        slowest_s = max(turn.begin_s + turn.end_s for turn in self.turns) if own else 0.0
        took = f"{' and '.join(own)} took {words.duration(slowest_s)} at most"
        told = [f"{epochs} turned: {took}" if own else f"it has none of its own; {epochs} turned"]
        notes, advice = [], ""
        lengths = [turn.length for turn in self.turns]
        if len({*lengths}) > 1:
            told.append(f"the length changed: {', '.join(map(str, lengths))}")
            notes.append("The length is read anew for each epoch, so it may change")
        if self.early_length:
            told.append(f"before on_epoch_begin ran, the length raised {self.early_length}")
            notes.append("len(enqueuer) raises as well until the first epoch begins")
        if slowest_s >= SLOW_HOOK_S:
            notes.append("While a hook runs, workers have nothing to do, and the training waits")
            advice = "Do in __getitem__ what can be done there: workers do it side by side"
        return note("; ".join(told), ". ".join(notes), advice) if notes else ok(told[0])


def epochs_of(sequence: Any, settings: Settings, *, can_be_sent: bool) -> Iterator[Any]:
    """Go from epoch to epoch as the enqueuer does: yields the first length, at last the facts."""
    begins, ends = (overrides_hook(sequence, f"on_epoch_{name}") for name in ("begin", "end"))
    seeding, turns = Seeding(settings.seed, True), list[EpochHooks]()
    step, epoch, early = "", 0, ""

    def run(name: str) -> float:
        begun_s = time.perf_counter()
        if overrides_hook(sequence, name):
            seeding.hook(epoch, lambda: run_hook(sequence, name), name=name)
        return time.perf_counter() - begun_s

    def found(raised: str = "", traceback: str = "", problem: str = "") -> Hooks:
        return Hooks(begins, ends, tuple(turns), early, raised[:500], traceback, problem)

    try:
        count_batches(sequence)
    except Exception as error:
        early = f"{type(error).__name__}: {error}"
    try:
        for epoch in range(settings.epochs):
            step = "on_epoch_begin"
            begin_s = run(step)
            step = "the length"
            length = count_batches(sequence)
            if not epoch:
                yield length
            if not epoch and length == 0:
                yield found("the length is 0: there is no batch")
                return
            step = "on_epoch_end"
            turns.append(EpochHooks(epoch, begin_s, run(step), length))
    except Exception as error:
        said = f"{step} of epoch {epoch} raised {type(error).__name__}: {error}"
        yield found(said, fault_text(error))
        return
    yield found(problem=unpicklable(sequence) if can_be_sent and (begins or ends) else "")
