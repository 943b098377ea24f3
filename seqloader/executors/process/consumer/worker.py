"""One worker process as the consumer sees it: watch it, end it, learn how it ended.

Rules
    R1  Every descriptor is an attribute of the object before the process exists, so that an
        exception raised asynchronously in the middle of a start leaves nothing that `close`
        would not end: without its life pipe's write end, the worker is gone.
    R2  The process group is killed before its leader is reaped: until then no other process can
        have the number.
    R3  A zombie counts as gone. The exit status may be unknown (an ignored SIGCHLD reaps for us).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from seqloader.executors.process.consumer.birth import arm_life, duplicate
from seqloader.executors.process.consumer.mp_objects import tracker_fd
from seqloader.executors.process.consumer.unreaped import reap_group, reap_later
from seqloader.executors.process.wire.settings import (
    LEAVE_SIGNAL,
    STACK_SIGNAL,
    WorkerSettings,
)
from seqloader.memory.descriptors import Descriptors
from seqloader.memory.fallbacks import without
from seqloader.memory.kernel_files import read
from seqloader.memory.shared_arrays import live_memories
from seqloader.tickets import Death

if TYPE_CHECKING:
    from seqloader.executors.process.consumer.birth import Birth, FirstState
    from seqloader.executors.process.consumer.zygote import Zygote

__all__ = ["WorkerProcess"]

STACK_WAIT_S: Final = 1.0
"""How long a worker past its time may take to write its stack before it is killed."""
TAIL_BYTES: Final = 4096
"""How much of a failed start's standard error an error message shows."""


