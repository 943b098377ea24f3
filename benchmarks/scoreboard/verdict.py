"""From facts to an outcome, by rules that know no peer. Pure."""

from __future__ import annotations

import enum
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scoreboard.catalogue import Fault, Rule
from scoreboard.facts import Facts, Raised

PROMPT_S: Final = 5.0
"""A program that has to end is given so long, from Ctrl-C or from its last line."""
GROWTH: Final = 10
"""So many more processes, threads or descriptors are a leak: one for every second epoch."""
INTERRUPTED: Final = (-signal.SIGINT, 128 + signal.SIGINT, 1)
"""Exit statuses after Ctrl-C: by the signal, as a shell says it, or by an uncaught exception."""


class Outcome(enum.Enum):
    """From good to bad."""

    COMPLETE = "complete"
    CLEAR = "clear error"
    UNCLEAR = "unclear error"
    LEAK = "leak"
    HANG = "hang"
    WRONG = "wrong data"
    UNTRIED = "not tried"
    """The fault never fell, or the trial could not be held."""


@dataclass(frozen=True)
class Verdict:
    outcome: Outcome
    why: str = ""
    """The fact that decided."""


def judge(facts: Facts, fault: Fault) -> Verdict:
    """What came of a trial."""
    if facts.trouble:
        return Verdict(Outcome.UNTRIED, facts.trouble)
    if not facts.struck:
        return Verdict(Outcome.UNTRIED, _before_the_fault(facts))
    if facts.wrong:
        return Verdict(Outcome.WRONG, facts.wrong)
    if facts.hung:
        return Verdict(Outcome.HANG, f"while {facts.phase}")
    left = (*facts.left_processes, *facts.left_files)
    if left:
        return Verdict(Outcome.LEAK, f"left: {', '.join(left)}")
    return _RULES[fault.rule](facts, fault)


def good_outcome(fault: Fault) -> Outcome:
    """What a good loader's trial comes to."""
    return Outcome.CLEAR if fault.rule is Rule.REFUSE else Outcome.COMPLETE


def worst(outcomes: list[Outcome]) -> Outcome:
    """That of several trials which counts."""
    tried = [outcome for outcome in outcomes if outcome is not Outcome.UNTRIED]
    return max(tried or outcomes, key=list(Outcome).index)


def _go_on(facts: Facts, fault: Fault) -> Verdict:
    if facts.raised is not None:
        clear = is_clear(facts.raised, facts.worker_pids) or (
            fault.program == "no_guard"
            and _GUARD.search(facts.raised.text + facts.stderr_tail) is not None
        )
        return Verdict(Outcome.CLEAR if clear else Outcome.UNCLEAR, facts.raised.type)
    if facts.exit_status:
        return Verdict(Outcome.UNCLEAR, f"the program {ended(facts.exit_status)}")
    if not facts.whole:
        return Verdict(Outcome.WRONG, "the program ended before its epochs were over")
    return Verdict(Outcome.COMPLETE)


def _refuse(facts: Facts, fault: Fault) -> Verdict:
    if facts.whole:
        return Verdict(Outcome.WRONG, "all epochs were delivered, though one batch cannot be")
    return _go_on(facts, fault)


def _raise(facts: Facts, fault: Fault) -> Verdict:
    raised = facts.raised
    if raised is None:
        if facts.exit_status:
            return _go_on(facts, fault)
        return Verdict(Outcome.WRONG, f"{fault.raises} was raised, and nobody heard of it")
    tells = fault.raises in raised.text and fault.says in raised.text
    if not (raised.own or (tells and not fault.type_matters)):
        return Verdict(Outcome.UNCLEAR, f"{raised.type} in place of {fault.raises}")
    if facts.raised_again is not None:
        return Verdict(Outcome.CLEAR, f"the next epoch raised {facts.raised_again.type}")
    if fault.asks_again and not facts.whole:
        return Verdict(Outcome.CLEAR, "the next epoch did not come")
    return Verdict(Outcome.COMPLETE)


