"""One check from beginning to end: children are started, their facts become findings."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from seqloader.command.check.child import Ended, Fault, Order, Refused, Said, messages
from seqloader.command.check.facts import (
    Batches,
    Determinism,
    Growth,
    Hooks,
    Kills,
    Mutation,
    Pickled,
    Question,
    Resume,
    Subject,
    Untried,
    Why,
)
from seqloader.command.check.finding import Finding, Status
from seqloader.command.check.judging import judge_growth, judge_hooks, judge_pickled, judge_untried
from seqloader.command.check.judging_batches import judge_batches
from seqloader.command.check.judging_runs import judge_kills, judge_resume
from seqloader.command.check.judging_sameness import judge_determinism, judge_mutation
from seqloader.command.check.replaying import Recording, Run
from seqloader.command.target import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.command.check.settings import Settings

__all__ = ["Session", "UnmadeError"]

EXAMINING_SHARE = 0.7
"""Of the time; the rest is for recording, resuming and killing."""
EPOCHS_REPLAYED = 6.5
"""How many epochs, as far as they are taken, recording, resuming and killing compute together."""
FEWEST_REPLAYED = 4
"""Batches of an epoch: fewer say nothing of what follows a save."""
PATIENCE_S = 60.0
"""How long a child may be silent at least: making a Sequence may take long."""

JUDGES: dict[type, tuple[Question, Callable[[Any], Finding]]] = {
    Pickled: (Question.PICKLING, judge_pickled),
    Determinism: (Question.DETERMINISM, judge_determinism),
    Mutation: (Question.MUTATION, judge_mutation),
    Batches: (Question.BATCHES, judge_batches),
    Growth: (Question.MEMORY, judge_growth),
    Hooks: (Question.HOOKS, judge_hooks),
    Resume: (Question.RESUME, judge_resume),
    Kills: (Question.KILLS, judge_kills),
}
REPLAYED = (Question.RESUME, Question.KILLS)


class UnmadeError(Exception):
    """The Sequence could not be made: the text says why, with the user's traceback."""


@dataclass
class Session:
    """The findings so far, in the order of the questions.

    Args:
        settings: What the command was asked for.
        say: Called with a few words before each step.
    """

    settings: Settings
    say: Callable[[str], object]
    subject: Subject | None = None
    facts: dict[Question, Any] = field(default_factory=dict)
    findings: dict[Question, Finding] = field(default_factory=dict)

    def run(self) -> None:
        """Put all questions.

        Raises:
            TargetError: What the command names is no Sequence, and makes none.
            UnmadeError: Making it raised, or ended its process.
        """
        begun_s = time.monotonic()
        budget_s = self.settings.budget_seconds
        self._ask(Order("examine", self.settings, EXAMINING_SHARE * budget_s))
        self._replay(budget_s - (time.monotonic() - begun_s))
        for question in Question:
            if question not in self.findings:
                untried = Untried(question, Why.BROKEN, "what was asked before it did not end well")
                self._take(untried)

    def in_order(self) -> list[Finding]:
        """The findings as they are shown."""
        return [self.findings[question] for question in Question if question in self.findings]

    # --- children -------------------------------------------------------------------------

    def _ask(self, order: Order) -> Recording | None:
        """Have a child obey; what it recorded, if it was to."""
        patience_s = max(PATIENCE_S, self.settings.budget_seconds)
        last, recording = Said(""), None
        with contextlib.closing(messages(order, patience_s)) as told:
            for message in told:
                if isinstance(message, Said):
                    last = message
                    self.say(last.words)
                elif isinstance(message, Refused):
                    raise TargetError(message.text)
                elif isinstance(message, Fault):
                    raise UnmadeError(message.traceback)
                elif isinstance(message, Recording):
                    recording = message
                elif isinstance(message, Ended):
                    self._note_end(message, last)
                else:
                    self._take(message)
        return recording

    def _note_end(self, ended: Ended, last: Said) -> None:
        """A child was gone in the middle of something."""
        if last.question is None and not self.findings:
            raise UnmadeError(f"The Sequence could not be made: {ended.how}")
        question = last.question or Question.RESUME
        self.findings[question] = Finding(
            question,
            Status.PROBLEM,
            f"while {last.words}, {ended.how}",
            "This runs in the training process itself, which would have ended so, too",
            "Standard error may show where, if it could still write",
        )

    def _take(self, fact: Any) -> None:
        if isinstance(fact, Subject):
            self.subject = fact
        elif isinstance(fact, Untried):
            self.facts[fact.question] = fact
            self.findings[fact.question] = judge_untried(fact)
        else:
            question, judge = JUDGES[type(fact)]
            self.facts[question] = fact
            self.findings[question] = judge(fact)

    # --- recording, resuming, killing -----------------------------------------------------

    def _replay(self, seconds: float) -> None:
        broken = self._broken()
        if broken:
            for question in REPLAYED:
                self._take(Untried(question, Why.BROKEN, f"{broken}, so no run can be compared"))
            return
        if not (self.settings.kills and self.settings.workers):
            said = "--kills 0" if self.settings.workers else "--workers 0 leaves nobody to kill"
            self._take(Untried(Question.KILLS, Why.ASKED, said))
        run = self._plan(seconds)
        if run is None:
            for question in REPLAYED:
                if question not in self.findings:
                    said = "the time was up before it could be tried"
                    self._take(Untried(question, Why.TIME, said))
            return
        recording = self._ask(Order("record", self.settings, run=run))
        if recording is None:
            return
        if recording.error:
            self._take(Resume((), error=recording.error, traceback=recording.traceback))
            self._take(Untried(Question.KILLS, Why.BROKEN, "the run to compare with failed"))
            return
        self._ask(Order("replay", self.settings, run=run, recording=recording))

    def _broken(self) -> str:
        """Why runs cannot be compared; empty where they can."""
        for question, said in (
            (Question.HOOKS, "the hooks or the length fail"),
            (Question.BATCHES, "batches fail"),
            (Question.DETERMINISM, "batches are not the same each time"),
        ):
            finding = self.findings.get(question)
            if finding is None or finding.status is Status.PROBLEM:
                return said
        return ""

    def _plan(self, seconds: float) -> Run | None:
        """How much of each epoch there is time for; None: too little."""
        batches, pickled = self.facts[Question.BATCHES], self.facts[Question.PICKLING]
        took = [each.took_s for each in batches.seen]
        mean_s = sum(took) / max(1, len(took)) / max(1, self.settings.workers) + 1e-4
        affordable = int(seconds / (EPOCHS_REPLAYED * mean_s))
        length = self.subject.length if self.subject is not None else None
        least = FEWEST_REPLAYED if length is None else min(FEWEST_REPLAYED, length)
        if affordable < least or seconds <= 0:
            return None
        return Run(
            self.settings.workers,
            self.settings.seed,
            "fork" if pickled.problem else "spawn",
            max(PATIENCE_S, self.settings.budget_seconds) / 2,
            min(self.settings.batches, affordable, length or self.settings.batches),
            self.settings.kills,
        )
