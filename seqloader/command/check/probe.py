"""Stands in for the user's Sequence in a worker, and returns what it saw instead of batches.

A probe is a list of tasks. Each computes one batch as a worker would, for an epoch and an index of
its own, so that the same batch can be computed twice, late or early, in one process or another.
What comes back is small and pickles, whatever the user's batches are.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from seqloader.command.check.leaves import Leaf, leaves_of, parts_of
from seqloader.command.faults import fault_text
from seqloader.computing import Computing
from seqloader.randomness import Seeding
from seqloader.tickets import Ticket

if TYPE_CHECKING:
    from seqloader.command.check.attributes import Change, Print
    from seqloader.command.check.sources import Sources

__all__ = ["Observation", "Probe", "Task"]

MOST_KEPT_BYTES = 256_000_000
"""A larger batch is not brought back whole, to be compared element by element."""
FRAMES = 8


class Task(NamedTuple):
    """One batch to compute."""

    index: int  # type: ignore[assignment]  # a field, where tuples have a method
    epoch: int = 0
    look: bool = True
    """Whether its leaves are wanted: telling them takes time."""
    keep: bool = False
    """Whether its parts are wanted as they are."""
    weigh: bool = False
    """Whether the memory of the process is wanted after it; of the first task, before it, too."""
    compare_state: bool = False
    """Whether to tell which attributes are not what they were at the beginning."""
    trace: str = ""
    """"begin" or "end" of a stretch in which allocations are followed to their lines."""


@dataclass(frozen=True)
class Observation:
    """What one task came to."""

    task: Task
    took_s: float = 0.0
    none: bool = False
    """Whether the batch was None."""
    leaves: tuple[Leaf, ...] = ()
    error: str = ""
    """Type and text of what it raised; empty where it did not."""
    traceback: str = ""
    kept: tuple[tuple[str, Any], ...] = ()
    memory_bytes: int = 0
    memory_before_bytes: int = 0
    changes: tuple[Change, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    """What was asked so far that is another thing each time, and where."""
    lines: tuple[tuple[str, int], ...] = ()
    """Places in the code, with the bytes that were allocated there and are still held."""


class Probe:
    """A Sequence of observations.

    Args:
        sequence: The user's.
        tasks: What to compute, in order.
        seed: As the enqueuer would be given.
        still: Names of sources to hold still; None: nothing is wrapped.
        watch_state: Whether a task may ask what changed in the attributes.
    """

    use_sequence_api = True

    def __init__(
        self,
        sequence: Any,
        tasks: list[Task],
        seed: int,
        *,
        still: frozenset[str] | None = None,
        watch_state: bool = False,
    ) -> None:
        self.sequence = sequence
        self.tasks = tasks
        self.seed = seed
        self.still = still
        self.watch_state = watch_state
        self._begun = False
        self._computing: Computing | None = None
        self._sources: Sources | None = None
        self._before: dict[str, Print] = {}
        self._traced: Any = None

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, number: int) -> Observation:
        """What task `number` comes to."""
        if not self._begun:
            self._begin()
        task = self.tasks[number]
        if task.trace == "begin":
            self._traced = _snapshot()
        before = _private_bytes() if task.weigh and not number else 0
        found = self._compute(task)
        lines = _grown_lines(self._traced) if task.trace == "end" else ()
        return Observation(
            task,
            memory_bytes=_private_bytes() if task.weigh else 0,
            memory_before_bytes=before,
            changes=self._changes() if task.compare_state else (),
            sources={} if self._sources is None else dict(self._sources.calls),
            lines=lines,
            **found,
        )

    def _begin(self) -> None:
        """Once in each process."""
        self._begun = True
        self._computing = Computing(
            self.sequence, Seeding(self.seed, True), seeded=True, worker=True
        )
        if self.watch_state:
            from seqloader.command.check.attributes import lasting_values, prints_of

            self._before = prints_of(lasting_values(self.sequence), self._set_for_each())
        if self.still is not None:
            from seqloader.command.check.sources import Sources

            self._sources = Sources(self.still)
            self._sources.install()
        if any(task.trace for task in self.tasks):
            import tracemalloc

            tracemalloc.start(FRAMES)

    def _set_for_each(self) -> list[Any]:
        """Generators that are set for each batch: that they move is no change of state."""
        return [] if self._computing is None else [one.target for one in self._computing.held]

    def _compute(self, task: Task) -> dict[str, Any]:
        # As without shuffle: the position may be asked for, and is no other the second time.
        ticket = Ticket(task.epoch, task.index, task.index)
        sources = self._sources
        assert self._computing is not None
        begun_s = _now()
        try:
            if sources is not None:
                sources.watching = True
            batch = self._computing.compute(ticket)
            took_s = _now() - begun_s
        except BaseException as error:
            # Also what is no Exception: the worker would send it to the consumer.
            return {
                "took_s": _now() - begun_s,
                "error": f"{type(error).__name__}: {error}",
                "traceback": fault_text(error),
            }
        finally:
            if sources is not None:
                sources.watching = False
        leaves = leaves_of(batch) if task.look else ()
        kept: tuple[tuple[str, Any], ...] = ()
        if task.keep and sum(leaf.nbytes for leaf in leaves) <= MOST_KEPT_BYTES:
            kept = tuple(parts_of(batch))
        return {"took_s": took_s, "none": batch is None, "leaves": leaves, "kept": kept}

    def _changes(self) -> tuple[Change, ...]:
        from seqloader.command.check.attributes import changes, lasting_values, prints_of

        values = lasting_values(self.sequence)
        return changes(self._before, prints_of(values, self._set_for_each()), values)


_now = time.perf_counter
"""Kept, because experiments put something else in its place."""


# --- memory ---------------------------------------------------------------------------------


def _private_bytes() -> int:
    """Memory that this process alone has written, without what it could give back at once."""
    import ctypes
    import gc

    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    try:
        with open("/proc/self/smaps_rollup", encoding="ascii") as file:
            rows = [line.split() for line in file][1:]
    except OSError:
        import psutil

        return int(psutil.Process().memory_full_info().uss)
    sizes = {row[0]: int(row[1]) * 1024 for row in rows}
    # Clean pages are those of files: a memmap that is read brings more of them, at no cost.
    return sizes.get("Private_Dirty:", 0) + sizes.get("Swap:", 0)


def _snapshot() -> Any:
    import gc
    import tracemalloc

    gc.collect()
    ours = [
        tracemalloc.Filter(False, f"*/seqloader/command/check/{name}.py") for name in ("probe",)
    ]
    return tracemalloc.take_snapshot().filter_traces(ours)


def _grown_lines(before: Any) -> tuple[tuple[str, int], ...]:
    """The places that hold more than before, the largest first."""
    from seqloader.command.check.places import users_place

    found: dict[str, int] = {}
    for grown in _snapshot().compare_to(before, "traceback"):
        place = users_place((frame.filename, frame.lineno) for frame in reversed(grown.traceback))
        if place is not None:
            found[place] = found.get(place, 0) + grown.size_diff
    rows = sorted(found.items(), key=lambda row: -row[1])[:3]
    return tuple((place, nbytes) for place, nbytes in rows if nbytes > 0)
