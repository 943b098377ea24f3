"""From facts to findings: pickling, memory, hooks, and what was not put. Pure.

The other questions are judged in `judging_batches`, `judging_sameness` and `judging_runs`.
"""

from __future__ import annotations

from seqloader.command import words
from seqloader.command.check.facts import Growth, Hooks, Pickled, Question, Untried, Why
from seqloader.command.check.finding import Finding, Status
from seqloader.command.check.growth import (
    bytes_per_call,
    first_growth,
    grows,
    noticeable_bytes,
    settled,
)

__all__ = ["judge_growth", "judge_hooks", "judge_pickled", "judge_untried"]

MANY_OBJECT_BYTES = 20_000_000
"""Of Python objects, which every worker makes anew."""
LARGE_ARRAY_BYTES = 500_000_000
"""Of arrays, which are copied once."""
SLOW_HOOK_S = 1.0
PICKLE_ADVICE = ". Workers get a pickle of the Sequence: "
"""What comes before the way out, in the message of what cannot be pickled."""
CACHE_BYTES = 32_000_000
"""Growth in the first rounds that is worth a word."""


def judge_pickled(found: Pickled) -> Finding:
    """Can it be pickled, and how large is it?"""
    question = Question.PICKLING
    if found.problem:
        problem, _, way_out = found.problem.partition(PICKLE_ADVICE)
        return Finding(
            question,
            Status.PROBLEM,
            problem,
            "Workers are fresh processes: the Sequence travels to them as a pickle",
            f"{way_out[:1].upper()}{way_out[1:]}"
            f"{' ' if way_out else ''}Everything below was tried with start_method='fork', where "
            "workers inherit the Sequence as it is",
        )
    nbytes = found.pickled + found.arrays
    seen = f"{words.size(nbytes)}, pickled in {words.duration(found.seconds)}"
    if nbytes >= 1000 and found.attributes:
        largest = (
            f"{each.name} {words.size(each.pickled + each.arrays)}"
            for each in found.attributes[:3]
            if each.pickled + each.arrays >= nbytes / 100
        )
        seen += f"; the largest: {', '.join(largest)}"
    if found.pickled >= MANY_OBJECT_BYTES:
        return Finding(
            question,
            Status.NOTE,
            f"{seen}. {words.size(found.pickled)} of it are Python objects",
            "Each worker makes all these objects anew: that takes time at the start, and memory in "
            "each",
            "Hold large lists and dicts as numpy arrays (of fixed-width text, of numbers), of "
            "which all workers share one copy; or read them in __getitem__",
        )
    if found.arrays >= LARGE_ARRAY_BYTES:
        return Finding(
            question,
            Status.NOTE,
            f"{seen}. {words.size(found.arrays)} of it are arrays",
            "They are copied once, and all workers share that copy",
            "seqloader.shared_empty or share() saves the copy; so does numpy.memmap, which travels "
            "as the file's name; or open the data in __getitem__",
        )
    return Finding(question, Status.OK, seen)


# --- memory ---------------------------------------------------------------------------------


def judge_growth(found: Growth) -> Finding:
    """Does memory grow per epoch?"""
    question = Question.MEMORY
    per_epoch = found.length or found.batches
    which = (
        f"{words.count(found.rounds, 'round')} of {words.count(found.batches, 'batch')} in one "
        "worker"
    )
    if grows(found):
        grown = bytes_per_call(found)
        return Finding(
            question,
            Status.PROBLEM,
            f"{which}: its own memory grew by {words.size(grown)} per batch to the end, which is "
            f"{words.size(grown * per_epoch)} per epoch of {words.count(per_epoch, 'batch')}"
            f"{_grown_where(found)}",
            _why_grown(found),
            "Bound what is kept (functools.lru_cache with a maxsize), clear it in on_epoch_end, "
            "or do not keep it",
        )
    points = settled(found)
    drift = points[-1][1] - points[0][1] if points else 0
    than = "as much as"
    if drift:
        than = f"{words.size(abs(drift))} {'more' if drift > 0 else 'less'} than"
    seen = (
        f"{which}: at the end {than} when it had settled. Below "
        f"{words.size(noticeable_bytes(found) * per_epoch)} per epoch could not be noticed"
    )
    early = first_growth(found)
    if early < max(CACHE_BYTES, 0.3 * found.batches * found.batch_bytes):
        return Finding(question, Status.OK, seen)
    early_seen = f"{which}: {words.size(early)} in the first rounds, then no more"
    if found.forked:
        return Finding(
            question,
            Status.NOTE,
            early_seen,
            "Forked workers share the memory of the Sequence until somebody writes to a page. To "
            "look at a Python object is to write its reference count: pages of large lists and "
            "dicts are copied, in each worker",
            "Hold them as numpy arrays, which can be looked at without being written to",
        )
    return Finding(
        question,
        Status.NOTE,
        early_seen,
        "Either what __getitem__ imports and opens, or a cache of what it has computed: then it "
        "goes on until every batch was seen, in every worker",
        f"If it is a cache: a whole epoch of {words.count(per_epoch, 'batch')} would take about "
        f"{words.size(early * per_epoch / found.batches)} in each worker",
    )


