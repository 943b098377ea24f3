"""Is a batch the same each time it is computed, and does computing it change anything?

Two runs of the same batches are compared: another process, another PYTHONHASHSEED, another order,
another second. Where they differ, further runs change one thing alone, beside one like the first:

    another process alone       differs: something is new each time
    another order               differs: what was computed before matters
    other hashes                differs: the order of a set of strings, or hash()
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from seqloader.command import words
from seqloader.command.check.finding import Finding, Question, Status, note, ok, problem, some
from seqloader.command.check.leaves import Difference, Leaf, differences
from seqloader.command.check.probe import Bench, Observed, Task
from seqloader.command.check.sent import Change

__all__ = ["Cause", "Determinism", "Mutation", "Split", "compare_runs", "first_run", "second_run"]

CONTEXT = "batch_context().rng, which depends on the enqueuer's seed, the epoch and the index"
DEPEND_ON = "Let a batch depend on its index, batch_context() and what hooks set"
SHOWN = 3
FIRST_HASHES, OTHER_HASHES = 1, 2
EPOCH_ONE_TASKS = 4  # batches computed for epoch 1 as well, by a ticket alone: no hook has run
REPEATED = 8  # batches that the second run computes twice
RUNS, START_S = 6, 0.3  # further runs, about; and what a fresh process takes until it computes
KEPT, MOST_LEAVES = 2, 5  # differing batches brought back whole; leaves of one that are told


class Cause(StrEnum):
    """Why two computations of a batch differ, as far as experiments tell."""

    NONE = "none"
    SOURCE = "source"  # two processes that did the very same differ: something is new each time
    HASHES = "hashes"  # they differ with PYTHONHASHSEED alone
    HISTORY = "history"  # they differ with what was computed before in the same process
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Split:
    """A batch, two computations of which differ."""

    index: int
    epoch: int


@dataclass(frozen=True)
class Determinism:
    """The same batches, computed again in another process, in another order."""

    compared: int  # different batches that were computed at least twice
    computed: int  # how often in all
    differing: tuple[Split, ...] = ()
    leaves: tuple[Difference, ...] = ()  # of the first of them
    cause: Cause = Cause.NONE
    changed: tuple[Change, ...] = ()  # attributes that `__getitem__` changes
    tried_hashes: bool = True  # whether with another PYTHONHASHSEED; forked workers cannot have one
    in_time: bool = True  # whether there was time for all experiments
    question = Question.DETERMINISM

    def finding(self) -> Finding:
        how = "in another process, another order and another second"
        if self.tried_hashes:
            how += ", with another PYTHONHASHSEED"
        if not self.compared:
            seen = "no batch could be computed twice in the time"
            return Finding(Status.UNTRIED, seen, advice="Give it more time (--budget-seconds)")
        batches = words.count(self.compared, "batch")
        if self.differing:
            count = len({split.index for split in self.differing})
            seen = f"{count} of {batches} differ when computed again {how}: {self._which()}"
            return problem(f"{seen}{self._where()}", *self._why())
        seen = f"{batches} computed {self.computed} times, {how}: all the same"
        if not self.tried_hashes:
            seen += ". (The order of sets was not tried: forked workers have the hashes they have)"
        return ok(seen)

    def _which(self) -> str:
        """`0, 7, 39 and 37 more`; the epoch is named where it is not the first."""
        epochs: dict[int, int] = {}
        for split in sorted(self.differing, key=lambda split: (split.epoch, split.index)):
            epochs.setdefault(split.index, split.epoch)
        return some([f"{i} of epoch {epoch}" if epoch else str(i) for i, epoch in epochs.items()])

    def _where(self) -> str:
        told = []
        for leaf in self.leaves[:SHOWN]:
            share = f" in {leaf.elements} of {leaf.of} elements" if leaf.elements >= 0 else ""
            told.append(f"batch{leaf.path} ({leaf.kind}){share}")
        return f". Different: {'; '.join(told)}" if told else ""

    def _why(self) -> tuple[str, str]:
        if self.cause is Cause.SOURCE:
            return (
                "Two processes that did the very same differ, too: something is new in each. "
                "Mostly random numbers without a seed (numpy.random.default_rng(), "
                "random.Random(), secrets, uuid), or the time; else ids, addresses, threads, or "
                "memory that was never written",
                f"For random numbers, use {CONTEXT}. Do not let a batch depend on the time: what "
                "must be known of it belongs into the training loop",
            )
        if self.cause is Cause.HASHES:
            return (
                "The order of a set of strings, or hash(), which follows PYTHONHASHSEED",
                "Sort what comes out of a set (sorted(...)), or use a dict or a list, which keep "
                "their order; hashlib instead of hash()",
            )
        if self.cause is Cause.HISTORY:
            return self._history()
        if not self.in_time:
            return (
                "There was no time to find out (--budget-seconds)",
                "Look for random numbers without a seed, the time, the order of sets, and state "
                "that __getitem__ changes",
            )
        return (
            "None of the usual causes explains it: with only the process, the order or the hashes "
            "changed, they agree. Perhaps memory never written (numpy.empty), threads, or a file",
            "Compute one such batch twice by enqueuer.compute(index), and compare step by step",
        )

    def _history(self) -> tuple[str, str]:
        generators = [each.name for each in self.changed if each.kind == "random generator"]
        before = "A batch depends on what the same process computed before"
        if generators:
            return (
                f"There is a random generator that outlives a batch, {' and '.join(generators)}: "
                "numbers depend on how many batches the same worker computed before",
                f"Use {CONTEXT}",
            )
        if self.changed:
            return (
                f"{before}: __getitem__ changes {_names(self.changed)}, and each worker has a copy",
                f"{DEPEND_ON}. An array that is changed in place must be copied first",
            )
        return (
            f"{before}, though no attribute of the Sequence or its class has changed, and no "
            "global of its module: another module keeps something, or a library draws numbers",
            f"{DEPEND_ON}; draw from {CONTEXT}",
        )


@dataclass(frozen=True)
class Mutation:
    """The attributes before the first batch of a worker, and after its last."""

    batches: int
    changed: tuple[Change, ...] = ()
    matters: bool = False  # whether what a batch is depends on which were computed before
    differs: bool = False  # whether batches differ at all, for whatever reason
    question = Question.MUTATION

    def finding(self) -> Finding:
        if not self.changed:
            return ok(f"no attribute changed in {words.count(self.batches, 'batch')}")
        seen = f"__getitem__ changes {_names(self.changed)}"
        lost = "What a worker changes stays in that worker, and is lost when it is replaced"
        if self.matters:
            return problem(
                f"{seen}, and batches depend on it",
                f"{lost}, or when the Sequence is sent anew",
                "Change state in on_epoch_begin and on_epoch_end, which run in the training "
                "process and reach every worker",
            )
        if self.differs:
            seen += "; whether batches depend on it cannot be told, since they differ anyhow"
            return note(seen, lost, "Mend what makes batches differ, and check again")
        return note(
            f"{seen}; batches are the same nevertheless",
            f"A cache, or something opened when first used: each worker has one of its own. {lost}",
            "Nothing, if that is what it is. What training is to see must be in the batch",
        )


def _names(changed: Sequence[Change]) -> str:
    told = []
    for name, kind, before, after in changed:
        grown = before != after and before >= 0 and after >= 0
        sizes = f", {words.size(before)} to {words.size(after)}" if grown else ""
        told.append(f"{name} ({kind}{sizes})")
    return some(told)


def first_run(bench: Bench, indices: Sequence[int], seconds: float) -> tuple[list[Task], Observed]:
    """Each batch once, some of them for epoch 1, too; the tasks of batches that never failed."""
    tasks = [*map(Task, indices), *(Task(index, epoch=1) for index in indices[:EPOCH_ONE_TASKS])]
    run = bench.observe(_comparing_state(tasks), seconds, FIRST_HASHES)
    bad = {each.index for each in run.died}
    bad |= {each.task.index for each in run.observations if each.error or each.unsent}
    done = {each.task[:2] for each in run.observations}
    return [task for task in tasks if task.index not in bad and task[:2] in done], run


def second_run(bench: Bench, tasks: list[Task], seconds: float) -> Observed:
    """The same the other way round, some of them once more, in another second."""
    time.sleep(1.0 - time.time() % 1.0)  # the clock shows another, which a batch may contain
    return bench.observe(_comparing_state(_back(tasks)), seconds, OTHER_HASHES)


def _back(tasks: list[Task]) -> list[Task]:
    return [*reversed(tasks), *tasks[: -REPEATED - 1 : -1]]


def _comparing_state(tasks: list[Task]) -> list[Task]:
    return [*tasks[:-1], tasks[-1]._replace(compare_state=True)]


def compare_runs(
    bench: Bench, tasks: list[Task], first: Observed, second: Observed, seconds: float
) -> Determinism:
    """Compare the two runs of `tasks`, and experiment for about `seconds` where they differ."""
    one, other = _answers(first), _answers(second)
    both, differing = one.keys() & other.keys(), _differing(one, other)
    observations = [*first.observations, *second.observations]
    known = {change.name: change for each in observations for change in each.changes}
    found = Determinism(
        compared=len({index for index, _ in both}),
        computed=sum(each.task[:2] in both for each in observations if not each.error),
        differing=tuple(Split(*key) for key in differing),
        cause=Cause.UNKNOWN if differing else Cause.NONE,
        changed=tuple(known.values()),
        tried_hashes=bench.start_method == "spawn",
    )
    if not differing:
        return found
    # All tasks, or those that tell most in the time there is.
    took_s = sum(each.took_s for each in observations) / len(observations)
    most = max(2, int((seconds / RUNS - START_S) / (1.5 * took_s + 1e-6)))
    telling = set(sorted(tasks, key=lambda task: task[:2] not in differing)[:most])
    whole, few = differing[:KEPT], [task for task in tasks if task in telling]
    few = [task._replace(keep=task[:2] in whole) for task in few]
    try:
        for cause, leaves in _experiments(bench, few, time.monotonic() + seconds):
            found = replace(found, cause=cause, leaves=leaves)
    except _OutOfTime:
        found = replace(found, in_time=False)
    return found


class _OutOfTime(Exception):
    """A run was cut short: what it agrees with tells nothing."""


def _experiments(
    bench: Bench, tasks: list[Task], until_s: float
) -> Iterator[tuple[Cause, tuple[Difference, ...]]]:
    """Cause and differing leaves, as far as known, as soon as something more is known."""

    def observe(tasks: list[Task], hash_seed: int) -> Observed:
        run = bench.observe(tasks, until_s - time.monotonic(), hash_seed)
        if not run.complete and len(run.observations) < len(tasks):
            raise _OutOfTime
        return run

    like_first = observe(tasks, FIRST_HASHES)
    leaves = _differing_leaves(like_first, observe(_back(tasks), OTHER_HASHES))
    yield Cause.UNKNOWN, leaves
    time.sleep(1.0 - time.time() % 1.0)
    for cause, again, hash_seed in (
        (Cause.SOURCE, tasks, FIRST_HASHES),
        (Cause.HISTORY, _back(tasks), FIRST_HASHES),
        (Cause.HASHES, tasks, OTHER_HASHES),
    ):
        if cause is Cause.HASHES and bench.start_method == "fork":
            return  # which has the hashes it has
        run = observe(again, hash_seed)
        if _differing(_answers(like_first), _answers(run)):
            yield cause, leaves or _differing_leaves(like_first, run)
            return


def _differing_leaves(one: Observed, other: Observed) -> tuple[Difference, ...]:
    for first in one.observations:
        for second in other.observations:
            if first.kept and second.kept and first.task == second.task:
                found = differences(first.kept, second.kept)
                if found:
                    return found[:MOST_LEAVES]
    return ()


Answers = dict[tuple[int, int], set[tuple[Leaf, ...]]]  # all that was seen, by index and epoch


def _answers(run: Observed) -> Answers:
    found: Answers = {}
    for each in run.observations:
        if not each.error:
            found.setdefault(each.task[:2], set()).add(tuple(sorted(each.leaves)))
    return found


def _differing(one: Answers, other: Answers) -> list[tuple[int, int]]:
    """Batches of both, of which not all computations are the same."""
    return [key for key in one if key in other and len(one[key] | other[key]) > 1]
