"""What limits the loading. Pure: facts in, verdict out; no clock, no process.

Asked in this order, and the first that is so is the verdict:

    memory            the processes take nearly all that there is
    consumer          the training step is what takes the time
    start-up          workers start for longer than they save in several epochs
    oversubscription  more threads of work than CPUs, and all CPUs busy
    consumer          its own thread is busy with taking batches
    window            workers idle, because they may not work further ahead
    transport         workers spend their time on handing over, or idle for another reason
    compute           workers spend their time in `__getitem__`
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from seqloader.command import words
from seqloader.command.bench.recommendation import choose

if TYPE_CHECKING:
    from seqloader.command.bench.figures import Facts, Figures

__all__ = ["Bottleneck", "Verdict", "judge", "judged_row"]

NEARLY_ALL_MEMORY = 0.8
"""Of what could be had: beyond that the kernel begins to look for somebody to kill."""
GAIN = 0.05
"""Of an epoch of the plain loop: what workers save, at least, or they save nothing to speak of."""
EPOCHS_TO_PAY = 5
"""Workers that have not earned their start after so many epochs start too slowly."""
BUSY = 0.8
"""Of the time of a thread, of the workers or of all CPUs: busy, for what clocks can tell."""
FALLS_BACK = 0.85
"""Of the best rate: what the most workers reach, at most, where they are in each other's way."""
THREADED = 1.3
"""CPUs that one `__getitem__` keeps busy, at least, where a library computes in threads."""
WAITS = 0.5
"""CPUs that one `__getitem__` keeps busy, at most, where it mainly waits."""
SMALL_NBYTES = 100_000
"""A batch below it costs what any hand-over costs, however small."""
SLOW_HANDING_S = 200e-6
"""For a small batch of arrays it takes some ten microseconds; longer for what must be pickled."""
MOSTLY = 0.5
"""Of a worker's time for a batch."""


class Bottleneck(StrEnum):
    """What limits the loading."""

    COMPUTE = "compute in workers"
    TRANSPORT = "transport"
    START_UP = "start-up"
    CONSUMER = "consumer"
    OVERSUBSCRIPTION = "oversubscription"
    MEMORY = "memory"
    WINDOW = "window"


@dataclass(frozen=True)
class Verdict:
    """The bottleneck, what was seen of it, and what to do."""

    bottleneck: Bottleneck
    seen: str
    advice: str
    doubt: str = ""
    """Why it may be wrong; empty where nothing speaks against it."""

    def __str__(self) -> str:
        return f"{self.cause}: {self.seen}. {self.advice}."

    @property
    def cause(self) -> str:
        """The bottleneck, with the doubt."""
        return f"{self.doubt}; perhaps {self.bottleneck}" if self.doubt else self.bottleneck


def judged_row(facts: Facts) -> Figures:
    """The row that the verdict is about.

    The one to be recommended; where that has no workers, and no step is fed, the fastest with
    workers: the verdict says why they do not help.
    """
    chosen = choose(facts)
    with_workers = [row for row in facts.rows if row.workers]
    if chosen.workers or not with_workers or facts.feeds_the_step(chosen):
        return chosen
    return min(with_workers, key=facts.period_s)


def judge(facts: Facts) -> Verdict | None:
    """The verdict; None where nothing can be said, because no worker was measured."""
    row = judged_row(facts)
    if not row.workers and not facts.feeds_the_step(row):
        return None
    questions = (
        _memory,
        _step,
        _start_up,
        _oversubscription,
        _library_threads,
        _consumer,
        _window,
        _transport,
    )
    answers = (ask(facts, row) for ask in questions)
    verdict = next((each for each in answers if each is not None), None) or _compute(facts, row)
    return replace(verdict, doubt=_doubt(facts))


def _doubt(facts: Facts) -> str:
    if not facts.is_disturbed:
        return ""
    return f"Other programs kept {facts.others:.1f} CPUs: measure again"


def _memory(facts: Facts, row: Figures) -> Verdict | None:
    taken, available = row.memory_bytes, facts.available_bytes
    if taken is None or available is None or taken < NEARLY_ALL_MEMORY * available:
        return None
    return Verdict(
        Bottleneck.MEMORY,
        f"{_with(row)} and a window of {row.queue} batches of "
        f"{words.size(row.nbytes)} all processes take {words.size(taken)} of the "
        f"{words.size(available)} that could be had",
        "Make max_queue_size smaller, or bound it by max_queue_bytes, take fewer workers, or make "
        "batches smaller (uint8 instead of float32 is a quarter)",
    )


