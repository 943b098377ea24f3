"""Consumers in processes of their own: programs that are run, watched, signalled and ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

import seqloader

__all__ = ["GONE_S", "Ends", "Program", "begun", "environment", "run", "wait_for"]

GONE_S: Final = 2.0
"""The time within which workers must be gone, whatever ended their consumer (P9)."""

PATIENCE_S: Final = 30.0
"""For what should take well under a second."""

_HERE: Final = Path(__file__).parent
_ROOT: Final = Path(seqloader.__file__).parent.parent


def environment(**more: str) -> dict[str, str]:
    """For a program: what these tests can import, it can."""
    path = os.pathsep.join([str(_ROOT), str(_HERE)])
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "default", **more}


def run(
    text: str,
    folder: Path,
    *arguments: str,
    command: Sequence[str] | None = None,
    stdin: str = "",
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; `command` replaces `python <file>`, `more` is environment."""
    script = folder / "program.py"
    script.write_text(text)
    return subprocess.run(
        [*(command or [sys.executable, str(script)]), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=folder,
        env=environment(**more),
        check=False,
    )


class Program:
    """A program that runs; in a session of its own, so that nothing of it can stay unseen."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._unread = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    def read_line(self) -> str:
        """The next line that it prints; fails if it ends or keeps silent instead."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        deadline = time.monotonic() + PATIENCE_S
        while b"\n" not in self._unread:
            left_s = max(0.0, deadline - time.monotonic())
            data = b""
            if select.select([descriptor], [], [], left_s)[0]:
                data = os.read(descriptor, 4096)
            if not data:
                self.process.kill()
                raise AssertionError(f"it printed nothing more; on stderr: {self._errors()}")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode().strip()

    def read_pids(self) -> list[int]:
        """As `read_line`, for a line of process ids."""
        return [int(word) for word in self.read_line().split()]

    def descendants(self) -> list[int]:
        """Process ids of its children, theirs included."""
        return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]

    def send(self, signum: signal.Signals) -> None:
        os.kill(self.pid, signum)

    def interrupt(self) -> None:
        """What a terminal does at Ctrl-C."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self) -> tuple[int, str]:
        """Its exit status and what it wrote to standard error."""
        status = self.process.wait(PATIENCE_S)
        return status, self._errors()

    def _errors(self) -> str:
        assert self.process.stderr is not None
        ready, _, _ = select.select([self.process.stderr], [], [], PATIENCE_S)
        assert ready
        os.set_blocking(self.process.stderr.fileno(), False)  # others may hold the other end
        return self.process.stderr.read() or ""


@contextlib.contextmanager
def begun(text: str, folder: Path, *arguments: str, **more: str) -> Iterator[Program]:
    """A program that runs meanwhile; at the end everything of its session is killed."""
    script = folder / "program.py"
    script.write_text(text)
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(**more),
        start_new_session=True,
    )
    try:
        yield Program(process)
    finally:
        for other in _session(process.pid):
            with contextlib.suppress(psutil.Error):
                other.kill()
        process.communicate()


def _session(leader: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):
            if os.getsid(process.pid) == leader:
                found.append(process)
    return found


class Ends:
    """Watches the ends of processes that are nobody's children here. A zombie has ended."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._descriptors: dict[int, int] = {}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                self._descriptors[os.pidfd_open(pid)] = pid

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *_: Any) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)

    def left_after(self, timeout_s: float) -> list[int]:
        """Those that have not ended within `timeout_s`."""
        waiting = dict(self._descriptors)
        deadline = time.monotonic() + timeout_s
        while waiting:
            ended, _, _ = select.select(list(waiting), [], [], max(0, deadline - time.monotonic()))
            for descriptor in ended:
                del waiting[descriptor]
            if not ended and time.monotonic() >= deadline:
                break
        return list(waiting.values())


def wait_for(path: Path) -> str:
    """What a file says, once somebody has written it."""
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < deadline, f"nobody wrote {path.name}"
        time.sleep(0.005)
    return path.read_text()
