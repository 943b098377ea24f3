"""The watchdog's process: reads which test runs, keeps the time, ends what hangs.

A script of its own, run by `guards.watchdog`. Standard input is a pipe of JSON lines: a test and
its limit, or an empty object between tests. The end of the pipe ends the sentinel.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Final

import psutil

ANSWER_S: Final = 1.0
"""How long the processes have to write their stacks, before all are killed."""

ASKING_SIGNALS: Final = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT)
"""What a child may have tied to a dump of its stacks; sent only where it is caught."""


CAPTURED_CHARS: Final = 20_000
"""How much of the captured output is shown, from its end."""


def main() -> None:
    pid, stacks_signal = int(sys.argv[1]), signal.Signals(int(sys.argv[2]))
    if os.fork():
        os._exit(0)  # pytest waits for this; what goes on is a child of nobody it knows
    os.setsid()
    test = _wait_for_a_hang()
    if test is not None:
        _end(psutil.Process(pid), stacks_signal, test)


def _wait_for_a_hang() -> str | None:
    """Name the test whose limit passed, or None when the run is over."""
    test, deadline, rest = "", None, b""
    while True:
        left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([0], [], [], left_s)[0]:
            return test
        data = os.read(0, 65536)
        if not data:
            return None
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            test = message.get("test", "")
            deadline = time.monotonic() + message["limit_s"] if message else None


def _end(pytest_process: psutil.Process, stacks_signal: signal.Signals, test: str) -> None:
    children = pytest_process.children(recursive=True)
    _say(f"\n\n++++ watchdog: {test} passed its limit. Stacks, innermost call first:\n")
    _say(f"\n-- pytest, {_describe(pytest_process)}\n")
    os.kill(pytest_process.pid, stacks_signal)
    time.sleep(ANSWER_S)
    for child in children:
        _say(f"\n-- child, {_describe(child)}\n")
        _ask(child.pid)
    time.sleep(ANSWER_S if children else 0)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        _show_captured(pytest_process.pid, descriptor, name)
    _say(f"\n++++ watchdog: ends the run, because {test} hangs\n")
    for process in [pytest_process, *children]:  # the parent first: it must not replace workers
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass


def _describe(process: psutil.Process) -> str:
    try:
        command = " ".join(process.cmdline())[:200]
        return f"pid {process.pid}, {process.status()} in {_kernel_call(process.pid)}: {command}"
    except psutil.Error as error:
        return f"pid {process.pid}: {error}"


def _kernel_call(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/wchan").read_text() or "?"
    except OSError:
        return "?"


def _ask(pid: int) -> None:
    """Ask for stacks with every signal that the process catches: the others would kill it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        for signum in ASKING_SIGNALS:
            if caught >> (signum - 1) & 1:
                os.kill(pid, signum)
    except (OSError, IndexError):
        pass


def _show_captured(pid: int, descriptor: int, name: str) -> None:
    """Show what pytest has captured of the test: children write their stacks there too."""
    path = Path(f"/proc/{pid}/fd/{descriptor}")
    try:
        if path.is_file() and (text := path.read_text(errors="replace")):
            _say(f"\n-- captured {name}\n{text[-CAPTURED_CHARS:]}\n")
    except OSError:
        pass


def _say(text: str) -> None:
    os.write(2, text.encode(errors="replace"))


if __name__ == "__main__":
    main()
