"""Dying with the consumer: the worker's side of the life pipe.

The consumer holds the only write end and never writes. When it is gone, however it went, the
kernel sends SIGKILL to the worker's process group, also while C code holds the interpreter lock.

Rules
    R1  Consumer and worker both arm the read end (owner, signal, O_ASYNC belong to the open file,
        so the second time changes nothing): whichever comes first, none is forgotten.
    R2  The worker polls it *after* arming. An end that came before raises no signal.
    R3  Some kernels and sandboxes accept these calls and deliver nothing. Delivery is tried on a
        scratch pipe; without it a watching thread takes over.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import threading
from typing import Final

from seqloader.memory.fallbacks import without

__all__ = ["guard_life"]

F_SETOWN_EX: Final = 15
F_OWNER_TID: Final = 0
"""Of Linux; Python does not name them."""


def guard_life(life: int) -> bool:
    """Make this process group end when the write end of `life` is closed.

    Returns whether the kernel sees to it: else a thread does.
    """
    armed = not without("sigio") and _arm(life) and _signals_are_delivered()
    poll = select.poll()
    poll.register(life, 0)
    if poll.poll(0):
        os._exit(1)
    if not armed:
        threading.Thread(target=_watch, args=(life,), name="seqloader-life", daemon=True).start()
    return armed


def _arm(fd: int, signum: int = signal.SIGKILL, owner: int = 0) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_SETOWN, owner or -os.getpgrp())
        fcntl.fcntl(fd, fcntl.F_SETSIG, signum)
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    except (OSError, AttributeError):
        return False
    return True


def _signals_are_delivered() -> bool:
    trial = signal.SIGRTMIN + 6
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {trial})
    reader, writer = os.pipe()
    try:
        if not _arm(reader, trial, os.getpid()):
            return False
        # To this thread, where it is blocked; another one (numpy has started OpenBLAS's) would die.
        owner = struct.pack("ii", F_OWNER_TID, threading.get_native_id())
        fcntl.fcntl(reader, F_SETOWN_EX, owner)
        os.close(writer)
        writer = -1
        return signal.sigtimedwait({trial}, 0.1) is not None
    except OSError:
        return False
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(life: int) -> None:
    poll = select.poll()
    poll.register(life, 0)
    poll.poll()
    with contextlib.suppress(OSError):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
