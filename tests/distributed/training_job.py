"""A job of several runs of `train.py`: started, killed, started again; and what it read in all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from numbered_samples import numbers
from ranks import Ranks

__all__ = ["PROGRAM", "TrainingJob"]

PROGRAM = Path(__file__).with_name("train.py")
AHEAD = 1
"""So many steps further a run may be when the kill arrives: it is killed while it moves. It saves
every third step: which one it has saved is certain only if that is not among these."""


class TrainingJob:
    """Runs one after the other, each from what the one before had saved last.

    Args:
        environment: Of each rank, beside its own.
    """

    def __init__(
        self,
        ranks: Ranks,
        directory: Path,
        remainder: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.ranks = ranks
        self.directory = directory
        self.remainder = remainder
        self.environment = dict(environment or {})
        self.kept: list[tuple[int, int]] = []
        """Of each run: its ranks, and the steps that count, because what followed knows of them."""

    def run(
        self,
        ranks: int,
        kill_after: int | None = None,
        before_kill: Callable[[], object] = lambda: None,
    ) -> None:
        """Run to the end; or until the given step, then kill every rank with all it started."""
        number = len(self.kept)
        hold = None if kill_after is None else kill_after + AHEAD
        said = self.directory / f"run-{number}"
        os.mkfifo(said)
        pids = self.ranks.start([self._rank(number, rank, ranks, hold) for rank in range(ranks)])
        try:
            with said.open() as lines:  # of rank 0
                if kill_after is None:
                    steps = sum(line.startswith("step ") for line in lines)
                else:
                    assert _reached(lines, kill_after), self._errors(number)
                    before_kill()
                    _kill(pids)
        except BaseException:
            _kill(pids)
            raise
        finally:
            ends = self.ranks.wait(pids)
        ended = 0 if kill_after is None else -signal.SIGKILL
        assert ends == [ended] * ranks, self._errors(number)
        if kill_after is not None:
            # Only what the last saved state knows of counts, in the run that saved it.
            saved = self.saved
            steps = saved["steps"] if saved is not None and saved["run"] == number else 0
        self.kept.append((ranks, steps))

    def check_each_sample_once(self, epochs: list[list[list[Any]]]) -> None:
        """Assert that what counts is each sample of each epoch once: in this order, with these
        draws, in these batches."""
        for epoch, expected in enumerate(epochs):
            assert sorted(numbers(self.batches(epoch))) == sorted(numbers(expected))
            assert self.batches(epoch) == expected

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

    def _rank(self, run: int, rank: int, ranks: int, hold: int | None) -> dict[str, Any]:
        errors = self.directory / f"run-{run}-rank-{rank}.err"
        errors.touch()
        arguments = [self.directory, run, self.remainder, *([] if hold is None else [hold])]
        return {
            "arguments": [str(argument) for argument in arguments],
            "environment": {
                **self.environment,
                "RANK": str(rank),
                "WORLD_SIZE": str(ranks),
                "GLOO_SOCKET_IFNAME": "lo",
            },
            "stdout": os.devnull if rank else str(self.directory / f"run-{run}"),
            "stderr": str(errors),
        }

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


def _reached(lines: Iterable[str], step: int) -> bool:
    """Read what rank 0 prints until it says that the step is done; False if it ended before."""
    return any(line.strip() == f"step {step}" for line in lines)


def _kill(pids: list[int]) -> None:
    """Kill the groups of those that still run. All are stopped first: a rank that saw another one
    end would fail by itself before it is killed."""
    for signum in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signum)
