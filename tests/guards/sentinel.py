"""The watchdog's process: reads which test runs, keeps the time, has pytest fail what hangs.

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
from typing import Any, Final

import psutil

ATTEMPTS: Final = 3
"""How often a test is failed: what cleans up after it may hang as well."""

ASKING_SIGNALS: Final = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT)
"""What a child may have tied to a dump of its stacks; sent only where it is caught."""

CAPTURED_CHARS: Final = 20_000
"""How much of the captured output is shown, from its end."""


def main() -> None:
    pid, stacks_signal, fail_signal = (int(argument) for argument in sys.argv[1:4])
    if os.fork():
        os._exit(0)  # pytest waits for this; what goes on is a child of nobody it knows
    os.setsid()
    answer_s, patience_s = (float(argument) for argument in sys.argv[4:])
    _watch(_Messages(), _Run(pid, stacks_signal, fail_signal, answer_s), patience_s)


def _watch(messages: _Messages, run: _Run, patience_s: float) -> None:
    test, deadline = "", None
    while True:
        left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        if messages.wait(left_s):
            message = messages.next()
            if message is None:
                return
            test = message.get("test", "")
            deadline = time.monotonic() + message["limit_s"] if message else None
        elif _fail(test, messages, run, patience_s):
            deadline = None
        else:
            run.end(test)
            return


def _fail(test: str, messages: _Messages, run: _Run, patience_s: float) -> bool:
    """Have the test fail, and say whether it has ended then."""
    _say(f"\n\n++++ watchdog: {test} passed its limit. Stacks, innermost call first:\n")
    for attempt in range(ATTEMPTS):
        if attempt:
            _say(f"\n++++ watchdog: {test} hangs on. Stacks, innermost call first:\n")
        children = run.children()
        run.show_stacks(children)
        if messages.wait(0.0):
            return True
        # The test first: with the exception in it, it replaces no worker that is killed.
        run.send(run.fail_signal)
        run.kill(children)
        if messages.wait(patience_s):
            return True
    return False


class _Messages:
    """What pytest says. After the beginning of a test comes nothing but its end."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for a message, or for the end of all."""
        return bool(self._lines or select.select([0], [], [], timeout_s)[0])

    def next(self) -> dict[str, Any] | None:
        """The next message; None when the run is over."""
        while not self._lines:
            data = os.read(0, 65536)
            if not data:
                return None
            *self._lines, self._rest = (self._rest + data).split(b"\n")
        message: dict[str, Any] = json.loads(self._lines.pop(0))
        return message


class _Run:
    """pytest's process and those below it."""

    def __init__(self, pid: int, stacks_signal: int, fail_signal: int, answer_s: float) -> None:
        self.process = psutil.Process(pid)
        self.stacks_signal = stacks_signal
        self.fail_signal = fail_signal
        self.answer_s = answer_s

    def children(self) -> list[psutil.Process]:
        try:
            return self.process.children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def show_stacks(self, children: list[psutil.Process]) -> None:
        _say(f"\n-- pytest, {_describe(self.process)}\n")
        self.send(self.stacks_signal)
        time.sleep(self.answer_s)
        for child in children:
            _say(f"\n-- child, {_describe(child)}\n")
            _ask(child.pid)
        time.sleep(self.answer_s if children else 0)

    def send(self, signum: int) -> None:
        try:
            self.process.send_signal(signum)
        except psutil.NoSuchProcess:
            pass

    def kill(self, processes: list[psutil.Process]) -> None:
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass

    def end(self, test: str) -> None:
        for descriptor, name in ((1, "stdout"), (2, "stderr")):
            _show_captured(self.process.pid, descriptor, name)
        _say(f"\n++++ watchdog: ends the run, because {test} hangs\n")
        self.kill([self.process, *self.children()])


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