def _step(facts: Facts, row: Figures) -> Verdict | None:
    if not facts.feeds_the_step(row):
        return None
    assert facts.step_s is not None and row.wait_s is not None
    return Verdict(
        Bottleneck.CONSUMER,
        f"{_with(row)} the loop waits {words.duration(row.wait_s)} for a batch, and its step takes "
        f"{words.duration(facts.step_s)}",
        "Loading keeps up: only a faster training step makes the run shorter",
    )


def _start_up(facts: Facts, row: Figures) -> Verdict | None:
    count = facts.batches_per_epoch
    if count is None:
        return None
    step_s = facts.step_s or 0.0
    loop_epoch_s = count * (facts.loop.batch_s + step_s)
    epoch_s = count * facts.period_s(row)
    start_s = row.startup_s - facts.loop.startup_s
    saved_s = loop_epoch_s - epoch_s
    noise = max(GAIN, facts.loop.spread or 0.0, row.spread or 0.0)
    if saved_s <= noise * loop_epoch_s or start_s <= EPOCHS_TO_PAY * saved_s:
        return None
    return Verdict(
        Bottleneck.START_UP,
        f"{_with(row)} the first batch takes {words.duration(row.startup_s)}, and an epoch of "
        f"{words.count(count, 'batch')} then {words.duration(epoch_s)} instead of the plain "
        f"loop's {words.duration(loop_epoch_s)}: workers pay after "
        f"{words.short(start_s / saved_s)} epochs",
        "Keep one enqueuer for all epochs, make what the Sequence holds and imports smaller, or "
        "take workers=0 for shorter runs",
    )


def _oversubscription(facts: Facts, row: Figures) -> Verdict | None:
    best = max(facts.rows, key=lambda each: each.batches_per_s)
    most = facts.rows[-1]
    if _crowds(facts, row):
        crowded = row
    elif _crowds(facts, most) and most.batches_per_s <= FALLS_BACK * best.batches_per_s:
        crowded = most
    else:
        return None
    return Verdict(
        Bottleneck.OVERSUBSCRIPTION,
        f"{crowded.name} workers share {words.count(facts.cpus, 'CPU')}, of which "
        f"{crowded.cpus:.1f} are busy, and deliver {words.rate(crowded.batches_per_s)}: each "
        f"works at {crowded.efficiency(facts.loop):.0%} of the plain loop's pace",
        f"Take no more than {facts.cpus}, and measure that: a worker without a CPU of its own "
        "costs memory and brings nothing",
    )


def _crowds(facts: Facts, row: Figures) -> bool:
    return (row.workers or 0) > facts.cpus and row.cpus >= BUSY * facts.cpus


def _library_threads(facts: Facts, row: Figures) -> Verdict | None:
    work, workers = facts.work, row.workers or 0
    if work is None or workers < 2 or work.cpus < THREADED or row.cpus < BUSY * facts.cpus:
        return None
    return Verdict(
        Bottleneck.OVERSUBSCRIPTION,
        f"each of {row.name} workers keeps {work.cpus:.1f} CPUs busy in __getitem__, and there are "
        f"{facts.cpus}: a library computes in threads there",
        "Take threads_per_worker=1, or remove OMP_NUM_THREADS and the like from the environment",
    )


def _consumer(facts: Facts, row: Figures) -> Verdict | None:
    share = row.consumer_s * row.batches_per_s
    if share < BUSY or facts.step_s is not None:
        return None
    loop_s = facts.loop.batch_s
    return Verdict(
        Bottleneck.CONSUMER,
        f"the consumer's own thread is busy {words.share(share)} of the time, since taking a batch "
        f"costs it {words.duration(row.consumer_s)}, and the plain loop needs "
        f"{words.duration(loop_s)} to compute one",
        "Make batches larger, so that fewer are handed over"
        if row.nbytes < SMALL_NBYTES
        else "Do less with a batch in that thread: no copy=True, no conversion of whole arrays",
    )


