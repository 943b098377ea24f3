"""Tasks given to one worker process, and what it saw; deaths and hangs are answers, too."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from seqloader.command.check.facts import Failure
from seqloader.command.check.probe import Probe
from seqloader.enqueuer import OrderedEnqueuer
from seqloader.errors import WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.command.check.probe import Observation, Task

__all__ = ["Bench", "Observed"]

MOST_DEATHS = 3
"""Each costs a new process; after so many it is clear that batches kill."""


@dataclass
class Observed:
    """What came of a list of tasks."""

    observations: list[Observation] = field(default_factory=list)
    died: list[Failure] = field(default_factory=list)
    complete: bool = True
    """Whether time was enough for all tasks."""


@dataclass
class Bench:
    """How experiments are made with one Sequence.

    Args:
        sequence: The user's, in the state in which an epoch begins.
        seed: The enqueuer's.
        start_method: "spawn"; "fork" where the Sequence cannot be pickled.
        timeout_s: How long one batch may take.
    """

    sequence: Any
    seed: int
    start_method: str
    timeout_s: float

    def observe(
        self,
        tasks: list[Task],
        *,
        hash_seed: int = 1,
        still: frozenset[str] | None = None,
        watch_state: bool = False,
        until_s: float | None = None,
        enough: Callable[[Observation], bool] = lambda _: False,
    ) -> Observed:
        """Have a fresh worker compute the tasks in order, until the monotonic time `until_s`, or
        until one of them is `enough`.

        The batches of an index that killed a worker, or did not end in time, are left out from
        then on; the others go on in another worker.
        """
        found = Observed()
        left = list(tasks)
        while left and found.complete:
            probe = Probe(self.sequence, left, self.seed, still=still, watch_state=watch_state)
            lost = self._run(probe, found, hash_seed, until_s, enough)
            if lost is None:
                break
            task = left[lost.position]
            found.died.append(Failure(task.index, task.epoch, self._how(lost)))
            bad = {failure.index for failure in found.died}
            left = [task for task in left[lost.position + 1 :] if task.index not in bad]
            found.complete = len(bad) < MOST_DEATHS
        return found

    def _run(
        self,
        probe: Probe,
        found: Observed,
        hash_seed: int,
        until_s: float | None,
        enough: Callable[[Observation], bool],
    ) -> WorkerLostError | None:
        """Take observations until all are there, time is up or the worker is gone."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            enqueuer = OrderedEnqueuer(
                probe,
                workers=1,
                seed=self.seed,
                start_method=self.start_method,
                timeout_s=self.timeout_s,
                crash_retries=0,
                worker_env={"PYTHONHASHSEED": str(hash_seed)},
            )
            try:
                for observation in enqueuer:
                    found.observations.append(observation)
                    late = until_s is not None and time.monotonic() > until_s
                    if late or enough(observation):
                        found.complete = False
                        break
            except WorkerLostError as lost:
                return lost
            finally:
                enqueuer.stop()
        return None

    def _how(self, lost: WorkerLostError) -> str:
        """How the worker ended, in words."""
        if lost.reason == "timeout":
            return f"it did not end within {self.timeout_s:.3g} s"
        if lost.signal is not None:
            return f"its process died by {lost.signal.name}"
        if lost.exitcode is not None:
            return f"its process ended with exit status {lost.exitcode}"
        return "its process ended"
