"""What limits the loading. Pure: facts in, verdict out; no clock, no process.

`QUESTIONS` are asked in their order, and the first that has an answer is the verdict. The first
two are about whether there is anything to blame: where the consumer hardly waits, the loader is
not named.

`SEQLOADER_REWRITE_TABLES=1 pytest tests/stats/test_judge_page.py` draws the table in the docs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from seqloader.stats import words
from seqloader.stats.mishaps import deaths, holding, memory, retries, start_up
from seqloader.stats.verdict import Cause, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.stats.facts import Facts

__all__ = ["FED_SHARE", "QUESTIONS", "judge"]

FED_SHARE: Final = 0.05
"""Of the consumer's time: one that waits less is fed."""
BUSY: Final = 0.8
"""Of the time of a thread, of the workers or of all CPUs: busy, for what clocks can tell."""
THREADED: Final = 1.3
"""CPUs that one `__getitem__` keeps busy, at least, where a library computes in threads."""
STRAGGLERS_SHARE: Final = 0.25
"""Of the waiting that slow batches side by side must explain."""
KNOWN_STRAGGLERS_SHARE: Final = 0.1
"""The same, where only the slowest of them are known one by one."""
SMALL_NBYTES: Final = 100_000
"""A batch below it costs what any hand-over costs, however small."""
SLOW_HANDING_S: Final = 200e-6
"""For a small batch of arrays it takes some ten microseconds; longer for what must be pickled."""
SOON_S: Final = 1e-3
"""A batch that takes less is computed about as fast as it is handed over."""
TUNED: Final = 'Give "auto" some seconds to find out (tuning_log() says what it did)'
"""What is said where the number to change is not the user's."""
MOSTLY: Final = 0.5
"""Of a time."""


def judge(facts: Facts) -> Verdict:
    """The verdict."""
    answers = (ask(facts) for ask in QUESTIONS)
    return next(verdict for verdict in answers if verdict is not None)


# --- is there anything to blame? ------------------------------------------------------------------


def _nothing(facts: Facts) -> Verdict | None:
    """No batch was handed over yet."""
    if facts.batches:
        return None
    return Verdict(Cause.UNKNOWN, "no batch was handed over yet", "Ask again later")


def _fed(facts: Facts) -> Verdict | None:
    """The loop waits at most 5 % of its time, and handing over takes less than half of it."""
    if facts.wait_s is None or facts.wait_s > FED_SHARE * facts.span_s:
        return None
    if facts.hand_s >= MOSTLY * facts.span_s:
        return None
    return Verdict(
        Cause.CONSUMER,
        f"{facts.with_workers} the loop waits {words.duration(facts.wait_s)} for a batch, and its "
        f"step takes {words.duration(facts.step_s)}",
        "Loading keeps up: only a faster training step makes the run shorter",
    )


# --- CPUs -----------------------------------------------------------------------------------------


def _crowded(facts: Facts) -> Verdict | None:
    """There are more workers than CPUs, and they want nearly all of these."""
    if facts.workers <= facts.cpus or facts.cpus_wanted < BUSY * facts.cpus:
        return None
    pace = ""
    if facts.beside is not None:
        efficiency = facts.beside.loop_s / facts.batch_s / facts.workers
        pace = f": each works at {words.share(efficiency)} of the plain loop's pace"
    quota = (
        ""
        if facts.quota is None
        else f" (the control group allows {words.short(facts.quota)} CPUs' worth of time)"
    )
    return Verdict(
        Cause.OVERSUBSCRIPTION,
        f"{facts.workers} workers share {words.count(facts.cpus, 'CPU')}{quota}, want "
        f"{facts.cpus_wanted:.1f} and deliver {words.rate(1 / facts.batch_s)}{pace}",
        _as_many_as_cpus(facts),
    )


def _as_many_as_cpus(facts: Facts) -> str:
    why = "a worker without a CPU of its own costs memory and brings nothing"
    if facts.tuned:
        return (
            f'workers="auto" tries whether more than {facts.cpus} bring something, and goes back '
            f"if not: leave it at that, or take {facts.cpus}: {why}"
        )
    return f"Take no more than {facts.cpus}, and measure that: {why}"


