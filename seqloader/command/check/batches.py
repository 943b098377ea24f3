"""Can batches be computed, and how do they vary?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from seqloader.command import words
from seqloader.command.check.finding import Finding, Question, note, ok, problem, some
from seqloader.command.check.probe import Failure, Observed

__all__ = ["Batches", "Seen"]

SHOWN = 3
RATIO_OF_BYTES = 4.0  # the largest batch to the median: memory is planned for few beyond that
RATIO_OF_TIME = 10.0  # the slowest batch to the median
NOTABLE_S = 0.01  # what takes less is nobody's concern, however slow beside the others


@dataclass(frozen=True)
class Seen:
    """One batch."""

    index: int
    took_s: float  # the shortest time of those that it took
    nbytes: int
    kinds: tuple[tuple[str, str], ...]  # path and kind (dtype and shape) of each leaf
    none: bool = False


@dataclass(frozen=True)
class Batches:
    """How batches vary."""

    seen: tuple[Seen, ...]
    raised: tuple[Failure, ...] = ()
    died: tuple[Failure, ...] = ()
    unsent: tuple[Failure, ...] = ()  # computed, but it cannot be sent
    question = Question.BATCHES

    @classmethod
    def of(cls, runs: Sequence[Observed]) -> Batches:
        raised: dict[int, Failure] = {}
        died = {each.index: each for run in runs for each in reversed(run.died)}
        unsent: dict[int, Failure] = {}
        seen: dict[int, Seen] = {}
        for each in (each for run in runs for each in run.observations):
            index, epoch = each.task.index, each.task.epoch
            if each.error:
                raised.setdefault(index, Failure(index, epoch, each.error, each.traceback))
            elif each.unsent:
                unsent.setdefault(index, Failure(index, epoch, each.unsent))
            else:
                took_s = min(each.took_s, seen[index].took_s) if index in seen else each.took_s
                kinds = tuple((leaf.path, leaf.kind) for leaf in each.leaves)
                nbytes = sum(leaf.nbytes for leaf in each.leaves)
                seen[index] = Seen(index, took_s, nbytes, kinds, each.none)
        failed = {*raised, *died, *unsent}
        good = tuple(seen[index] for index in sorted(seen) if index not in failed)
        return cls(good, *(tuple(each.values()) for each in (raised, died, unsent)))

    def finding(self) -> Finding:
        if self.died or self.raised or self.unsent:
            return self._failed()
        present = [each for each in self.seen if not each.none]
        if not present:
            return problem(
                f"all {words.count(len(self.seen), 'batch')} that were tried are None",
                "None means that a batch is left out: here is nothing to deliver",
                "Return a batch",
            )
        notes: list[str] = []
        told = [_sizes(present, notes), _times(present, notes)]
        absent = [str(each.index) for each in self.seen if each.none]
        if absent:
            told.append(f"None: {some(absent)}")
            notes.append("A None batch is left out: the loop gets fewer batches than len()")
        return note("; ".join(told), ". ".join(notes)) if notes else ok("; ".join(told))

    def _failed(self) -> Finding:
        failures = (*self.raised, *self.died, *self.unsent)
        tried = {each.index for each in self.seen} | {each.index for each in failures}
        of = f"of {len(tried)} batches tried"
        told = [
            f"{len(failed)} {of} {verb}: "
            + some([f"batch {each.index} ({each.error[:200]})" for each in failed])
            for failed, verb in ((self.raised, "raised"), (self.died, "ended their process"))
            if failed
        ]
        if self.unsent:
            which, error = some([str(each.index) for each in self.unsent]), self.unsent[0].error
            of = f"{len(self.unsent)} {of} cannot be sent to the training process"
            told.append(f"{of} ({which}): {error[:500]}")
        index = failures[0].index
        advice = f"Reproduce it alone with sequence[{index}], or enqueuer.compute({index})"
        if self.died:
            why = (
                "Code in C that crashes, os._exit(), memory that ran out, or a hang. It is tried "
                "again in another worker, then WorkerLostError is raised"
            )
        elif self.raised:
            why = "The exception would be raised to the training loop, in the batch's place"
        else:
            why = "What is no array travels to the training process as a pickle"
            advice = "Return arrays, numbers, text, and nests of them; make the rest in the loop"
        text = next((each.traceback for each in self.raised if each.traceback), "")
        return problem("; ".join(told), why, advice, text)


def _times(present: Sequence[Seen], notes: list[str]) -> str:
    took = sorted(each.took_s for each in present)
    median_s, p95_s = statistics.median(took), took[min(len(took) - 1, int(0.95 * len(took)))]
    slowest = sorted(present, key=lambda each: -each.took_s)[:SHOWN]
    longest_s = slowest[0].took_s
    if longest_s >= max(NOTABLE_S, RATIO_OF_TIME * median_s):
        notes.append(
            f"Batch {slowest[0].index} takes {longest_s / max(median_s, 1e-9):.0f} times as long "
            "as most: a window (max_queue_size) must bridge it"
        )
    shown = ", ".join(f"{each.index} ({words.duration(each.took_s)})" for each in slowest)
    median, p95 = words.duration(median_s), words.duration(p95_s)
    return f"{median} each (median), p95 {p95}, slowest {shown}"


def _sizes(present: Sequence[Seen], notes: list[str]) -> str:
    sizes = [each.nbytes for each in present]
    low, median, high = min(sizes), statistics.median(sizes), max(sizes)
    told = f"{words.count(len(present), 'batch')} of {words.size(low)}"
    if low != high:
        told += f" to {words.size(high)} (median {words.size(median)})"
    kinds: dict[str, set[str]] = {}
    for path, kind in (row for each in present for row in each.kinds):
        kinds.setdefault(path, set()).add(kind)
    if len({frozenset(path for path, _ in each.kinds) for each in present}) > 1:
        notes.append("Batches are not all made of the same parts")
    for path, found in kinds.items():
        dtypes = sorted({kind.partition(" ")[0] for kind in found})
        if len(dtypes) > 1:
            notes.append(f"batch{path} is of {' and '.join(dtypes[:SHOWN])}")
    if median and high > RATIO_OF_BYTES * median:
        largest = max(present, key=lambda each: each.nbytes).index
        notes.append(
            f"Batch {largest} is {high / median:.0f} times as large as most: max_queue_bytes "
            "bounds what is held of such ones"
        )
    varying = [f"batch{path}" for path, found in kinds.items() if len(found) > 1]
    return f"{told}, of different shapes in {', '.join(varying[:SHOWN])}" if varying else told