def _grown_where(found: Growth) -> str:
    told = [f"{name} of it at {place}" for place, name in _lines(found)]
    told += [
        f"{change.name} grew from {words.size(change.before)} to {words.size(change.after)}"
        for change in found.changed[:3]
    ]
    return f". {'; '.join(told)}" if told else ""


def _lines(found: Growth) -> list[tuple[str, str]]:
    return [(place, f"{words.size(nbytes)} per batch") for place, nbytes in found.lines]


def _why_grown(found: Growth) -> str:
    if found.changed:
        return (
            "Something of every batch is kept there. In the worker it is of no use to anybody "
            "else, and it grows until the worker is replaced"
        )
    if found.lines:
        return "It is kept outside of the Sequence and its module: in a cache of another module"
    return (
        "No Python code holds it: a library in C that leaks, or memory so scattered that it "
        "cannot be given back"
    )


# --- hooks ----------------------------------------------------------------------------------


def judge_hooks(found: Hooks) -> Finding:
    """Do the hooks behave?"""
    question = Question.HOOKS
    if found.raised:
        return Finding(
            question,
            Status.PROBLEM,
            found.raised,
            "Hooks and the length are asked for in the training process, at the turn of an epoch: "
            "there it would be raised to the training loop, and the enqueuer would stop",
            "Mend it; the traceback is below" if found.traceback else "Mend it",
            found.traceback,
        )
    if found.problem:
        return Finding(
            question,
            Status.PROBLEM,
            "After hooks ran, it cannot be pickled any more: "
            f"{found.problem.partition(PICKLE_ADVICE)[0]}",
            "Workers get the Sequence anew at the turn of an epoch, as the hooks have left it",
            "Leave such a thing out in __getstate__, or open it in __getitem__",
        )
    epochs = "1 epoch" if len(found.turns) == 1 else f"{len(found.turns)} epochs"
    lengths = [turn.length for turn in found.turns]
    told = []
    if found.begins or found.ends:
        which = " and ".join(
            name for name, own in (("begin", found.begins), ("end", found.ends)) if own
        )
        slowest_s = max(turn.begin_s + turn.end_s for turn in found.turns)
        told.append(
            f"{epochs} turned: on_epoch_{which.replace(' and ', ' and on_epoch_')} took "
            f"{words.duration(slowest_s)} at most"
        )
    else:
        slowest_s = 0.0
        told.append(f"it has none of its own; {epochs} turned")
    notes, advice = [], []
    if len({*lengths}) > 1:
        told.append(f"the length changed: {', '.join(map(str, lengths))}")
        notes.append("The length is read anew for each epoch, so it may change")
    if found.early_length:
        told.append(f"before on_epoch_begin ran, the length raised {found.early_length}")
        notes.append("len(enqueuer) raises as well until the first epoch begins")
    if slowest_s >= SLOW_HOOK_S:
        notes.append("While a hook runs, workers have nothing to do, and the training waits")
        advice.append("Do in __getitem__ what can be done there: workers do it side by side")
    status = Status.NOTE if notes else Status.OK
    return Finding(question, status, "; ".join(told), ". ".join(notes), ". ".join(advice))


# --- not put --------------------------------------------------------------------------------


def judge_untried(found: Untried) -> Finding:
    """A question that was not put."""
    if found.why is Why.TIME:
        return Finding(
            found.question,
            Status.UNTRIED,
            found.said,
            advice="Give it more time (--budget-seconds) or fewer batches (--batches)",
        )
    advice = "Mend what was found, and check again" if found.why is Why.BROKEN else ""
    return Finding(found.question, Status.NOTE, f"not tried: {found.said}", advice=advice)
