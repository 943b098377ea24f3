"""The words of errors and warnings: what happened, why probably, what to do, how to reproduce."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING

from seqloader.errors import WorkerLostError, is_own

if TYPE_CHECKING:
    from seqloader.order import Cursor, Shard
    from seqloader.tickets import Death, Lost, Raised, Shortage, Ticket

__all__ = [
    "batch_note",
    "death_text",
    "drawn_warning",
    "edited_warning",
    "held_note",
    "hooks_warning",
    "idle_warning",
    "issue",
    "lenient_warning",
    "limit_hint",
    "lost_error",
    "lost_warning",
    "no_workers_warning",
    "nothing_text",
    "other_shard_error",
    "remainder_error",
    "skip_warning",
    "slow_warning",
    "stack_text",
    "stuck_warning",
    "turns_warning",
    "unseeded_replay_warning",
    "unseeded_shards_error",
    "whereabouts",
]

GIB = 1 << 30


def issue(warning: Warning) -> None:
    """Issue a warning as from the line of user code that called us, however deep we are."""
    level = 1
    frame = sys._getframe()
    while frame.f_back is not None and is_own(frame.f_code.co_filename):
        frame = frame.f_back
        level += 1
    warnings.warn(warning, stacklevel=level)


def place(ticket: Ticket) -> str:
    """Which batch: the words used in every message."""
    return f"batch {ticket.index} (epoch {ticket.epoch}, position {ticket.position})"


def death_text(death: Death) -> str:
    """How a worker ended: `pid 4242 by SIGKILL with up to 11.8 GiB resident`."""
    if death.said:
        how = f"of which Ray says: {death.said}"
    elif death.exitcode is None:
        how = "with an exit status that something else collected"
    elif death.exitcode < 0:
        how = f"by {_signal_name(-death.exitcode)}"
    else:
        how = f"with exit status {death.exitcode}"
    memory = death.peak_rss_bytes
    return f"pid {death.pid} {how}" + (
        "" if memory is None else f" with up to {memory / GIB:.2f} GiB resident"
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def batch_note(raised: Raised) -> str:
    """The note that an exception from `__getitem__` carries."""
    where = "the consumer" if raised.pid is None else f"worker {raised.slot}, pid {raised.pid}"
    tries = f", after {raised.ticket.attempt + 1} tries" if raised.ticket.attempt else ""
    return (
        f"raised by {place(raised.ticket)} in {where}{tries}. Reproduce it alone with: "
        f"enqueuer.compute({raised.ticket.index}, epoch={raised.ticket.epoch})"
    )


def lost_warning(ticket: Ticket | None, death: Death, *, again: bool) -> str:
    """A worker died and was replaced."""
    slot = f"worker {death.slot} ({death_text(death)})"
    replaced = "was replaced" if death.replaced else "is not replaced yet"
    if ticket is None and death.said:  # what it had may be several batches
        return f"{slot} ended, and {replaced}; what it had is computed again, and nothing is lost"
    if ticket is None:
        return f"{slot} died while it held no batch, and {replaced}; nothing is lost"
    took = "took longer than timeout_s on" if death.reason == "timeout" else "died in"
    outcome = f"it {replaced}{' and the batch is computed again' if again else ''}"
    return f"{slot} {took} {place(ticket)}; {outcome}"


def shortage_warning(shortage: Shortage) -> str:
    """Fewer workers than asked for go on."""
    return (
        f"{shortage.workers} of {shortage.wanted} workers go on, and nothing is lost. Another "
        f"cannot be started now, which is tried again in {shortage.pause_s:.1f} s, then less and "
        f"less often: {shortage.why}"
    )


def edited_warning(module: str, file: str) -> str:
    """New workers import what others have imported in another state."""
    return (
        f"{file} (module {module}) was changed while workers were at work, and workers have been "
        "replaced since: those import it as it is now, the others and your own process have it as "
        "it was, so batches of one epoch may come of both. To have one state, stop() and start() "
        "again (and reload the module in your own process), or leave the file alone while it runs"
    )


def lost_error(lost: Lost, attempts: int, timeout_s: float | None) -> WorkerLostError:
    """A batch outlived every worker it was given to."""
    ticket, death = lost
    tries = "once" if attempts == 1 else f"{attempts} times"
    if death.reason == "timeout":
        happened = f"took longer than timeout_s={timeout_s:g} each time" if timeout_s else "hung"
        why = (
            "Either it needs more time than it is given, or it hangs, as on a lock or a network "
            "file that never answers; the log shows its stack where it could be had."
        )
    else:
        happened = "its worker died each time"
        why = _why(death)
    return WorkerLostError(
        f"{place(ticket)} was tried {tries} and {happened}, last {death_text(death)}.\n{why}\n"
        f"Reproduce it alone with: enqueuer.compute({ticket.index}, epoch={ticket.epoch})",
        epoch=ticket.epoch,
        position=ticket.position,
        index=ticket.index,
        attempts=attempts,
        pid=death.pid,
        exitcode=death.exitcode,
        peak_rss_bytes=death.peak_rss_bytes,
        reason=death.reason,
    )


def _why(death: Death) -> str:
    code = death.exitcode
    if death.said:
        return (
            "An actor ends so when a machine runs out of memory (use fewer actors, or memory= for "
            "each), when its node goes, or when something in __getitem__ ends the process."
        )
    if code == -signal.SIGKILL:
        return (
            "SIGKILL usually means the kernel ran out of memory: use fewer workers, a smaller "
            "max_queue_size or smaller batches."
        )
    if code in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGILL, -signal.SIGFPE):
        return (
            "It crashed in C code: a library used by __getitem__, or one that does not work with "
            "this input. Its standard error shows where, if it could still write."
        )
    if code is not None and code >= 0:
        return "Something in __getitem__ ended the process, as os._exit() does."
    return "Something outside ended it, or it ended itself."


def stack_text(death: Death) -> str:
    """For the log: what a worker past its time was doing."""
    if death.stack:
        return f"worker {death.slot} (pid {death.pid}) passed timeout_s here:\n{death.stack}"
    return (
        f"worker {death.slot} (pid {death.pid}) passed timeout_s and could not write its stack: "
        "it was stopped, or blocked inside the system"
    )


def whereabouts(holder: tuple[int, int] | None, busy: list[str], workers: int) -> str:
    """Who computes the batch that the consumer waits for, as far as the executor tells.

    Args:
        workers: how many the executor has; 0: it computes in the consumer.
    """
    if holder is not None:
        slot, pid = holder
        who = f"worker thread {slot}" if pid == os.getpid() else f"worker {slot} (pid {pid})"
        return f"{who} computes it"
    if workers == 0:
        return "the consumer computes it itself"
    if busy:
        return f"no worker has taken it yet; {', '.join(busy)}"
    return "no worker says that it computes it"


def limit_hint(executor: object, workers: int, timeout_s: float | None) -> str:
    """What would end a batch that takes too long; nothing, where that is not ours to say.

    Args:
        executor: what the enqueuer was asked for: a name, or one of the user's own.
        workers: 0: batches are computed in the consumer, whatever the name says.
    """
    if not isinstance(executor, str):
        return ""
    if executor not in ("process", "ray") or workers == 0:
        return "; with worker processes, timeout_s would end it"
    if timeout_s is None:
        return "; timeout_s would end it"
    return f"; timeout_s={timeout_s:g} will end it"


def slow_warning(ticket: Ticket, waited_s: float, where: str, hint: str) -> str:
    """The consumer has waited long; said once."""
    again = f"{hint} and try again" if hint else ""
    return (
        f"waited {waited_s:.0f} s for {place(ticket)}: {where}. It may be slow or hang for ever"
        f"{again}"
    )


def stuck_warning(epoch: int, waited_s: float, busy: list[str], hint: str) -> str:
    """An epoch that was left early cannot end, because a batch of it is still computed."""
    who = ", ".join(busy) or "a worker"
    return (
        f"epoch {epoch} was left early, and for {waited_s:.0f} s its end has waited for a batch "
        f"that was begun ahead: {who}. It may be slow or hang for ever{hint}"
    )


def skip_warning(answer: Raised | Lost, error: BaseException) -> str:
    """The first batch that on_error="skip" left out."""
    return (
        f'{place(answer.ticket)} was skipped (on_error="skip"): {type(error).__name__}: {error}. '
        "Later ones are counted in stats().skipped without a warning"
    )


def drawn_warning(name: str) -> str:
    """Two workers drew a value each, which decides what their batches hold."""
    return (
        f"sequence.{name}: workers have had different ones. __getitem__ draws it when it is first "
        "called, and each worker process does so, or threads at the same time: if it is an order, "
        "some samples of an epoch arrive twice and others never. Draw it in __init__, or in "
        "on_epoch_begin or on_epoch_end, which run in the training process and reach every worker"
    )


def turns_warning() -> str:
    """Threads share generators that are set for each batch."""
    return (
        "the Sequence holds random generators, which its threads share, and a seed was given: so "
        "batches are computed one at a time, each with the generators set for it, since nobody "
        "knows beforehand whether __getitem__ or only a hook draws from them. Worker processes "
        "(use_multiprocessing=True) have generators of their own and compute at once; or use "
        "batch_context().rng in __getitem__, which each batch has for itself"
    )


def idle_warning(workers: int, max_queue_size: int) -> str:
    """There are more workers than batches that may be computed at a time."""
    return (
        f"max_queue_size={max_queue_size} is below workers={workers}: at most {max_queue_size} "
        f"batches are computed ahead, so {workers - max_queue_size} workers will idle"
    )


def no_workers_warning(names: list[str]) -> str:
    """Batches are computed in the consumer, and what was said about workers has no effect."""
    have = "have" if len(names) > 1 else "has"
    return (
        f"workers=0 computes batches in this process, so {', '.join(names)} {have} no effect. "
        "Where batches need what worker_init or worker_env prepare, prepare it here as well"
    )


def held_note(batches: int, nbytes: int) -> str:
    """Memory ran out, and the consumer holds some of it."""
    return (
        f"the training process still refers to {batches} batches of {nbytes / GIB:.2f} GiB in all: "
        "a list of batches, or small views that keep whole batches. If you keep parts of batches, "
        "copy them, or use copy=True"
    )


def nothing_text(length: int | None, shards: int) -> str:
    """Why an epoch has no position."""
    if not length:
        return "its length is 0"
    return f"of {length} batches over {shards} shards, none is left for this one"


def remainder_error(batches: int, shards: int) -> str:
    """The batches cannot be dealt out evenly, and nothing was said about the rest."""
    each, rest = divmod(batches, shards)
    return (
        f"{batches} batches cannot be dealt out evenly to {shards} shards: {rest} would be left "
        "over. In synchronous training, a rank with one step more than the others waits for them "
        "for ever; so say what is to become of the rest, the same on every rank. "
        f'remainder="drop": nobody gets it, and each shard has {each}. remainder="pad": batches '
        f"are repeated until each shard has {each + 1}; batch_context().padding marks them. "
        'remainder="uneven": the first shards get one batch more, for evaluation and the like'
    )


def hooks_warning(kind: str, hooks: list[str], epoch: int) -> str:
    """A run goes on in an epoch whose predecessors' hooks have not run on this object."""
    return (
        f"the run goes on in epoch {epoch}, and {kind} overrides {' and '.join(hooks)} but has no "
        "state_dict() for it: what the hook did in the epochs before has not been done to this "
        "object, so its batches may differ from the uninterrupted run's. To mend it, "
        f"give {kind} state_dict() and load_state_dict(state) with what the hook changes; or do "
        "without the hook, and derive it in __getitem__ from batch_context().epoch; or, if "
        f"you load the state yourself, have the hooks run again on a {kind} made anew: "
        "load_state_dict(state, replay_hooks=True)"
    )


