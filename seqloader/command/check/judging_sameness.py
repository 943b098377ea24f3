"""From facts to findings: are batches the same each time, and is state changed? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqloader.command import words
from seqloader.command.check.facts import Cause, Determinism, Mutation, Question
from seqloader.command.check.finding import Finding, Status, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seqloader.command.check.attributes import Change
    from seqloader.command.check.facts import Source, Split
    from seqloader.command.check.leaves import Difference

__all__ = ["judge_determinism", "judge_mutation"]

SHOWN = 3
CONTEXT = "batch_context().rng, which depends on the enqueuer's seed, the epoch and the index"
GENERATOR = "random generator"


def judge_determinism(found: Determinism) -> Finding:
    """Is `__getitem__` the same for a given seed, epoch and index?"""
    question = Question.DETERMINISM
    how = "in another process, another order and another second"
    if found.tried_hashes:
        how += ", with another PYTHONHASHSEED"
    if not found.compared:
        return Finding(
            question, Status.UNTRIED, "no batch could be computed twice in the time",
            advice="Give it more time (--budget-seconds)",
        )  # fmt: skip
    if not found.differing:
        seen = (
            f"{words.count(found.compared, 'batch')} computed {found.computed} times, {how}: all "
            "the same"
        )
        if not found.tried_hashes:
            seen += ". (The order of sets was not tried: forked workers have the hashes they have)"
        return Finding(question, Status.OK, seen)
    seen = (
        f"{len({split.index for split in found.differing})} of "
        f"{words.count(found.compared, 'batch')} differ when computed "
        f"again {how}: {_first(found.differing)}{_leaves(found.leaves)}"
    )
    return Finding(question, Status.PROBLEM, seen, *_why(found))


def _first(splits: Sequence[Split]) -> str:
    """`0, 7, 39 and 37 more`; the epoch is named where it is not the first."""
    epochs: dict[int, int] = {}
    for split in sorted(splits, key=lambda split: (split.epoch, split.index)):
        epochs.setdefault(split.index, split.epoch)
    return some(
        [f"{index} of epoch {epoch}" if epoch else str(index) for index, epoch in epochs.items()]
    )


def _leaves(leaves: Sequence[Difference]) -> str:
    told = []
    for leaf in leaves[:SHOWN]:
        if leaf.elements < 0:
            told.append(f"batch{leaf.path} ({leaf.kind})")
        else:
            told.append(f"batch{leaf.path} ({leaf.kind}) in {leaf.elements} of {leaf.of} elements")
    return f". Different: {'; '.join(told)}" if told else ""


def _why(found: Determinism) -> tuple[str, str]:
    """Why, as the experiments tell it, and what to do."""
    if found.cause is Cause.SOURCE:
        return (
            f"__getitem__ asks {_asked(found.sources)}. When that is held still, computations "
            "agree",
            _instead(found.sources),
        )
    if found.cause is Cause.HASHES:
        return (
            "The order of a set of strings, or hash(), which follows PYTHONHASHSEED: with that "
            "held still, computations agree",
            "Sort what comes out of a set (sorted(...)), or use a dict or a list, which keep "
            "their order; hashlib instead of hash()",
        )
    if found.cause is Cause.HISTORY:
        return _history(found.changed)
    if not found.in_time:
        return (
            "There was no time to find out (--budget-seconds)",
            f"Look for random numbers without a seed (use {CONTEXT}), the time, the order of sets, "
            "and state that __getitem__ changes",
        )
    if found.sources:
        return (
            f"__getitem__ asks {_asked(found.sources)}, which is another in each process. Random "
            "numbers, the time, hashes and the order of calls were held still, and are not it",
            "Let a batch depend on its index, batch_context() and what hooks set",
        )
    return (
        "None of the usual causes explains it: random numbers, the time, hashes and the order of "
        "calls were held still. Perhaps memory that was never written (numpy.empty), "
        "threads, the addresses of objects (id(), a set of objects), a file that changes, or a "
        "generator of a library",
        "Compute one such batch twice by enqueuer.compute(index), and compare step by step",
    )


def _asked(sources: Iterable[Source]) -> str:
    return "; ".join(f"{source.name} (at {source.place})" for source in sources)


def _instead(sources: Iterable[Source]) -> str:
    names = " ".join(source.name for source in sources)
    clock = "time." in names or "datetime" in names
    draws = any(word in names for word in ("random", "uuid", "secrets"))
    told = []
    if draws or not clock:
        told.append(f"Use {CONTEXT}")
    if clock:
        told.append(
            "Do not let a batch depend on the time: what must be known of it belongs into the "
            "training loop"
        )
    return ". ".join(told)


def _history(changed: Sequence[Change]) -> tuple[str, str]:
    generators = [change.name for change in changed if change.kind == GENERATOR]
    if generators:
        return (
            f"There is a random generator that outlives a batch, {' and '.join(generators)}. Each "
            "worker has a copy, which goes on with every batch: numbers depend on how many batches "
            "that worker computed before",
            f"Use {CONTEXT}",
        )
    if changed:
        return (
            f"A batch depends on what the same process computed before: __getitem__ changes "
            f"{_names(changed)}, and each worker has a copy of its own",
            "Let a batch depend on its index, batch_context() and what hooks set. An array that is "
            "changed in place must be copied first",
        )
    return (
        "A batch depends on what the same process computed before, though no attribute of the "
        "Sequence or its class has changed, and no global variable of its module: another module "
        "keeps something, or a library draws random numbers",
        f"Let a batch depend on its index, batch_context() and what hooks set; draw from {CONTEXT}",
    )


def judge_mutation(found: Mutation) -> Finding:
    """Is state changed in `__getitem__`?"""
    question = Question.MUTATION
    if not found.changed:
        return Finding(
            question, Status.OK, f"no attribute changed in {words.count(found.batches, 'batch')}"
        )
    seen = f"__getitem__ changes {_names(found.changed)}"
    lost = "What a worker changes stays in that worker, and is lost when it is replaced"
    if found.matters:
        return Finding(
            question,
            Status.PROBLEM,
            f"{seen}, and batches depend on it",
            f"{lost}, or when the Sequence is sent anew",
            "Change state in on_epoch_begin and on_epoch_end, which run in the training process "
            "and reach every worker",
        )
    if found.differs:
        return Finding(
            question,
            Status.NOTE,
            f"{seen}; whether batches depend on it cannot be told, since they differ anyhow",
            lost,
            "Mend what makes batches differ, and check again",
        )
    return Finding(
        question,
        Status.NOTE,
        f"{seen}; batches are the same nevertheless",
        f"A cache, or something opened when first used: each worker has one of its own. {lost}",
        "Nothing, if that is what it is. What the training process is to see must be in the batch",
    )


def _names(changed: Sequence[Change]) -> str:
    told = []
    for change in changed:
        sizes = ""
        if change.before >= 0 and change.after >= 0 and change.before != change.after:
            sizes = f", {words.size(change.before)} to {words.size(change.after)}"
        told.append(f"{change.name} ({change.kind}{sizes})")
    return some(told)