def _library_threads(facts: Facts) -> Verdict | None:
    """Libraries compute in threads inside each worker, and all CPUs are wanted."""
    threads = max(facts.library_threads, facts.work_cpus or 0.0)
    if facts.workers < 2 or facts.threads or facts.cpus_wanted < BUSY * facts.cpus:
        return None
    told = facts.library_threads > 1 and facts.library_threads * facts.workers > facts.cpus
    if not told and (facts.work_cpus is None or facts.work_cpus < THREADED):
        return None
    how = "may keep" if told else "keeps"
    return Verdict(
        Cause.OVERSUBSCRIPTION,
        f"each of {facts.workers} workers {how} {threads:.1f} CPUs busy in __getitem__, and there "
        f"are {facts.cpus}: a library computes in threads there",
        "Take threads_per_worker=1, or remove OMP_NUM_THREADS and the like from the environment",
    )


# --- between the processes ------------------------------------------------------------------------


def _busy_consumer(facts: Facts) -> Verdict | None:
    """In a measurement without a step: the consumer's thread is busy 80 % of the time."""
    share = facts.consumer_s / facts.batch_s
    if facts.beside is None or facts.wait_s is not None or share < BUSY:
        return None
    return Verdict(
        Cause.CONSUMER,
        f"the consumer's own thread is busy {words.share(share)} of the time, since taking a batch "
        f"costs it {words.duration(facts.consumer_s)}, and the plain loop needs "
        f"{words.duration(facts.beside.loop_s)} to compute one",
        _less_in_the_consumer(facts),
    )


def _handing_over(facts: Facts) -> Verdict | None:
    """The hand-over itself takes half of the consumer's time."""
    if facts.wait_s is None or facts.hand_s < MOSTLY * facts.span_s:
        return None
    return Verdict(
        Cause.TRANSPORT,
        f"taking a batch of {words.size(facts.nbytes)} costs the consumer "
        f"{words.duration(facts.hand_s)}, and a worker needs {words.duration(facts.busy_s)} to "
        "compute one",
        _less_in_the_consumer(facts),
    )


def _less_in_the_consumer(facts: Facts) -> str:
    if facts.nbytes < SMALL_NBYTES:
        return "Make batches larger, so that fewer are handed over"
    return "Do less with a batch in that thread: no copy=True, no conversion of whole arrays"


def _stragglers(facts: Facts) -> Verdict | None:
    """Slow batches lie side by side, and explain a quarter of the waiting; a tenth, if only the
    slowest of them are known."""
    slow = facts.stragglers
    if slow is None or not facts.workers:
        return None
    more_s = slow.count * (slow.seconds - slow.others_s) / facts.workers
    share = STRAGGLERS_SHARE if slow.all_known else KNOWN_STRAGGLERS_SHARE
    if more_s < share * facts.waited_s:
        return None
    return Verdict(
        Cause.STRAGGLERS,
        f"batches {slow.first} to {slow.last} take {words.duration(slow.seconds)}, the others "
        f"{words.duration(slow.others_s)}: while they are due, the loop waits",
        f"Look at what these are made of (enqueuer.compute({slow.first}) computes one here): a "
        "slow disk, larger files, a remote shard; or spread them with shuffle=True",
    )


def _window(facts: Facts) -> Verdict | None:
    """While the loop waits, workers idle: the window is full of later batches. In a measurement:
    one batch in a hundred takes longer than the whole window lasts."""
    if facts.blocked_share is not None:
        if facts.blocked_share < MOSTLY or facts.workers < 2:
            return None
    elif not _outlasts_the_window(facts):
        return None
    needed = max(facts.window_needed, facts.queue + facts.workers)
    return Verdict(
        Cause.WINDOW,
        f"{facts.with_workers}, busy {words.share(facts.busy_share)} of the time, one batch in a "
        f"hundred takes {facts.unevenness:.1f} times as long as most: while it is due, the others "
        f"have filled the window of {facts.queue}",
        _wider(facts, needed),
    )


def _outlasts_the_window(facts: Facts) -> bool:
    if not facts.typical_s or facts.busy_share >= BUSY or facts.window_needed <= facts.queue:
        return False
    # Else the consumer takes longer for a whole window: it never sees the slow batch.
    return facts.slowest_s > facts.queue * facts.batch_s


def _wider(facts: Facts, needed: int) -> str:
    if facts.tuned:
        return f"{TUNED}, or make the slow batches faster"
    if facts.beside is None:
        return f"Take max_queue_size={needed}, or make the slow batches faster"
    if facts.beside.disturbed:
        return "Make the slow batches faster, if a quiet machine shows them, too"
    needed = facts.window_needed
    return f"Measure again with --queue {needed}, or make the slow batches faster"