def unseeded_replay_warning() -> str:
    """Hooks were run again, and what they draw is not what they drew."""
    return (
        "hooks of earlier epochs were run again, and no seed was given to the run that saved the "
        "state: what they draw from random, numpy and torch is not what they drew then. With "
        "seed=0, or any other number, it is"
    )


def lenient_warning(differences: list[str]) -> str:
    """A state was loaded with strict=False that does not fit."""
    return (
        "the state does not fit, and strict=False took what can be taken: epoch, position, skips, "
        "and what follows from them. It goes on with what is here, not as saved, in: "
        + "; ".join(differences)
    )


def other_shard_error(cursor: Cursor, ours: Shard, found: Shard) -> str:
    """A place was reached as one shard, and the process is another now."""
    return (
        f"epoch {cursor.epoch} goes on at position {cursor.position} of shard {ours.id} of "
        f'{ours.count}, and shard="auto" now finds {found.id} of {found.count}: the process group '
        "was made after the state was loaded, or the place sought. Make the group first, then the "
        "enqueuer, and load the state into that"
    )


def unseeded_shards_error(shards: int) -> str:
    """Each of the shards would shuffle in an order of its own."""
    return (
        f"{shards} shards of a shuffled order need a seed, the same on every rank: without one "
        "each rank draws its own, so some batches would be delivered twice and others never. "
        "Give seed=0, or any other number"
    )