class WorkerProcess:
    """A worker process in a slot."""

    def __init__(self, number: int, slot: int) -> None:
        self.number = number
        self.slot = slot
        self.ready = False
        self.answered = False
        """Whether it has reported on a ticket: it can work."""
        self.leaving = False
        """Whether it is to leave: nobody takes its place."""
        self.nudged = False
        """Whether it was woken for that, since it last had a ticket."""
        self.left = False
        """Whether it has left, and takes no ticket: it only has to end."""
        self.kill_at = 0.0
        """When it has had time enough for that, on the monotonic clock."""
        self.failed = False
        """Whether it ended before it had done anything."""
        self.excused = False
        """Whether it ended while it waited for the first state: that says nothing of others."""
        self.overdue = False
        """Whether the consumer killed it because its batch took too long."""
        self.stack_text = ""
        self.version = 0
        """Of the state that it loads first: it needs no older one."""
        self.born_ns = time.monotonic_ns()
        self._life = self._life_read = -1
        self.watch = -1
        """Descriptor that is readable, or hung up, once the process has ended."""
        self._capture = -1
        self._stack = -1
        self._descriptors = Descriptors()
        self._born: list[int] = []
        self._gone = False
        self._parent = os.getpid()
        self._zygote: Zygote | None = None
        """Whose child it is; None: ours."""
        self._peak_handed_down = 0
        """KiB: the most memory that the consumer had had when it made the process."""

    @property
    def pid(self) -> int:
        """Process id; 0 before there is a process."""
        return self._born[0] if self._born else 0

    def launch(
        self,
        birth: Birth,
        zygote: Zygote | None,
        state: FirstState,
        arena: tuple[int, int],
        *,
        stacks: bool,
    ) -> None:
        """Start the process.

        Args:
            birth: what all workers are born with.
            zygote: who bears it, if it can.
            state: what it loads first.
            arena: descriptor and size of its arena file.
            stacks: whether it may be asked for its stack.
        """
        self.version = state.version
        own = self._descriptors
        fresh = birth.inherit is None
        passed = Descriptors()
        try:
            life, self._life = own.pipe()
            death = -1
            if zygote is not None or without("pidfd") or not hasattr(os, "pidfd_open"):
                self.watch, death = own.pipe()
            errors = duplicate(2, passed)
            if fresh:
                self._capture = own.memory("seqloader-stderr")
            if stacks:
                self._stack = own.memory("seqloader-stack")
            tracker = duplicate(tracker_fd(), passed) if fresh else -1
            ends = (life, death, errors, self._capture, self._stack, tracker)
            memories = live_memories() if fresh else []  # held open until it has them
            shared = tuple(memory.fd for memory in memories if not memory.private)
            settings = WorkerSettings(self.number, self.slot, *state, *arena, *ends, -1, shared)
            self._life_read, self._zygote = life, zygote
            if zygote is None or not zygote.bear(settings):
                if zygote is not None:
                    self.watch, death = own.close_one(self.watch), own.close_one(death)
                self._zygote = None
                birth.bear(self._born, settings._replace(death=death))
                self._peak_handed_down = _our_peak_kib()
                self._note_process()
                self._life_read = own.close_one(life)
            own.close_one(death)
        finally:
            passed.close()

    def note_born(self, pid: int) -> None:
        """The zygote has said its number. (Only now may it be found to have ended.)"""
        self._born.append(pid)
        self.watch = self._descriptors.close_one(self.watch)
        self._note_process()

    def _note_process(self) -> None:
        own = self._descriptors
        if self.watch < 0:
            self.watch = own.add(os.pidfd_open, self.pid)
        arm_life(self._life_read, self.pid)

    def note_ready(self) -> None:
        """The worker has reported READY; it has given standard error back."""
        self.ready = True
        self._capture = self._descriptors.close_one(self._capture)

    def start_errors(self) -> str:
        """The tail of what a worker that never was ready wrote to standard error."""
        if self._capture < 0:
            return ""
        size = os.fstat(self._capture).st_size
        start = max(0, size - TAIL_BYTES)
        return os.pread(self._capture, size - start, start).decode(errors="replace").strip()

    def nudge(self) -> None:
        """It is to leave, and waits for a ticket: it need not wait. Once is enough."""
        if not self.nudged and self.pid > 0 and not self._gone:
            self.nudged = True
            with contextlib.suppress(OSError):
                os.kill(self.pid, LEAVE_SIGNAL)

    def kill(self) -> None:
        """SIGKILL for the whole group. Any thread, any time, any number of times."""
        if self.pid > 0 and not self._gone and self._has_its_number():
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(OSError):  # a forked child may not lead its group yet
                os.kill(self.pid, signal.SIGKILL)

    def _has_its_number(self) -> bool:
        # Rule R2; where who bore it has gone, the system has reaped it.
        if self._zygote is None or not self._zygote.is_gone or self.watch < 0:
            return True
        poll = select.poll()
        poll.register(self.watch, select.POLLIN)
        return not poll.poll(0)

    def kill_overdue(self) -> None:
        """Ask for the stack, keep what is written, and kill."""
        self.overdue = True
        if not self.pid:  # nobody has said its number
            self.release_life()
            return
        if self._stack >= 0:
            with contextlib.suppress(OSError):
                os.kill(self.pid, STACK_SIGNAL)
            self.stack_text = self._read_stack()
        self.kill()

    def _read_stack(self) -> str:
        deadline = time.monotonic() + STACK_WAIT_S
        ended = select.poll()
        ended.register(self.watch)
        size = -1
        while time.monotonic() < deadline:
            before, size = size, os.fstat(self._stack).st_size
            if size > 0 and size == before:  # it has stopped growing
                break
            if ended.poll(20):
                break
        return os.pread(self._stack, 65_536, 0).decode(errors="replace").strip()

    def reap(self) -> Death:
        """Collect the exit status of a process that has ended; kills what it left behind."""
        self.kill()
        exitcode, peak = self._await_status()
        if self.pid:
            reap_group(self.pid)  # where we adopt orphans, what we have killed there is ours
        # Linux hands a process's peak down to those that it makes, and counts in batches. What is
        # not clearly above says nothing of the worker: a training's must not pass for it.
        clear = peak > 1.05 * self._peak_handed_down
        peak = peak * (1 if sys.platform == "darwin" else 1024) if clear else 0
        self._gone = True
        if self._zygote is not None:
            # Its group, also where its number may be another's by now: the pipe knows which it was.
            self.release_life()
        reason = "timeout" if self.overdue else "died"
        return Death(self.slot, self.pid, exitcode, peak or None, reason, self.stack_text)

    def _await_status(self) -> tuple[int | None, int]:
        """Exit status, and peak memory as the system counts it; None, 0: nobody knows."""
        if self._zygote is not None:
            return self._await_status_of_another() if self.pid else (None, 0)
        # Where the child was reaped elsewhere; and at the interpreter's end, when `wait4` cannot
        # import what it needs for the usage any more.
        with contextlib.suppress(ChildProcessError, ImportError):
            _, status, usage = os.wait4(self.pid, 0)
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss
        return None, 0

    def _await_status_of_another(self) -> tuple[int | None, int]:
        assert self._zygote is not None
        status = self._zygote.reap(self.number, self.pid)
        if status is not None:
            return os.waitstatus_to_exitcode(status[0]), status[1]
        # Where the zygote is gone and orphans become our children: in a container, or by choice.
        with contextlib.suppress(OSError):
            ended = os.waitid(os.P_PIDFD, self.watch, os.WEXITED | os.WNOHANG)
            if ended is not None:
                killed = ended.si_code != os.CLD_EXITED
                return -ended.si_status if killed else ended.si_status, 0
        return None, 0

    def release_life(self) -> None:
        """Close the write end of the life pipe."""
        self._life = self._descriptors.close_one(self._life)

    def close(self) -> None:
        """Close every descriptor, which ends a worker that is still alive. Idempotent. A process
        that was not reaped is reaped at a later start."""
        ours = os.getpid() == self._parent and self._zygote is None
        if self.pid > 0 and not self._gone and ours:
            reap_later(self.pid)
        self._gone = True
        self._life = self._life_read = self.watch = self._capture = self._stack = -1
        self._descriptors.close()


def _our_peak_kib() -> int:
    # Not of `getrusage`: that has in it what was handed down to us.
    with contextlib.suppress(OSError):
        for line in read("/proc/self/status").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