def _end(facts: Facts, fault: Fault) -> Verdict:
    if facts.raised is not None:
        return Verdict(Outcome.UNCLEAR, f"{facts.raised.type} was raised")
    if facts.ended_after_s is not None and facts.ended_after_s > PROMPT_S:
        return Verdict(Outcome.UNCLEAR, f"it took {facts.ended_after_s:.1f} s to end")
    is_interrupted = facts.wanted_status is None
    if facts.exit_status not in (INTERRUPTED if is_interrupted else (facts.wanted_status,)):
        return Verdict(Outcome.UNCLEAR, f"the program {ended(facts.exit_status)}")
    if is_interrupted and facts.tracebacks > 1:
        return Verdict(Outcome.UNCLEAR, f"{facts.tracebacks} tracebacks")
    if not is_interrupted and facts.noise:
        return Verdict(Outcome.UNCLEAR, "noise on standard error")
    return Verdict(Outcome.COMPLETE)


def _stay_flat(facts: Facts, fault: Fault) -> Verdict:
    if facts.raised is not None or facts.exit_status:
        return _go_on(facts, fault)
    for name, after in facts.counted_after.items():
        before = facts.counted_before[name]
        if after >= before + GROWTH:
            return Verdict(Outcome.LEAK, f"{name}: {before}, then {after}")
    if not facts.counted_after:
        return Verdict(Outcome.WRONG, "the program ended before its epochs were over")
    return Verdict(Outcome.COMPLETE)


_RULES: Final[Mapping[Rule, Callable[[Facts, Fault], Verdict]]] = {
    Rule.GO_ON: _go_on,
    Rule.REFUSE: _refuse,
    Rule.RAISE: _raise,
    Rule.END: _end,
    Rule.VANISH: lambda facts, fault: Verdict(Outcome.COMPLETE),  # what is left was looked at
    Rule.STAY_FLAT: _stay_flat,
}


def ended(status: int | None, after: str = "") -> str:
    """How a program ended, in words."""
    if status is not None and status < 0:
        return f"ended{after} by {signal.Signals(-status).name}"
    return f"ended{after} with exit status {status}"


def _before_the_fault(facts: Facts) -> str:
    if facts.raised is not None:
        return f"{facts.raised.type} before the fault fell: {facts.raised.message}"
    if facts.hung:
        return f"nothing happened while {facts.phase}, before the fault fell"
    return "it was over before the fault fell"


# --- whether an error is clear: one rule for everybody, which `pages/faults.md` tells in words ----

_PROCESS: Final = r"\b(worker|process|subprocess|actor|child)"
_CLEAR: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        r"\bsig(kill|stop|bus|segv|term|abrt|chld)\b",
        r"\bsignal:?\s*(\d+|killed|bus)",
        r"\bkilled by\b",
        r"\bexit[ _-]?(code|status)",
        _PROCESS + r"e?s?\b.{0,80}"
        r"\b(died|dead|killed|terminated|exited|crash\w*|lost|aborted|unexpected\w*|abrupt\w*"
        r"|gone)\b",
        r"\b(died|dead|killed|terminated|crash\w*|lost)\b.{0,40}" + _PROCESS,
        r"time[ds]?[ -]?out",
        r"too many open files|no space left|out of memory|cannot allocate|shared memory|/dev/shm"
        r"|bus error",
    )
)
_GUARD: Final = re.compile(r"__main__|bootstrapping")
"""Tells of a script without the guard."""


def is_clear(raised: Raised, worker_pids: Sequence[int] = ()) -> bool:
    """Whether an error that is not the user's own says what happened."""
    text = raised.text
    if any(re.search(rf"\b{pid}\b", text) for pid in worker_pids):
        return True
    return any(pattern.search(text) for pattern in _CLEAR)
