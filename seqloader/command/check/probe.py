"""Experiments in one worker: a probe stands in for the user's Sequence, and returns what it saw.

A probe is a list of tasks. Each computes one batch as a worker would, for an epoch and an index of
its own. What comes back is small and pickles, whatever the batches are. Deaths are answers, too.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from seqloader.command import words
from seqloader.command.check.leaves import Leaf, Part, as_array, leaves_of, parts_of
from seqloader.command.check.sent import Change, Print, changes, look_at
from seqloader.command.faults import fault_text, users_place
from seqloader.command.footprint import written_bytes
from seqloader.errors import WorkerLostError
from seqloader.executors import dumps
from seqloader.executors.computing import Computing
from seqloader.randomness.seeding import Seeding
from seqloader.tickets import Ticket

__all__ = ["Bench", "Failure", "Observation", "Observed", "Probe", "Task"]

MOST_KEPT_BYTES = 256_000_000  # a larger batch is not brought back whole, to be compared
MOST_DEATHS = 3  # each costs a process; after so many it is clear that batches kill
FRAMES = 8


class Task(NamedTuple):
    """One batch to compute, and what is wanted beside the time it takes."""

    index: int  # type: ignore[assignment]  # a field, where tuples have a method
    epoch: int = 0
    look: bool = True  # its leaves: telling them takes time
    keep: bool = False  # its parts, as they are
    weigh: bool = False  # the memory of the process before it
    compare_state: bool = False  # which attributes are not what they were at the beginning
    trace: bool = False  # lines that have allocated what is held since the first such task


@dataclass(frozen=True)
class Observation:
    """What one task came to."""

    task: Task
    took_s: float = 0.0
    none: bool = False  # whether the batch was None
    leaves: tuple[Leaf, ...] = ()
    error: str = ""  # type and text of what it raised
    traceback: str = ""
    unsent: str = ""  # why the batch cannot be sent to the consumer
    kept: tuple[Part, ...] = ()
    memory_bytes: int = 0
    changes: tuple[Change, ...] = ()
    lines: tuple[tuple[str, int], ...] = ()  # places in the code, and bytes


class Probe:
    """A Sequence of observations: what each of the tasks comes to, with the enqueuer's seed."""

    use_sequence_api = True

    def __init__(self, sequence: Any, tasks: list[Task], seed: int) -> None:
        self.sequence = sequence
        self.tasks = tasks
        self.seed = seed
        self._computing: Any = None
        self._before: dict[str, Print] = {}
        self._traced: Any = None

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, number: int) -> Observation:
        """What task `number` comes to."""
        if self._computing is None:  # once in each process
            seeding = Seeding(self.seed, True)
            self._computing = Computing(self.sequence, seeding, seeded=True, worker=True)
            watched = any(task.compare_state for task in self.tasks)
            self._before = self._look() if watched else {}
        task = self.tasks[number]
        memory_bytes = written_bytes() if task.weigh else 0
        if task.trace and self._traced is None:
            tracemalloc.start(FRAMES)
            self._traced = _snapshot()
        found = replace(self._compute(task), memory_bytes=memory_bytes)
        if task.compare_state:
            found = replace(found, changes=changes(self._before, self._look()))
        if task.trace:
            found = replace(found, lines=_grown_lines(self._traced))
        return found

    def _look(self) -> dict[str, Print]:
        # That generators move which are set for each batch is no change of state.
        return look_at(self.sequence, [held.target for held in self._computing.held])

    def _compute(self, task: Task) -> Observation:
        # As without shuffle: the position may be asked for, and is no other the second time.
        ticket = Ticket(task.epoch, task.index, task.index)
        begun_s = time.perf_counter()
        try:
            batch = self._computing.compute(ticket)
            took_s = time.perf_counter() - begun_s
            leaves = leaves_of(batch) if task.look else ()
        except BaseException as error:  # what is no Exception, too: it would be sent
            took_s = time.perf_counter() - begun_s
            said = f"{type(error).__name__}: {error}"
            return Observation(task, took_s, error=said, traceback=fault_text(error))
        if not task.look:
            return Observation(task, took_s)
        found = Observation(task, took_s, batch is None, leaves, unsent=_unsent(batch))
        if task.keep and sum(leaf.nbytes for leaf in found.leaves) <= MOST_KEPT_BYTES:
            return replace(found, kept=tuple((path, as_array(at)) for path, at in parts_of(batch)))
        return found


def _unsent(batch: Any) -> str:
    try:
        for path, part in parts_of(batch):
            dumps(part, name=f"batch{path}")
    except Exception as error:
        return str(error) or type(error).__name__
    return ""


def _snapshot() -> tracemalloc.Snapshot:
    gc.collect()
    return tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, __file__)])


def _grown_lines(before: tracemalloc.Snapshot) -> tuple[tuple[str, int], ...]:
    """The places that hold more than before, the largest first."""
    found: dict[str, int] = {}
    for grown in _snapshot().compare_to(before, "traceback"):
        place = users_place((frame.filename, frame.lineno) for frame in grown.traceback)
        if place is not None:
            found[place] = found.get(place, 0) + grown.size_diff
    rows = sorted(found.items(), key=lambda row: -row[1])[:3]
    return tuple((place, nbytes) for place, nbytes in rows if nbytes > 0)


@dataclass(frozen=True)
class Failure:
    """A batch that was not there: it raised, killed its worker, did not end or cannot be sent."""

    index: int
    epoch: int
    error: str
    traceback: str = ""


@dataclass
class Observed:
    """What came of a list of tasks."""

    observations: list[Observation] = field(default_factory=list)
    died: list[Failure] = field(default_factory=list)
    complete: bool = True  # whether time was enough for all tasks


@dataclass
class Bench:
    """How experiments are made with one Sequence."""

    sequence: Any  # in the state in which an epoch begins
    seed: int
    start_method: Literal["spawn", "fork"]  # "fork" where the Sequence cannot be pickled
    timeout_s: float  # for one batch

    def observe(
        self,
        tasks: list[Task],
        seconds: float,
        hash_seed: int = 1,
        enough: Callable[[Observed], bool] = lambda _: False,
    ) -> Observed:
        """Have a fresh process carry out tasks; what ends it is left out, in another fresh one.

        They are cut short so many seconds after the first answer, or where `enough` is seen.
        """
        from seqloader.enqueuer import OrderedEnqueuer  # not for a worker, which has the probe

        found, left, until_s = Observed(), list(tasks), 0.0
        while left and found.complete:
            enqueuer = OrderedEnqueuer(
                Probe(self.sequence, left, self.seed),
                workers=1,
                seed=self.seed,
                start_method=self.start_method,
                timeout_s=self.timeout_s,
                crash_retries=0,
                worker_env={"PYTHONHASHSEED": str(hash_seed)},  # not for a forked one
            )
            try:
                with warnings.catch_warnings(action="ignore"), enqueuer:
                    for observation in enqueuer:
                        found.observations.append(observation)
                        until_s = until_s or time.monotonic() + seconds
                        if time.monotonic() > until_s or enough(found):
                            found.complete = False
                            return found
                return found
            except WorkerLostError as lost:
                task, how = left[lost.position], words.ending(lost.exitcode)
                if lost.reason == "timeout":
                    how = f"it did not end within {self.timeout_s:.3g} s"
                found.died.append(Failure(task.index, task.epoch, how))
                bad = {failure.index for failure in found.died}
                left = [task for task in left[lost.position + 1 :] if task.index not in bad]
                found.complete = len(bad) < MOST_DEATHS
        return found
