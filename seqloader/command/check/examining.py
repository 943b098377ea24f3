"""The questions that one Sequence, made once, can answer: all but resuming and killing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from seqloader.command.check.attributes import print_of, prints_of, state_of
from seqloader.command.check.experiments import (
    FIRST_HASHES,
    OTHER_HASHES,
    compare_runs,
    first_tasks,
    second_tasks,
)
from seqloader.command.check.facts import (
    Batches,
    Cause,
    Determinism,
    Failure,
    Held,
    Hooks,
    Mutation,
    Pickled,
    Question,
    Seen,
    Subject,
    Turn,
    Untried,
    Why,
)
from seqloader.command.check.observing import Bench
from seqloader.command.check.sampling import spread
from seqloader.command.check.weighing import weigh_rounds
from seqloader.command.faults import fault_text
from seqloader.executors.process.consumer.sending import pickle_state
from seqloader.randomness import Seeding
from seqloader.sequence import count_batches, overrides_hook, run_hook

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.command.check.attributes import Change
    from seqloader.command.check.observing import Observed
    from seqloader.command.check.settings import Settings

__all__ = ["Examination"]

SHARE = {"first": 0.2, "second": 0.2, "experiments": 0.6, "memory": 0.15}
"""Of the time: what runs may take, at most, before they are cut short. Where experiments are due,
there will be nothing to resume, and its time is theirs."""
HANG_SHARE = 0.5
"""Of the time: one batch that takes longer is taken for one that never ends."""
LEAST_HANG_S = 5.0
LARGEST_SHOWN = 5
NO_TIME = "the time was up before it could be tried"


class Examination:
    """One Sequence, tried question by question; each answer is handed out as soon as it is known.

    Args:
        sequence: The user's, fresh.
        settings: What the command was asked for.
        answer: Called with each fact.
        say: Called before each step, with a few words and what question it is for.
        seconds: How long all of it may take, about.
    """

    def __init__(
        self,
        sequence: Any,
        settings: Settings,
        answer: Callable[[Any], object],
        say: Callable[[str, Question], object],
        seconds: float,
    ) -> None:
        self._sequence = sequence
        self._settings = settings
        self._answer = answer
        self._say = say
        self._seconds = seconds
        self._seeding = Seeding(settings.seed, True)
        self._early_length = ""
        self._begin_s = 0.0
        self._changed: tuple[Change, ...] = ()
        self._broken = False

    def run(self) -> bool:
        """Put all questions; whether every batch that was tried could be computed."""
        pickled = self._pickle()
        length = self._begin()
        if isinstance(length, Untried):
            return False
        hang_s = max(LEAST_HANG_S, HANG_SHARE * self._settings.budget_seconds)
        method = "fork" if pickled.problem else "spawn"
        bench = Bench(self._sequence, self._settings.seed, method, hang_s)
        seen = self._compute(bench, length)
        self._weigh(bench, seen, length)
        self._turn(length, pickled)
        return bool(seen) and not self._broken

    # --- pickling -------------------------------------------------------------------------

    def _pickle(self) -> Pickled:
        self._say("pickling it", Question.PICKLING)
        begun_s = time.perf_counter()
        try:
            pickle_state(self._sequence)
        except Exception as error:
            found = Pickled(problem=str(error))
        else:
            seconds = time.perf_counter() - begun_s
            whole, state = print_of(self._sequence), state_of(self._sequence)
            prints = prints_of(state or {})
            held = [Held(name, each.pickled, each.arrays) for name, each in prints.items()]
            held.sort(key=lambda each: -(each.pickled + each.arrays))
            found = Pickled(
                whole.pickled,
                whole.arrays,
                seconds,
                tuple(held[:LARGEST_SHOWN]),
            )
        self._answer(found)
        return found

    # --- the first hook and the length ----------------------------------------------------

    def _begin(self) -> int | Untried | None:
        """Begin epoch 0 as the enqueuer does; the number of its batches."""
        self._say("beginning an epoch", Question.HOOKS)
        try:
            count_batches(self._sequence)
        except Exception as error:
            self._early_length = f"{type(error).__name__}: {error}"
        step = "on_epoch_begin"
        try:
            self._begin_s = self._hook(step, 0)
            step = "the length"
            length = count_batches(self._sequence)
        except Exception as error:
            return self._end_early(_said(step, 0, error), fault_text(error))
        self._answer(Subject(type(self._sequence).__qualname__, length))
        if length == 0:
            return self._end_early("the length is 0: there is no batch", "")
        return length

    def _end_early(self, raised: str, traceback: str) -> Untried:
        self._answer(
            Hooks(
                overrides_hook(self._sequence, "on_epoch_begin"),
                overrides_hook(self._sequence, "on_epoch_end"),
                early_length=self._early_length,
                raised=raised,
                traceback=traceback,
            )
        )
        said = "no epoch can begin"
        for question in (
            Question.DETERMINISM, Question.MUTATION, Question.BATCHES, Question.MEMORY,
        ):  # fmt: skip
            self._answer(Untried(question, Why.BROKEN, said))
        return Untried(Question.BATCHES, Why.BROKEN, said)

    def _hook(self, name: str, epoch: int) -> float:
        """Run a hook as the enqueuer does; seconds."""
        begun_s = time.perf_counter()
        if overrides_hook(self._sequence, name):
            self._seeding.hook(epoch, lambda: run_hook(self._sequence, name), name=name)
        return time.perf_counter() - begun_s

    # --- batches --------------------------------------------------------------------------

    def _compute(self, bench: Bench, length: int | None) -> list[Seen]:
        indices = spread(length, self._settings.batches)
        self._say("computing batches", Question.BATCHES)
        tasks = first_tasks(indices)
        first = bench.observe(
            tasks, hash_seed=FIRST_HASHES, watch_state=True, until_s=self._until("first")
        )
        good = _good_tasks(tasks, first)
        second = None
        if good and first.complete:
            _wait_for_another_second()
        if good:
            self._say("computing them again, in another process and order", Question.DETERMINISM)
            second = bench.observe(
                second_tasks(good),
                hash_seed=OTHER_HASHES,
                watch_state=True,
                until_s=self._until("second"),
            )
        seen = self._tell_batches(first, second)
        self._answer(Subject(type(self._sequence).__qualname__, length, tried=len(seen)))
        if second is None:
            said = "no batch could be computed"
            for question in (Question.DETERMINISM, Question.MUTATION):
                self._answer(Untried(question, Why.BROKEN, said))
            return seen
        self._say("comparing", Question.DETERMINISM)
        until_s = self._until("experiments")
        determinism = compare_runs(bench, good, first, second, until_s)
        self._changed = determinism.changed
        self._answer(determinism)
        self._answer(_mutation(determinism, len({task.index for task in good})))
        self._broken = self._broken or bool(determinism.differing)
        return seen

    def _until(self, share: str) -> float:
        return time.monotonic() + SHARE[share] * self._seconds

    def _tell_batches(self, first: Observed, second: Observed | None) -> list[Seen]:
        runs = [first] if second is None else [first, second]
        raised: dict[int, Failure] = {}
        died: dict[int, Failure] = {}
        seen: dict[int, Seen] = {}
        for run in runs:
            died |= {each.index: each for each in reversed(run.died)}
            for each in run.observations:
                index = each.task.index
                if each.error:
                    failure = Failure(index, each.task.epoch, each.error, each.traceback)
                    raised.setdefault(index, failure)
                    continue
                before = seen.get(index)
                took_s = each.took_s if before is None else min(before.took_s, each.took_s)
                kinds = tuple((leaf.path, leaf.kind) for leaf in each.leaves)
                nbytes = sum(leaf.nbytes for leaf in each.leaves)
                seen[index] = Seen(index, took_s, nbytes, kinds, each.none)
        for index in (*raised, *died):
            seen.pop(index, None)
        in_order = [seen[index] for index in sorted(seen)]
        self._answer(Batches(tuple(in_order), tuple(raised.values()), tuple(died.values())))
        self._broken = bool(raised or died)
        return in_order

    # --- memory ---------------------------------------------------------------------------

    def _weigh(self, bench: Bench, seen: list[Seen], length: int | None) -> None:
        computable = [each for each in seen if not each.none]
        if not computable:
            self._answer(Untried(Question.MEMORY, Why.BROKEN, "no batch could be computed"))
            return
        self._say("weighing a worker, epoch after epoch", Question.MEMORY)
        seconds = SHARE["memory"] * self._seconds
        epochs, changed = self._settings.epochs, self._changed
        growth = weigh_rounds(bench, computable, length, epochs, seconds, changed)
        self._answer(growth or Untried(Question.MEMORY, Why.TIME, NO_TIME))

    # --- hooks ----------------------------------------------------------------------------

    def _turn(self, length: int | None, pickled: Pickled) -> None:
        self._say("turning epochs", Question.HOOKS)
        begins = overrides_hook(self._sequence, "on_epoch_begin")
        ends = overrides_hook(self._sequence, "on_epoch_end")
        turns: list[Turn] = []
        raised = traceback = problem = ""
        begin_s = self._begin_s
        step, epoch = "on_epoch_end", 0
        try:
            for epoch in range(self._settings.epochs):
                if epoch:
                    step = "on_epoch_begin"
                    begin_s = self._hook(step, epoch)
                    step = "the length"
                    length = count_batches(self._sequence)
                step = "on_epoch_end"
                turns.append(Turn(epoch, begin_s, self._hook(step, epoch), length))
        except Exception as error:
            raised, traceback = _said(step, epoch, error), fault_text(error)
        if (begins or ends) and not pickled.problem:
            try:
                pickle_state(self._sequence)
            except Exception as error:
                problem = str(error)
        self._broken = self._broken or bool(raised or problem)
        self._answer(
            Hooks(begins, ends, tuple(turns), self._early_length, raised, traceback, problem)
        )


def _said(step: str, epoch: int, error: Exception) -> str:
    return f"{step} of epoch {epoch} raised {type(error).__name__}: {error}"[:500]


def _good_tasks(tasks: list[Any], run: Observed) -> list[Any]:
    """Tasks that were computed, of batches that never raised or killed."""
    bad = {each.index for each in run.died}
    bad |= {each.task.index for each in run.observations if each.error}
    done = {(each.task.index, each.task.epoch) for each in run.observations}
    return [task for task in tasks if task.index not in bad and (task.index, task.epoch) in done]


def _mutation(determinism: Determinism, batches: int) -> Mutation:
    return Mutation(
        batches,
        determinism.changed,
        matters=determinism.cause is Cause.HISTORY,
        differs=bool(determinism.differing),
    )


def _wait_for_another_second() -> None:
    """Until the clock shows another second than now, which a batch may contain."""
    time.sleep(1.0 - time.time() % 1.0)
