"""Is a batch the same each time it is computed? And if not: which experiments agree?

Two runs of the same batches are compared: another process, another PYTHONHASHSEED, another order,
another second. Where they differ, one thing after the other is made equal again:

    same order, same hashes         still differs: it asks for something that is new each time
       ... and everything held still      agrees: one of the things that were asked
    same hashes, other order        differs: what was computed before matters
    same order, other hashes        differs: the order of a set of strings, or hash()
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from seqloader.command.check.facts import Cause, Determinism, Source, Split
from seqloader.command.check.leaves import difference
from seqloader.command.check.probe import Task
from seqloader.command.check.sources import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seqloader.command.check.leaves import Difference, Leaf
    from seqloader.command.check.observing import Bench, Observed

__all__ = ["FIRST_HASHES", "compare_runs", "first_tasks", "second_tasks"]

FIRST_HASHES, OTHER_HASHES = 1, 2
EPOCH_ONE_TASKS = 4
"""Batches that are computed for epoch 1 as well, by a ticket alone: no hook has run."""
REPEATED = 8
"""Batches that the second run computes twice."""
RUNS = 8
"""Further runs, about."""
START_S = 0.3
"""What a fresh process takes until it computes, about."""
KEPT = 2
"""Differing batches that are brought back whole."""
MOST_SOURCES = 5
"""Sources that are let go alone, one after the other."""
SHOWN_LEAVES = 5

Answers = dict[Split, list[tuple["Leaf", ...]]]
"""All that was seen of a batch, in one run."""


def first_tasks(indices: Sequence[int]) -> list[Task]:
    """Each batch once; some of them for epoch 1, too; at the end, what changed."""
    tasks = [Task(index) for index in indices]
    tasks += [Task(index, epoch=1) for index in indices[:EPOCH_ONE_TASKS]]
    return _with_state(tasks)


def second_tasks(first: list[Task]) -> list[Task]:
    """The same the other way round, and some of them once more."""
    tasks = [task._replace(compare_state=False) for task in reversed(first)]
    return _with_state(tasks + tasks[:REPEATED])


def _with_state(tasks: list[Task]) -> list[Task]:
    return [*tasks[:-1], tasks[-1]._replace(compare_state=True)]


def compare_runs(
    bench: Bench, tasks: list[Task], first: Observed, second: Observed, until_s: float
) -> Determinism:
    """Compare the two runs, and experiment where they differ.

    Args:
        bench: Makes further runs.
        tasks: Those of the first run, without those that raised or killed.
        first: With `FIRST_HASHES`.
        second: With other hashes, in the order of `second_tasks`.
        until_s: Monotonic time at which experiments end.
    """
    one, other = _answers(first), _answers(second)
    both = [split for split in one if split in other]
    differing = [split for split in both if len({*one[split], *other[split]}) > 1]
    changed = {
        change.name: change
        for run in (first, second)
        for observation in run.observations
        for change in observation.changes
    }
    found = Determinism(
        compared=len({split.index for split in both}),
        computed=sum(len(each[split]) for each in (one, other) for split in both),
        changed=tuple(changed.values()),
        tried_hashes=bench.start_method == "spawn",
    )
    if not differing:
        return found
    few = _affordable(tasks, first, differing, until_s)
    tries = _Tries(bench, few, differing, until_s)
    leaves: tuple[Difference, ...] = ()
    sources: tuple[Source, ...] = ()
    cause, in_time = Cause.UNKNOWN, True
    try:
        leaves = tries.differing_leaves()
        cause, sources = tries.cause(one if few == tasks else None)
    except _OutOfTime:
        in_time = False
    return replace(
        found,
        differing=tuple(differing),
        leaves=leaves,
        cause=cause,
        sources=sources,
        in_time=in_time,
    )


def _affordable(
    tasks: list[Task], first: Observed, differing: list[Split], until_s: float
) -> list[Task]:
    """The tasks that further runs repeat: all, or as many as there is time for."""
    took_s = sum(each.took_s for each in first.observations) / len(first.observations)
    run_s = (until_s - time.monotonic()) / RUNS - START_S
    most = max(2, int(run_s / (1.5 * took_s + 1e-6)))
    if most >= len(tasks):
        return tasks
    telling = [task for task in tasks if Split(task.index, task.epoch) in differing][:most]
    others = [task for task in tasks if task not in telling][: most - len(telling)]
    return [task for task in tasks if task in telling or task in others]


class _OutOfTime(Exception):
    """A run was cut short: what it agrees with tells nothing."""


def _answers(run: Observed) -> Answers:
    found: Answers = {}
    for each in run.observations:
        if not each.error:
            split = Split(each.task.index, each.task.epoch)
            found.setdefault(split, []).append(tuple(sorted(each.leaves)))
    return found


@dataclass
class _Tries:
    """Further runs, each of which makes one thing equal again."""

    bench: Bench
    tasks: list[Task]
    differing: list[Split]
    until_s: float

    def differing_leaves(self) -> tuple[Difference, ...]:
        """Of the first differing batches, compared element by element."""
        wanted = {*self.differing[:KEPT]}
        ahead = [self._keep(task, wanted) for task in self.tasks]
        back = [self._keep(task, wanted) for task in second_tasks(self.tasks)]
        one = self._kept(self._run(ahead))
        other = self._kept(self._run(back, OTHER_HASHES))
        for split in self.differing[:KEPT]:
            for again in other.get(split, []):
                found = _differences(one.get(split, [])[:1], again)
                if found:
                    return found[:SHOWN_LEAVES]
        return ()

    def cause(self, one: Answers | None) -> tuple[Cause, tuple[Source, ...]]:
        """What the differences come from, as far as time and experiments tell.

        `one`: what a run of these very tasks has answered, if there was one.
        """
        if one is None:
            one = _answers(self._run(self.tasks))
        if self._differs(one, self._run(self.tasks)):
            return self._source()
        if self._differs(one, self._run(second_tasks(self.tasks))):
            return Cause.HISTORY, ()
        if self.bench.start_method == "spawn" and self._differs(
            one, self._run(self.tasks, OTHER_HASHES)
        ):
            return Cause.HASHES, ()
        return Cause.UNKNOWN, ()

    def _source(self) -> tuple[Cause, tuple[Source, ...]]:
        quiet, places = self._agree(EVERYTHING)
        asked = tuple(Source(name, place) for name, place in places.items())
        if not quiet:
            return Cause.UNKNOWN, asked
        candidates = [each for each in asked if each.name in EVERYTHING]
        if len(candidates) > 1:
            guilty = [each for each in candidates[:MOST_SOURCES] if self._matters(each)]
            return Cause.SOURCE, tuple(guilty or candidates)
        return (Cause.SOURCE if candidates else Cause.UNKNOWN), asked

    def _matters(self, source: Source) -> bool:
        """Whether computations differ when all but this one are held still."""
        try:
            return not self._agree(EVERYTHING - {source.name})[0]
        except _OutOfTime:
            return False

    def _agree(self, still: frozenset[str]) -> tuple[bool, dict[str, str]]:
        """Whether two processes agree with these held still; and what was asked."""
        runs = [self._run(self.tasks, still=still) for _ in range(2)]
        places: dict[str, str] = {}
        for run in runs:
            for observation in run.observations[-1:]:
                places |= observation.sources
        return not self._differs(_answers(runs[0]), runs[1]), places

    def _run(
        self, tasks: list[Task], hash_seed: int = FIRST_HASHES, still: frozenset[str] | None = None
    ) -> Observed:
        run = self.bench.observe(tasks, hash_seed=hash_seed, still=still, until_s=self.until_s)
        if not run.complete and len(run.observations) < len(tasks):
            raise _OutOfTime
        return run

    def _differs(self, one: Answers, run: Observed) -> bool:
        other = _answers(run)
        return any(len({*one[split], *other[split]}) > 1 for split in one if split in other)

    def _keep(self, task: Task, wanted: set[Split]) -> Task:
        return task._replace(keep=Split(task.index, task.epoch) in wanted, compare_state=False)

    def _kept(self, run: Observed) -> dict[Split, list[tuple[tuple[str, object], ...]]]:
        found: dict[Split, list[tuple[tuple[str, object], ...]]] = {}
        for each in run.observations:
            if each.kept:
                found.setdefault(Split(each.task.index, each.task.epoch), []).append(each.kept)
        return found


def _differences(
    ones: Iterable[tuple[tuple[str, object], ...]], other: tuple[tuple[str, object], ...]
) -> tuple[Difference, ...]:
    found = []
    for one in ones:
        parts = dict(other)
        for path, part in one:
            differs = difference(path, part, parts.get(path))
            if differs is not None:
                found.append(differs)
    return tuple(found)
