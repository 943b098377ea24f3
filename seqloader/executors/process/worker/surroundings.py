"""What a worker changes about its own process before it works."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys

from seqloader.executors.process.wire.settings import LEAVE_SIGNAL, STACK_SIGNAL
from seqloader.executors.process.wire.tunables import sets_malloc

__all__ = [
    "be_killed_first",
    "keep_malloc_memory",
    "offer_stacks",
    "prepare_signals",
    "release_stderr",
]

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
KEPT_BYTES = 1 << 28
"""Free memory at the top of the heap that malloc keeps: large temporary arrays of up to this size
are written into warm pages again and again. More keeps memory that nobody uses."""


def prepare_signals() -> None:
    """Signals that a worker ignores, unblocks or answers; before anything of the user's runs."""
    signal.signal(LEAVE_SIGNAL, _carry_on)  # until the loop has an answer of its own
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        # A Ctrl-C is the user's process's affair. Not ignored: a tool that user code starts would
        # inherit that, and could not be interrupted. A handler ends with `exec`.
        signal.signal(signal.SIGINT, _carry_on)
        signal.siginterrupt(signal.SIGINT, False)
    for signum in (signal.SIGTTOU, signal.SIGTTIN):
        # With `tostop` a mere print would stop a worker; and a tool that it waits for. (A handler
        # would not do: the kernel asks again and again.)
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    with contextlib.suppress(RuntimeError, ValueError, AttributeError):
        faulthandler.enable(sys.__stderr__ or 2)


def offer_stacks(stack: int) -> None:
    """Write this worker's stacks there when it is asked to; -1: it is not."""
    if stack >= 0:
        faulthandler.register(STACK_SIGNAL, file=stack, all_threads=True, chain=False)


def _carry_on(signum: int, frame: object) -> None:
    """The answer to a Ctrl-C, and to more than that until there is a better one."""


def keep_malloc_memory() -> None:
    """Let large temporaries reuse warm memory: glibc only, elsewhere nothing happens.

    By default glibc maps every large block anew and gives it back when freed, so that user code
    that never changed pays page faults for each temporary of each batch. Who has set one of these
    thresholds, in the environment of the program or in `worker_env`, has it as it was set.
    """
    if sets_malloc(os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def be_killed_first() -> None:
    """Ask the kernel to take a worker, which can be replaced, before the training process."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+") as file:
        score = int(file.read())
        file.seek(0)
        file.write(str(min(1000, score + 300)))


def release_stderr(errors: int, capture: int) -> None:
    """Give standard error back: what was captured during the start is passed on first."""
    if capture < 0:
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    with contextlib.suppress(OSError):
        text = os.pread(capture, os.fstat(capture).st_size, 0)
        if errors >= 0:
            if text:
                os.write(errors, text)
            os.dup2(errors, 2)
        else:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.close(null)
        os.close(capture)
