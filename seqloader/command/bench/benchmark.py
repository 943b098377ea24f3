"""The measurements of one Sequence, taking turns: what the machine does meets all of them."""

from __future__ import annotations

import dataclasses
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from seqloader.command.bench.feeds import LoopCount, loop_feed, workers_feed
from seqloader.command.bench.figures import Facts, Figures, Round, Work
from seqloader.command.bench.measures import Pace, measure, warm_up
from seqloader.command.bench.stopwatch import Stopwatch
from seqloader.command.bench.verdict import judged_row
from seqloader.memory.cpus import usable_cpus
from seqloader.memory.headroom import available_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.command.bench.options import Settings

__all__ = ["Benchmark"]


class Benchmark:
    """One Sequence under measurement; what is there can be asked for at any time.

    Args:
        sequence: The user's.
        settings: What the command was asked for.
    """

    def __init__(self, sequence: Any, settings: Settings) -> None:
        self.rounds: dict[int | None, list[Round]] = {}
        self._sequence = sequence
        self._settings = settings
        self._found = LoopCount()
        self.cpus = usable_cpus()
        self.available_bytes = available_bytes()
        step_s = None if settings.step_ms is None else settings.step_ms / 1e3
        self._pace = Pace(settings.seconds, settings.batches, step_s, settings.touch)
        self._work: Work | None = None

    @property
    def measurements(self) -> int:
        """How many there will be."""
        return self._settings.rounds * (1 + len(self._settings.workers)) + 1

    def measure_all(self, show: Callable[[str], object]) -> None:
        """All rounds, then `__getitem__` alone where the verdict will be about it.

        Args:
            show: Called with a few words before each measurement.

        Raises:
            SequenceFault: The Sequence raised.
        """
        total = self._settings.rounds
        for number in range(1, total + 1):
            for workers in (None, *self._settings.workers):
                said = "plain loop" if workers is None else f"workers={workers}"
                show(f"round {number} of {total}: {said}")
                measured = self._measure(workers)
                self.rounds.setdefault(workers, []).append(measured)
        workers = judged_row(self.facts()).workers
        if workers:
            show("__getitem__ alone")
            self._work = self._probe(workers)

    def _measure(self, workers: int | None) -> Round:
        if workers is None:
            return measure(loop_feed(self._sequence, self._found), self._pace)
        with workers_feed(self._sequence, **self._options(workers)) as feed:
            return measure(feed, self._pace)

    def _options(self, workers: int) -> dict[str, Any]:
        window = {"max_queue_size": self._settings.queue}
        return {"workers": workers, **window, **self._settings.further_options}

    def _probe(self, workers: int) -> Work:
        threads = self._settings.executor == "thread"
        pace = dataclasses.replace(self._pace, step_s=None)
        with tempfile.TemporaryDirectory(prefix="seqloader-bench-") as folder:
            stopwatch = Stopwatch(self._sequence, Path(folder, "stopwatch"), threads=threads)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they have been issued about the Sequence itself
                with workers_feed(stopwatch, **self._options(workers)) as feed:
                    warm_up(feed, pace)
                    stopwatch.clear()
                    measured = measure(feed, pace)
            return Work.of(stopwatch.taken(), measured)

    def figures(self) -> list[Figures]:
        """What has been measured so far, the loop first."""
        return [Figures.of(workers, rounds) for workers, rounds in self.rounds.items()]

    def facts(self) -> Facts:
        """What a verdict may know; at least one round must be complete."""
        loop, *rows = self.figures()
        return Facts(
            loop,
            tuple(rows),
            cpus=self.cpus,
            executor=self._settings.executor,
            step_s=self._pace.step_s,
            batches_per_epoch=self._found.batches_per_epoch,
            available_bytes=self.available_bytes,
            machine_cpus=psutil.cpu_count() or 0,
            others=self._others(),
            work=self._work,
        )

    def _others(self) -> float:
        """CPUs that other programs kept busy in the timed stretches."""
        rounds = [measured for row in self.rounds.values() for measured in row]
        taken_s = sum(measured.machine_s - measured.cpu_s for measured in rounds)
        return max(0.0, taken_s / sum(measured.wall_s for measured in rounds))
