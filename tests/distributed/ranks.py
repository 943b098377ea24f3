"""The ranks of trainings, forked from one process that has imported torch: that takes longer than
most of their runs.

The process is asked by lines of JSON on its standard input, and answers each by one

    {"start": [{"arguments", "environment", "stdout", "stderr"}, ...]}    the pid of each rank
    {"wait": [pid, ...]}                                                  how each has ended

A rank is the leader of a group of its own, which is what a batch system kills. It sees the end of
its standard input when the process has gone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Ranks", "next_rank", "serving"]


class Ranks:
    """Starts ranks, and waits for them."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def start(self, wanted: list[dict[str, Any]]) -> list[int]:
        """Their pids. `stdout` and `stderr` are paths: of a FIFO, or of a file that is there."""
        return self._ask({"start": wanted})

    def wait(self, pids: list[int]) -> list[int]:
        """Their exit status each; negative: of a signal."""
        return self._ask({"wait": pids})

    def _ask(self, question: dict[str, Any]) -> list[int]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps(question), file=self._server.stdin, flush=True)
        answer: list[int] = json.loads(self._server.stdout.readline())
        return answer


@contextmanager
def serving(program: Path) -> Iterator[Ranks]:
    """Ranks that run this program, which calls `next_rank`."""
    with subprocess.Popen(
        [sys.executable, str(program)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        yield Ranks(server)
        assert server.stdin is not None
        server.stdin.close()


def next_rank() -> list[str]:
    """Serve. It returns in a rank, with its arguments, and nowhere else."""
    ends_with_me, held = os.pipe()
    for line in sys.stdin:
        asked = json.loads(line)
        answers = []
        for rank in asked.get("start", ()):
            pid = os.fork()
            if not pid:
                os.close(held)
                _become(rank, ends_with_me)
                arguments: list[str] = rank["arguments"]
                return arguments
            answers.append(pid)
        for pid in asked.get("wait", ()):
            answers.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        print(json.dumps(answers), flush=True)
    sys.exit()


def _become(rank: dict[str, Any], stdin: int) -> None:
    os.setsid()
    os.environ.update(rank["environment"])
    os.dup2(stdin, 0)
    sys.stdin = os.fdopen(0, closefd=False)
    for number, name in (1, "stdout"), (2, "stderr"):
        file = os.open(rank[name], os.O_WRONLY)
        os.dup2(file, number)
        os.close(file)