def _transport(facts: Facts) -> Verdict | None:
    """Workers spend half of their time on writing batches for the consumer, or idle although
    nothing keeps them from working."""
    hands_over = facts.encoded_s is not None and facts.encoded_s >= MOSTLY * facts.busy_s > 0
    idles = facts.busy_share < BUSY and (facts.beside is not None or facts.busy_s < SOON_S)
    if facts.workers == 0 or not (hands_over or idles):
        return None
    if facts.encoded_s is not None and hands_over:
        seen = (
            f"of the {words.duration(facts.busy_s)} that a worker spends on a batch, "
            f"{words.duration(facts.encoded_s)} go into handing over its "
            f"{words.size(facts.nbytes)}: all workers move "
            f"{words.size(facts.nbytes / facts.batch_s)}/s"
        )
    else:
        consumer_s = facts.consumer_s or facts.hand_s + facts.step_s
        seen = (
            f"{facts.with_workers}, busy {words.share(facts.busy_share)} of the time, and a "
            f"consumer, busy {words.share(consumer_s / facts.batch_s)}, the rest goes into waking "
            f"each other for each of {words.rate(1 / facts.batch_s)}"
        )
    return Verdict(Cause.TRANSPORT, seen, _lighter(facts))


def _lighter(facts: Facts) -> str:
    if facts.nbytes >= SMALL_NBYTES:
        return (
            "Build batches in seqloader.empty, which saves the copy, and in smaller types (uint8 "
            "instead of float32)"
        )
    if facts.batches_per_epoch is not None and facts.batches_per_epoch <= facts.queue:
        return (
            f"Make epochs longer than {words.count(facts.batches_per_epoch, 'batch')}: at the end "
            "of each, workers run out of work"
        )
    if facts.encoded_s is not None and facts.encoded_s >= SLOW_HANDING_S:
        return "Return arrays: lists and other objects are pickled. Or make batches larger"
    return "Make batches larger: each costs about the same to hand over, however small"


# --- what workers do ------------------------------------------------------------------------------


def _storage(facts: Facts) -> Verdict | None:
    """Workers are busy, and use a CPU for less than half of that time: they wait for something."""
    if not facts.workers or not facts.waits_mostly:
        return None
    most = facts.workers if facts.beside is None else facts.beside.most_workers
    if facts.tuned:
        advice = f"{TUNED}, or make __getitem__ wait less"
    elif facts.workers < most:
        advice = "Make __getitem__ faster: more workers do not help"
    else:
        verb = "Take" if facts.beside is None else "Measure"
        advice = f"{verb} more workers than {most}: those that wait need no CPU of their own"
    return Verdict(
        Cause.STORAGE,
        _busy(facts, "mostly waiting (disk, network, sleep)"),
        advice,
    )


def _compute(facts: Facts) -> Verdict:
    """None of these: workers compute."""
    if not facts.workers:
        return Verdict(
            Cause.COMPUTE,
            f"batches are computed in the consumer (workers=0), {words.duration(facts.busy_s)} "
            "each, while the loop waits",
            f"Take workers, up to the {words.count(facts.cpus, 'CPU')} that this process may use",
        )
    return Verdict(Cause.COMPUTE, _busy(facts, "computing"), _more_compute(facts))


def _busy(facts: Facts, how: str) -> str:
    took_s = facts.busy_s - (facts.encoded_s or 0.0)
    return (
        f"{facts.with_workers} __getitem__ takes {words.duration(took_s)} of the "
        f"{words.duration(facts.busy_s)} that a worker spends on a batch, {how}, and workers are "
        f"busy {words.share(facts.busy_share)} of the time"
    )


def _more_compute(facts: Facts) -> str:
    most = facts.workers if facts.beside is None else facts.beside.most_workers
    verb = "Take" if facts.beside is None else "Measure"
    if facts.threads and facts.workers > 1 and facts.cpus_wanted < THREADED:
        return "Threads share the interpreter's lock: take processes, or make __getitem__ faster"
    if facts.workers < most:
        return "Make __getitem__ faster: more workers do not help"
    if facts.tuned and most < facts.cpus:
        return f"{TUNED}, or make __getitem__ faster"
    if most < facts.cpus:
        return (
            f"{verb} more workers than {most}, up to the {facts.cpus} CPUs, or make __getitem__ "
            "faster"
        )
    return f"Make __getitem__ faster: {words.count(facts.cpus, 'CPU')} give no more"


QUESTIONS: Final[tuple[Callable[[Facts], Verdict | None], ...]] = (
    _nothing,
    _fed,
    memory,
    deaths,
    retries,
    holding,
    start_up,
    _crowded,
    _library_threads,
    _busy_consumer,
    _handing_over,
    _stragglers,
    _window,
    _transport,
    _storage,
    _compute,
)
"""In the order in which they are asked."""
