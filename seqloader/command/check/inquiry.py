"""One check from beginning to end: children are started, their facts become findings."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from seqloader.command.check.child import ChildGoneError, Said, Subject, Tell, UnmadeError, messages
from seqloader.command.check.examining import examine
from seqloader.command.check.finding import Finding, Question, Status, Untried, Why, problem
from seqloader.command.check.options import Settings
from seqloader.command.check.replaying import Recording, Setup, record, replay

__all__ = ["Inquiry"]

EXAMINING_SHARE = 0.7  # of the time; the rest is for recording, resuming and killing
EPOCHS_REPLAYED = 6.5  # about as many, as far as they are taken, those compute together
FEWEST_REPLAYED = 4  # batches of an epoch: fewer say nothing of what follows a save


class Inquiry:
    """What was found so far; `say` is called with a few words before each step."""

    def __init__(self, settings: Settings, say: Callable[[str], object]) -> None:
        self.settings = settings
        self.subject: Subject | None = None
        self.facts: dict[Question, Any] = {}
        self.findings: dict[Question, Finding] = {}
        self._say = say
        self._recording: Recording | None = None

    def run(self) -> None:
        """Put all questions. TargetError, UnmadeError: there is no Sequence."""
        until_s = time.monotonic() + self.settings.budget_seconds
        examining_s = EXAMINING_SHARE * self.settings.budget_seconds
        self._ask(partial(examine, settings=self.settings, seconds=examining_s))
        self._replay(until_s)
        self._omit(Why.BROKEN, "what was asked before it did not end well", *Question)
        self.findings = {question: self.findings[question] for question in Question}

    def _ask(self, work: Callable[[Tell], object]) -> None:
        last = Said("")
        try:
            with contextlib.closing(messages(work, self.settings.patience_s)) as told:
                for message in told:
                    if isinstance(message, Said):
                        last = message
                        self._say(last.words)
                    else:
                        self._take(message)
        except ChildGoneError as gone:
            if last.question is None and not self.findings:
                raise UnmadeError(f"The Sequence could not be made: {gone}") from None
            self.findings[last.question or Question.RESUME] = problem(
                f"while {last.words}, {gone}",
                "This runs in the training process itself, which would have ended so, too",
                "Standard error may show where, if it could still write",
            )

    def _take(self, fact: Any) -> None:
        if isinstance(fact, Subject):
            self.subject = fact
        elif isinstance(fact, Recording):
            self._recording = fact
        else:
            self.facts[fact.question] = fact
            self.findings[fact.question] = fact.finding()

    def _omit(self, why: Why, said: str, *questions: Question) -> None:
        for question in questions:
            if question not in self.findings:
                self._take(Untried(question, why, said))

    # --- recording, resuming, killing -----------------------------------------------------

    def _replay(self, until_s: float) -> None:
        both, settings = (Question.RESUME, Question.KILLS), self.settings
        for question, said in (
            (Question.HOOKS, "the hooks or the length fail"),
            (Question.BATCHES, "batches fail"),
            (Question.DETERMINISM, "batches are not the same each time"),
        ):
            finding = self.findings.get(question)
            if finding is None or finding.status is Status.PROBLEM:
                self._omit(Why.BROKEN, f"{said}, so no run can be compared", *both)
                return
        if not (settings.kills and settings.workers):
            said = "--kills 0" if settings.workers else "--workers 0 leaves nobody to kill"
            self._omit(Why.ASKED, said, Question.KILLS)
        batches = self._affordable(until_s - time.monotonic())
        if batches is None:
            self._omit(Why.TIME, Untried.said, *both)
            return
        forked = self.facts[Question.PICKLING].problem
        setup = Setup(replace(settings, batches=batches), "fork" if forked else "spawn")
        self._ask(partial(record, setup=setup))
        if self._recording is None:
            self._omit(Why.BROKEN, "the run to compare with failed", Question.KILLS)
        else:
            self._ask(partial(replay, setup=setup, recording=self._recording))

    def _affordable(self, seconds: float) -> int | None:
        """How many batches of each epoch there is time for; None: too few."""
        length = self.subject.length if self.subject else None
        took = [each.took_s for each in self.facts[Question.BATCHES].seen]
        mean_s = sum(took) / max(1, len(took)) / max(1, self.settings.workers) + 1e-4
        affordable = int(seconds / (EPOCHS_REPLAYED * mean_s))
        if seconds <= 0 or affordable < min(FEWEST_REPLAYED, length or FEWEST_REPLAYED):
            return None
        return min(self.settings.batches, affordable, length or self.settings.batches)
