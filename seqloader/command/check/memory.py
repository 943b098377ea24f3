"""Does a worker grow from epoch to epoch? The same batches, round after round, in one process.

Memory settles first, so the first third counts for nothing. Of the rest, the slope is the median of
the slopes between any two points, which one jump cannot move; it must come to more than what memory
does by itself, be there in nearly every step, and not have faded towards the end.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from seqloader.command import words
from seqloader.command.check.batches import Seen
from seqloader.command.check.finding import Finding, Question, note, ok, problem
from seqloader.command.check.probe import Bench, Observed, Task
from seqloader.command.check.sent import Change
from seqloader.memory import available_bytes

__all__ = ["Growth", "weigh_rounds"]

NOISE_BYTES = 1_000_000  # what an allocator does by itself, and less is not told from it
MOSTLY = 0.7  # of the steps: those in which memory must have grown
FADED = 0.3  # of the slope of all: what the second half must still have
CACHE_BYTES = 32_000_000  # growth in the first rounds that is worth a word
FEWEST_ROUNDS, MOST_ROUNDS, MOST_CALLS = 4, 200, 4000
POINTS = 12  # how often the process is weighed, which takes milliseconds and collects garbage
BETWEEN_BYTES = 64_000_000  # of batches, between two looks: if each were kept, look more often
MOST_HELD_BYTES = 256_000_000  # of different batches: a cache of them all would become as large
MOST_GROWN_BYTES, MOST_GROWN_SHARE = 1e9, 0.25  # of what there is: needs no more watching
TRACED = 3  # following each allocation makes Python code so many times slower, about
TELLING = 0.1  # of the growth: what a line of code must hold, at least, to be named

Points = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Growth:
    """The private memory of one worker, after so and so many calls."""

    points: Points  # calls and bytes; the first is before any call
    rounds: int
    batches: int  # different ones in a round
    length: int | None
    batch_bytes: float = 0.0  # mean of the batches
    lines: tuple[tuple[str, int], ...] = ()  # where it was allocated if it grew, and bytes per call
    changed: tuple[Change, ...] = ()  # attributes that grew
    forked: bool = False
    question = Question.MEMORY

    @property
    def settled(self) -> Points:  # after the first third of the calls, three points at least
        points = self.points[1:]
        late = tuple(point for point in points if 3 * point[0] >= points[-1][0])
        return late if len(late) >= 3 else points

    @property
    def bytes_per_call(self) -> float:
        return _slope(self.settled)

    @property
    def noticeable_bytes(self) -> float:
        points = self.settled
        return NOISE_BYTES / max(1, points[-1][0] - points[0][0]) if points else float("inf")

    @property
    def first_bytes(self) -> int:
        """By how much it grew in the first two rounds, after which it may have settled."""
        return self.points[:3][-1][1] - self.points[0][1] if self.points else 0

    @property
    def grows(self) -> bool:
        """Whether it goes on growing, beyond what memory does by itself."""
        points, slope = self.settled, self.bytes_per_call
        if len(points) < 3 or slope < self.noticeable_bytes:
            return False
        steps = [later[1] - earlier[1] for earlier, later in itertools.pairwise(points)]
        if sum(step > 0 for step in steps) < MOSTLY * len(steps):
            return False
        second_half = points[len(points) // 2 - 1 :] if len(points) > 3 else points[1:]
        return _slope(second_half) >= FADED * slope

    def finding(self) -> Finding:
        rounds, batches = words.count(self.rounds, "round"), words.count(self.batches, "batch")
        which = f"{rounds} of {batches} in one worker"
        per_epoch = self.length or self.batches
        epoch = f"epoch of {words.count(per_epoch, 'batch')}"
        if self.grows:
            grown = self.bytes_per_call
            return problem(
                f"{which}: its own memory grew by {words.size(grown)} per batch to the end, which "
                f"is {words.size(grown * per_epoch)} per {epoch}{self._where()}",
                self._why(),
                "Bound what is kept (functools.lru_cache with a maxsize), or do not keep it",
            )
        early = self.first_bytes
        if early < max(CACHE_BYTES, 0.3 * self.batches * self.batch_bytes):
            drift = self.settled[-1][1] - self.settled[0][1] if self.settled else 0
            than = f"{words.size(abs(drift))} {'more' if drift > 0 else 'less'} than"
            return ok(
                f"{which}: at the end {than if drift else 'as much as'} when it had settled. Below "
                f"{words.size(self.noticeable_bytes * per_epoch)} per epoch could not be noticed"
            )
        seen = f"{which}: {words.size(early)} in the first rounds, then no more"
        if self.forked:
            return note(
                seen,
                "To look at a Python object is to write its reference count, and what is written "
                "to is no longer shared: pages of large lists and dicts are copied, in each worker",
                "Hold them as numpy arrays, which can be looked at without being written to",
            )
        whole = words.size(early * per_epoch / self.batches)
        return note(
            seen,
            "Either what __getitem__ imports and opens, or a cache of what it has computed: then "
            "it goes on until every batch was seen, in every worker",
            f"If it is a cache: a whole {epoch} would take about {whole} in each worker",
        )

    def _where(self) -> str:
        told = [f"{words.size(nbytes)} per batch of it at {place}" for place, nbytes in self.lines]
        for name, _, *sizes in self.changed[:3]:
            told.append(f"{name} grew from {' to '.join(map(words.size, sizes))}")
        return f". {'; '.join(told)}" if told else ""

    def _why(self) -> str:
        if self.changed:
            return "Something of every batch is kept there, until the worker is replaced"
        if self.lines:
            return "It is kept outside of the Sequence and its module: in a cache of another module"
        return "No Python code holds it: a library in C that leaks, or memory that is scattered"


def _slope(points: Points) -> float:
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in itertools.combinations(points, 2)
        if later[0] > earlier[0]
    ]
    return statistics.median(slopes) if slopes else 0.0


def weigh_rounds(
    bench: Bench,
    seen: Sequence[Seen],
    length: int | None,
    epochs: int,
    seconds: float,
    changed: Sequence[Change] = (),
) -> Growth | None:
    """Compute the batches `seen` again and again, `epochs` times at least; None: time is short."""
    mean_s = sum(each.took_s for each in seen) / len(seen) + 50e-6
    mean_bytes = sum(each.nbytes for each in seen) / len(seen) + 1
    least = max(FEWEST_ROUNDS, epochs)
    calls = min(MOST_CALLS, int(seconds / mean_s))
    most = max(1, min(calls // least, int(MOST_HELD_BYTES / mean_bytes)))
    indices = [each.index for each in seen][:most]
    rounds = min(MOST_ROUNDS, calls // len(indices))
    if rounds < least:
        return None
    every = min(rounds // POINTS, int(BETWEEN_BYTES / (mean_bytes * len(indices))))
    tasks, stride = _rounds(indices, rounds), max(1, every) * len(indices)
    for number in {*range(0, len(tasks), stride), len(tasks) - 1}:
        tasks[number] = tasks[number]._replace(weigh=True)
    most_bytes = min(MOST_GROWN_BYTES, MOST_GROWN_SHARE * (available_bytes() or 4e9))

    def enough(run: Observed) -> bool:
        first, latest = run.observations[0], run.observations[-1]
        return latest.task.weigh and latest.memory_bytes > first.memory_bytes + most_bytes

    run = bench.observe(tasks, 2 * seconds, enough=enough)
    observations = enumerate(run.observations)
    found = Growth(
        tuple((number, each.memory_bytes) for number, each in observations if each.task.weigh),
        rounds=len(run.observations) // len(indices),
        batches=len(indices),
        length=length,
        batch_bytes=mean_bytes,
        changed=tuple(change for change in changed if change.after > change.before >= 0),
        forked=bench.start_method == "fork",
    )
    if not found.grows:
        return found if found.rounds >= least else None
    traced = min(calls / TRACED, MOST_HELD_BYTES / found.bytes_per_call)
    stretch = _rounds(indices, max(1, min(rounds, int(traced / len(indices)))))
    stretch[0] = stretch[0]._replace(trace=True)
    stretch.append(stretch[-1]._replace(trace=True))
    traced_run = bench.observe(_rounds(indices, 1) + stretch, bench.timeout_s)
    lines = [line for each in traced_run.observations[-1:] for line in each.lines]
    per_call = [(place, nbytes // len(stretch)) for place, nbytes in lines]
    telling = TELLING * found.bytes_per_call
    return replace(found, lines=tuple(line for line in per_call if line[1] >= telling))


def _rounds(indices: list[int], rounds: int) -> list[Task]:
    return [Task(index, epoch, look=False) for epoch in range(rounds) for index in indices]