def _window(facts: Facts, row: Figures) -> Verdict | None:
    needed = facts.window_needed(row.workers or 0)
    if facts.work is None or row.busy_share >= BUSY or needed <= row.queue:
        return None
    if facts.work.slowest_s <= row.queue * row.batch_s:
        return None  # the consumer takes longer for a whole window: it never sees the slow batch
    return Verdict(
        Bottleneck.WINDOW,
        f"{_with(row)}, busy {words.share(row.busy_share)} of the time, one batch in a hundred "
        f"takes {facts.unevenness:.1f} times as long as most: while it is due, the others "
        f"have filled the window of {row.queue}",
        "Make the slow batches faster, if a quiet machine shows them, too"
        if facts.is_disturbed
        else f"Measure again with --queue {needed}, or make the slow batches faster",
    )


def _transport(facts: Facts, row: Figures) -> Verdict | None:
    work = facts.work
    mostly_hands_over = work is not None and work.handing_s >= MOSTLY * work.both_s
    if not mostly_hands_over and row.busy_share >= BUSY:
        return None
    if work is not None and mostly_hands_over:
        seen = (
            f"of the {words.duration(work.both_s)} that a worker spends on a batch, "
            f"{words.duration(work.handing_s)} go into handing over its {words.size(row.nbytes)}: "
            f"all workers move {words.size(row.nbytes * row.batches_per_s)}/s"
        )
    else:
        seen = (
            f"{_with(row)}, busy {words.share(row.busy_share)} of the time, and a consumer, busy "
            f"{words.share(row.consumer_s * row.batches_per_s)}, the rest goes into waking each "
            f"other for each of {words.rate(row.batches_per_s)}"
        )
    return Verdict(Bottleneck.TRANSPORT, seen, _lighter(facts, row))


def _lighter(facts: Facts, row: Figures) -> str:
    if row.nbytes >= SMALL_NBYTES:
        return (
            "Build batches in seqloader.empty, which saves the copy, and in smaller types (uint8 "
            "instead of float32)"
        )
    if facts.batches_per_epoch is not None and facts.batches_per_epoch <= row.queue:
        return (
            f"Make epochs longer than {words.count(facts.batches_per_epoch, 'batch')}: at the end "
            "of each, workers run out of work"
        )
    if facts.work is not None and facts.work.handing_s >= SLOW_HANDING_S:
        return "Return arrays: lists and other objects are pickled. Or make batches larger"
    return "Make batches larger: each costs about the same to hand over, however small"


def _compute(facts: Facts, row: Figures) -> Verdict:
    work = facts.work
    took_s, both_s = (row.busy_s,) * 2 if work is None else (work.mean_s, work.both_s)
    waits = facts.loop.cpus <= (WAITS / 2 if facts.is_disturbed else WAITS)
    how = "mostly waiting (disk, network, sleep)" if waits else "computing"
    return Verdict(
        Bottleneck.COMPUTE,
        f"{_with(row)} __getitem__ takes {words.duration(took_s)} of the "
        f"{words.duration(both_s)} that a worker spends on a batch, {how}, and workers are "
        f"busy {words.share(row.busy_share)} of the time",
        _more_compute(facts, row, waits=waits),
    )


def _more_compute(facts: Facts, row: Figures, *, waits: bool) -> str:
    most = facts.rows[-1].workers or 0
    if _shares_one_lock(facts, row):
        return "Threads share the interpreter's lock: take processes, or make __getitem__ faster"
    if (row.workers or 0) < most:
        return "Make __getitem__ faster: more workers do not help"
    if waits:
        return f"Measure more workers than {most}: those that wait need no CPU of their own"
    if most < facts.cpus:
        return (
            f"Measure more workers than {most}, up to the {facts.cpus} CPUs, or make __getitem__ "
            "faster"
        )
    return f"Make __getitem__ faster: {words.count(facts.cpus, 'CPU')} give no more"


def _shares_one_lock(facts: Facts, row: Figures) -> bool:
    threads = facts.executor == "thread" and (row.workers or 0) > 1
    return threads and facts.loop.cpus > WAITS and row.cpus < THREADED


def _with(row: Figures) -> str:
    return f"with {words.count(row.workers or 0, 'worker')}"
