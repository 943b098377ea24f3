"""The questions that one Sequence, made once, can answer: all but resuming and killing."""

from __future__ import annotations

from seqloader.command.check.batches import Batches
from seqloader.command.check.child import Said, Subject, Tell, make_sequence
from seqloader.command.check.finding import Question, Untried, Why
from seqloader.command.check.hooks import Hooks, epochs_of
from seqloader.command.check.memory import weigh_rounds
from seqloader.command.check.options import Settings
from seqloader.command.check.probe import Bench, Observed
from seqloader.command.check.sameness import Cause, Mutation, compare_runs, first_run, second_run
from seqloader.command.check.sent import Change, pickled

__all__ = ["examine", "spread"]

# Shares of the time; where experiments are due, nothing will be resumed, and its time is theirs.
FIRST_SHARE, SECOND_SHARE, EXPERIMENTS_SHARE, MEMORY_SHARE = 0.2, 0.2, 0.6, 0.15
HANG_SHARE, LEAST_HANG_S = 0.5, 5.0  # one batch that takes longer is taken to never end


def examine(tell: Tell, settings: Settings, seconds: float) -> None:
    """Make the Sequence, put all questions to it in about so many seconds, and tell each answer."""

    def omit(said: str, *questions: Question) -> None:
        for question in questions:
            tell(Untried(question, Why.BROKEN, said))

    sequence = make_sequence(settings, tell)
    kind = type(sequence).__qualname__
    tell(Said("pickling it", Question.PICKLING))
    sent = pickled(sequence)
    tell(sent)
    tell(Said("beginning an epoch", Question.HOOKS))
    turning = epochs_of(sequence, settings, can_be_sent=not sent.problem)
    length = next(turning)
    if not isinstance(length, Hooks):
        tell(Subject(kind, length))
    if isinstance(length, Hooks) or length == 0:
        tell(length if isinstance(length, Hooks) else next(turning))
        rest = Question.DETERMINISM, Question.MUTATION, Question.BATCHES, Question.MEMORY
        omit("no epoch can begin", *rest)
        return

    hang_s = max(LEAST_HANG_S, HANG_SHARE * settings.budget_seconds)
    bench = Bench(sequence, settings.seed, "fork" if sent.problem else "spawn", hang_s)
    tell(Said("computing batches", Question.BATCHES))
    indices = spread(length, settings.batches)
    good, first = first_run(bench, indices, FIRST_SHARE * seconds)
    runs: list[Observed] = [first]
    changed: tuple[Change, ...] = ()
    if good:
        tell(Said("computing them again, in another process and order", Question.DETERMINISM))
        runs.append(second_run(bench, good, SECOND_SHARE * seconds))
    batches = Batches.of(runs)
    tell(batches)
    tell(Subject(kind, length, len(batches.seen)))
    if good:
        tell(Said("comparing", Question.DETERMINISM))
        found = compare_runs(bench, good, runs[0], runs[1], EXPERIMENTS_SHARE * seconds)
        tell(found)
        changed, tried = found.changed, len({task.index for task in good})
        tell(Mutation(tried, changed, found.cause is Cause.HISTORY, bool(found.differing)))
    else:
        omit("no batch could be computed", Question.DETERMINISM, Question.MUTATION)

    computable = [each for each in batches.seen if not each.none]
    if computable:
        tell(Said("weighing a worker, epoch after epoch", Question.MEMORY))
        weighed_s, epochs = MEMORY_SHARE * seconds, settings.epochs
        growth = weigh_rounds(bench, computable, length, epochs, weighed_s, changed)
        tell(growth or Untried(Question.MEMORY, Why.TIME))
    else:
        omit("no batch could be computed", Question.MEMORY)
    tell(Said("turning epochs", Question.HOOKS))
    tell(next(turning))


def spread(length: int | None, most: int) -> list[int]:
    """At most so many indices of all (None: endless, and the first ones are taken).

    They lie all over the Sequence, first and last among them, wherever their order is cut short.
    """
    if length is None or length <= 1:
        return list(range(most if length is None else length))
    count = max(2, min(length, most))
    evenly = sorted({number * (length - 1) // (count - 1) for number in range(count)})
    order, gaps = [0, len(evenly) - 1], [(0, len(evenly) - 1)]
    for low, high in gaps:  # the middle of each gap, level by level
        if high - low > 1:
            order.append((low + high) // 2)
            gaps += [(low, order[-1]), (order[-1], high)]
    return [evenly[number] for number in order[:most]]
