"""Questions of the judge about what goes wrong: memory, deaths, retries, starts. See judge.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from seqloader.stats import words
from seqloader.stats.verdict import Cause, Verdict

if TYPE_CHECKING:
    from seqloader.stats.facts import Facts

__all__ = ["deaths", "holding", "memory", "retries", "start_up"]

NEARLY_ALL_MEMORY: Final = 0.8
"""Of what could be had: beyond that the kernel begins to look for somebody to kill."""
DEATH_S: Final = 0.3
"""What the death of a worker costs, at least: another one starts."""
DEATHS_SHARE: Final = 0.25
"""Of the waiting that deaths must explain."""
RETRIED_SHARE: Final = 0.1
"""Of the batches, computed twice."""
HELD_BYTES: Final = 64_000_000
"""Less than that is made anew without being noticed."""
GAIN: Final = 0.05
"""Of an epoch of the plain loop: what workers save, at least, or they save nothing to speak of."""
EPOCHS_TO_PAY: Final = 5
"""Workers that have not earned their start after so many epochs start too slowly."""
MOSTLY: Final = 0.5
"""Of a time."""


# --- memory ---------------------------------------------------------------------------------------


def memory(facts: Facts) -> Verdict | None:
    """Workers were killed for want of memory, or loading takes 80 % of what it could have."""
    taken, available = facts.memory_bytes, facts.available_bytes
    if taken is not None and available is not None and taken >= NEARLY_ALL_MEMORY * available:
        what = f"takes {words.size(taken)} of the {words.size(available)} that could be had"
    elif facts.memory_deaths:
        what = f"lost {words.count(facts.memory_deaths, 'worker')}, killed for want of memory"
    else:
        return None
    return Verdict(
        Cause.MEMORY,
        f"{facts.with_workers} and a window of {facts.queue} batches of {words.size(facts.nbytes)} "
        f"loading {what}",
        "Make max_queue_size smaller, or bound it by max_queue_bytes, take fewer workers, or make "
        "batches smaller (uint8 instead of float32 is a quarter)",
    )


def holding(facts: Facts) -> Verdict | None:
    """The consumer refers to more batches than workers can have memory ready for."""
    ready = facts.queue + 2 * facts.workers + 1
    if facts.held_batches <= ready or facts.held_bytes < HELD_BYTES:
        return None
    return Verdict(
        Cause.HOLDING,
        f"the consumer still refers to {words.count(facts.held_batches, 'batch')} of "
        f"{words.size(facts.held_bytes)} in all, so that each new one needs fresh memory, which "
        "is written several times more slowly than memory that is used again",
        "Let go of each batch before the next (del batch; log numbers, not arrays), or keep copies "
        "of the parts that you need",
    )


# --- what went wrong ------------------------------------------------------------------------------


def deaths(facts: Facts) -> Verdict | None:
    """Workers died, and their successors' starts explain a quarter of the waiting; or some could
    not be replaced."""
    costs_s = DEATH_S * facts.respawns
    if not facts.shortages and (not facts.respawns or costs_s < DEATHS_SHARE * facts.waited_s):
        return None
    fewer = (
        f", {words.count(facts.shortages, 'time')} without a successor at once"
        if facts.shortages
        else ""
    )
    return Verdict(
        Cause.DEATHS,
        f"{words.count(facts.respawns, 'worker')} died while {words.count(facts.batches, 'batch')} "
        f"were handed over{fewer}: each time another starts, and computes the batch again",
        "See the warnings: they name batch and signal. SIGKILL is mostly memory (fewer workers, "
        "smaller batches), SIGSEGV a library; enqueuer.compute(index) reproduces it",
    )


def retries(facts: Facts) -> Verdict | None:
    """A tenth of the batches raised and were computed again."""
    if facts.retried <= RETRIED_SHARE * facts.batches:
        return None
    return Verdict(
        Cause.RETRIES,
        f"{words.count(facts.retried, 'try')} of {words.count(facts.batches, 'batch')} raised and "
        "were made again",
        "Find out what raises with retries=0, and catch it in __getitem__, where a part of a batch "
        "can be read again",
    )


# --- the start ------------------------------------------------------------------------------------


def start_up(facts: Facts) -> Verdict | None:
    """Half of the waiting is for the first batch. In a measurement: workers start for longer than
    they save in five epochs."""
    if facts.beside is not None:
        return _start_does_not_pay(facts)
    startup_s = facts.first_s - facts.busy_s
    if startup_s <= 0.0 or startup_s < MOSTLY * facts.waited_s:
        return None
    return Verdict(
        Cause.START_UP,
        f"{words.duration(facts.first_s)} of the {words.duration(facts.waited_s)} that the loop "
        f"has waited were for the first of {words.count(facts.batches, 'batch')}: workers start, "
        "import and take up the Sequence, and the window fills",
        "Keep one enqueuer for all epochs, call start() before the model is built, make epochs "
        "longer, or make what the Sequence holds and imports smaller",
    )


def _start_does_not_pay(facts: Facts) -> Verdict | None:
    beside, count = facts.beside, facts.batches_per_epoch
    if beside is None or count is None:
        return None
    loop_epoch_s = count * (beside.loop_s + facts.step_s)
    epoch_s = count * (facts.batch_s if facts.wait_s is None else facts.step_s + facts.wait_s)
    start_s = beside.startup_s - beside.loop_startup_s
    saved_s = loop_epoch_s - epoch_s
    if saved_s <= max(GAIN, beside.noise) * loop_epoch_s or start_s <= EPOCHS_TO_PAY * saved_s:
        return None
    return Verdict(
        Cause.START_UP,
        f"{facts.with_workers} the first batch takes {words.duration(beside.startup_s)}, and an "
        f"epoch of {words.count(count, 'batch')} then {words.duration(epoch_s)} instead of the "
        f"plain loop's {words.duration(loop_epoch_s)}: workers pay after "
        f"{words.short(start_s / saved_s)} epochs",
        "Keep one enqueuer for all epochs, make what the Sequence holds and imports smaller, or "
        "take workers=0 for shorter runs",
    )
