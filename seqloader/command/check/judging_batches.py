"""From facts to findings: can batches be computed, and how do they vary? Pure."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from seqloader.command import words
from seqloader.command.check.facts import Batches, Failure, Question
from seqloader.command.check.finding import Finding, Status, some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seqloader.command.check.facts import Seen

__all__ = ["judge_batches"]

SHOWN = 3
RATIO_OF_BYTES = 4.0
"""The largest batch to the median: beyond that, memory is planned for few batches."""
RATIO_OF_TIME = 10.0
"""The slowest batch to the median."""
NOTABLE_S = 0.01
"""A batch that takes less is nobody's concern, however slow beside the others."""


def judge_batches(found: Batches) -> Finding:
    """How do batches vary? One that raises or kills is a problem, whatever the others are."""
    question = Question.BATCHES
    if found.died or found.raised:
        return _failed(found)
    present = [each for each in found.seen if not each.none]
    if not present:
        return Finding(
            question,
            Status.PROBLEM,
            f"all {words.count(len(found.seen), 'batch')} that were tried are None",
            "None means that a batch is left out: here is nothing to deliver",
            "Return a batch",
        )
    times, times_note = _times(present)
    sizes, sizes_note = _sizes(present)
    told = [sizes, times]
    notes = [note for note in (sizes_note, times_note) if note]
    absent = [each.index for each in found.seen if each.none]
    if absent:
        told.append(f"None: {_numbers(absent)}")
        notes.append("A None batch is left out: the loop gets fewer batches than len()")
    return Finding(
        question,
        Status.NOTE if notes else Status.OK,
        "; ".join(told),
        ". ".join(notes),
    )


def _failed(found: Batches) -> Finding:
    tried = {each.index for each in found.seen}
    tried |= {each.index for each in (*found.raised, *found.died)}
    of = f"of {len(tried)} batches tried"
    told = [
        f"{len(failures)} {of} {verb}: {_each(failures)}"
        for failures, verb in ((found.raised, "raised"), (found.died, "ended their process"))
        if failures
    ]
    if found.died:
        why = (
            "Code in C that crashes, os._exit(), memory that ran out, or a __getitem__ that hangs. "
            "Such a batch is tried again in another worker, then WorkerLostError is raised"
        )
    else:
        why = "The exception would be raised to the training loop, in the batch's place"
    text = next((each.traceback for each in found.raised if each.traceback), "")
    index = (found.raised or found.died)[0].index
    return Finding(
        Question.BATCHES,
        Status.PROBLEM,
        "; ".join(told),
        why,
        f"Reproduce it alone with sequence[{index}], or enqueuer.compute({index})",
        text,
    )


def _each(failures: Sequence[Failure]) -> str:
    return some([f"batch {each.index} ({each.error[:200]})" for each in failures])


def _times(present: Sequence[Seen]) -> tuple[str, str]:
    took = sorted(each.took_s for each in present)
    median_s = statistics.median(took)
    p95_s = took[min(len(took) - 1, int(0.95 * len(took)))]
    slowest = sorted(present, key=lambda each: -each.took_s)[:SHOWN]
    told = (
        f"{words.duration(median_s)} each (median), p95 {words.duration(p95_s)}, slowest "
        + ", ".join(f"{each.index} ({words.duration(each.took_s)})" for each in slowest)
    )
    if slowest[0].took_s < max(NOTABLE_S, RATIO_OF_TIME * median_s):
        return told, ""
    return told, (
        f"Batch {slowest[0].index} takes {slowest[0].took_s / max(median_s, 1e-9):.0f} times as "
        "long as most: a window (max_queue_size) must bridge it"
    )


def _sizes(present: Sequence[Seen]) -> tuple[str, str]:
    sizes = [each.nbytes for each in present]
    median = statistics.median(sizes)
    low, high = min(sizes), max(sizes)
    kinds = _kinds_by_path(present)
    if low == high:
        told = f"{words.count(len(present), 'batch')} of {words.size(high)}"
    else:
        told = (
            f"{words.count(len(present), 'batch')} of {words.size(low)} to {words.size(high)} "
            f"(median {words.size(median)})"
        )
    notes = []
    if len({frozenset(path for path, _ in each.kinds) for each in present}) > 1:
        notes.append("Batches are not all made of the same parts")
    for path, found in kinds.items():
        dtypes = {kind.partition(" ")[0] for kind in found}
        if len(dtypes) > 1:
            notes.append(f"batch{path} is of {' and '.join(sorted(dtypes)[:SHOWN])}")
    varying = [path for path, found in kinds.items() if len(found) > 1]
    if varying:
        shown = ", ".join(f"batch{path}" for path in varying[:SHOWN])
        told += f", of different shapes in {shown}"
    if median and high > RATIO_OF_BYTES * median:
        largest = max(present, key=lambda each: each.nbytes).index
        notes.append(
            f"Batch {largest} is {high / median:.0f} times as large as most: max_queue_bytes "
            "bounds what is held of such ones"
        )
    return told, ". ".join(notes)


def _kinds_by_path(present: Sequence[Seen]) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = {}
    for each in present:
        for path, kind in each.kinds:
            kinds.setdefault(path, set()).add(kind)
    return kinds


def _numbers(indices: Sequence[int]) -> str:
    return some([*map(str, indices)])
