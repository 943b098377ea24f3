"""A job of several runs of `train.py`: started, killed, started again; and what it read in all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["TrainingJob"]

PROGRAM = Path(__file__).with_name("train.py")
AHEAD = 1
"""So many steps further a run may be when the kill arrives: it is killed while it moves."""
LIMIT_S = 50


class TrainingJob:
    """Runs one after the other, each from what the one before had saved last."""

    def __init__(self, directory: Path, remainder: str) -> None:
        self.directory = directory
        self.remainder = remainder
        self.kept: list[tuple[int, int]] = []
        """Of each run: its ranks, and the steps that count, because what followed knows of them."""

    def run(self, ranks: int, kill_after: int | None = None) -> None:
        """Run to the end; or until the given step, then kill every rank with all it started."""
        number = len(self.kept)
        hold = None if kill_after is None else kill_after + AHEAD
        processes: list[subprocess.Popen[str]] = []
        try:
            for rank in range(ranks):
                processes.append(self._start(number, rank, ranks, hold))
            if kill_after is None:
                outputs = [process.communicate(timeout=LIMIT_S)[0] for process in processes]
                steps = sum(line.startswith("step ") for line in outputs[0].splitlines())
            else:
                assert _reached(processes[0], kill_after), self._errors(number)
        finally:
            _kill(processes)
        ended = 0 if kill_after is None else -signal.SIGKILL
        assert [p.returncode for p in processes] == [ended] * ranks, self._errors(number)
        if kill_after is not None:
            # Only what the last saved state knows of counts, in the run that saved it.
            saved = self.saved
            steps = saved["steps"] if saved is not None and saved["run"] == number else 0
        self.kept.append((ranks, steps))

    @property
    def saved(self) -> dict[str, Any] | None:
        """What `train.py` saved last."""
        path = self.directory / "state.json"
        return json.loads(path.read_text()) if path.exists() else None

    def batches(self, epoch: int, run: int | None = None) -> list[list[Any]]:
        """Every batch that counts, of all ranks in turn, step by step, run by run."""
        return [
            lines[step, rank]["samples"]
            for number in (range(len(self.kept)) if run is None else [run])
            for lines in [self._lines(number)]
            for step in range(self.kept[number][1])
            for rank in range(self.kept[number][0])
            if (step, rank) in lines and lines[step, rank]["epoch"] == epoch
        ]

    def batches_written(self, run: int) -> int:
        """How many batches a run took, those included that do not count."""
        return len(self._lines(run))

    def _start(self, run: int, rank: int, ranks: int, hold: int | None) -> subprocess.Popen[str]:
        arguments = [self.directory, run, self.remainder, *([] if hold is None else [hold])]
        environment = {
            "RANK": str(rank),
            "WORLD_SIZE": str(ranks),
            "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": "1",
        }
        with (self.directory / f"run-{run}-rank-{rank}.err").open("wb") as errors:
            return subprocess.Popen(
                [sys.executable, str(PROGRAM), *map(str, arguments)],
                env=os.environ | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # a group of its own is what a batch system kills
            )

    def _lines(self, run: int) -> dict[tuple[int, int], Any]:
        """What the ranks of a run wrote, by step and rank."""
        lines = {}
        for rank in range(self.kept[run][0]):
            text = (self.directory / f"run-{run}-rank-{rank}.jsonl").read_text()
            for line in map(json.loads, text.splitlines()):
                lines[line["step"], rank] = line
        return lines

    def _errors(self, run: int) -> str:
        paths = sorted(self.directory.glob(f"run-{run}-rank-*.err"))
        return "\n".join(f"{path.name}:\n{path.read_text()[-3000:]}" for path in paths)


def _reached(process: subprocess.Popen[str], step: int) -> bool:
    """Read what rank 0 prints until it says that the step is done; False if it ended before."""
    assert process.stdout is not None
    return any(line.strip() == f"step {step}" for line in process.stdout)


def _kill(processes: list[subprocess.Popen[str]]) -> None:
    """Kill the groups of those that still run. All are stopped first: a rank that saw another one
    end would fail by itself before it is killed."""
    running = [process for process in processes if process.poll() is None]
    for signum in (signal.SIGSTOP, signal.SIGKILL):
        for process in running:
            os.killpg(process.pid, signum)
    for process in processes:
        process.communicate()
