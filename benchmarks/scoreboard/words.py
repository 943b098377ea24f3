"""Facts of a trial in a sentence or two."""

from __future__ import annotations

from typing import Final

from scoreboard.catalogue import Fault, Rule
from scoreboard.facts import Facts, Raised
from scoreboard.verdict import Outcome, Verdict, ended
from seqloader.command.words import count

MESSAGE_CHARS: Final = 160
WHERE: Final = {
    "starting": "while it was made",
    "waiting for the first batch": "before the first batch",
    "iterating": "in the loop",
    "iterating again": "in the loop over the next epoch",
    "closing": "while it was closed",
    "the interpreter ended": "while the interpreter ended",
}
"""Phases of a program, as `account` names them, in a sentence."""


def tell(facts: Facts, verdict: Verdict, fault: Fault) -> str:
    """What happened, from the facts alone."""
    if verdict.outcome is Outcome.UNTRIED:
        return _sentence(f"not tried: {verdict.why}")
    told = [_delivered(facts, fault)]
    if facts.wrong:
        told.append(_sentence(f"wrong data: {facts.wrong}"))
    if facts.raised is not None:
        told.append(_raised(facts.raised))
    if facts.again:
        told.append(_asked_again(facts))
    if facts.hung:
        told.append(f"Then it hung, {WHERE.get(facts.phase, facts.phase)}.")
    elif fault.rule is Rule.END:
        told.append(_end(facts))
    elif facts.exit_status and fault.rule is not Rule.VANISH:
        told.append(_sentence(f"the program {ended(facts.exit_status)}"))
    before = facts.counted_before
    counts = [f"{n} {name} (before: {before[name]})" for name, n in facts.counted_after.items()]
    told += [f"Afterwards: {', '.join(counts)}."] if counts else []
    left = [*facts.left_processes, *facts.left_files]
    told += [f"Left behind: {', '.join(left)}."] if left else []
    return " ".join(told)


def _delivered(facts: Facts, fault: Fault) -> str:
    if not facts.delivered:
        return "No epoch began."
    if fault.rule is Rule.STAY_FLAT:
        return f"{len(facts.delivered)} epochs were begun."
    if facts.whole and set(facts.delivered) == {facts.length}:
        epochs = count(len(facts.delivered), "epoch")
        return f"{epochs} of {facts.length} batches came, whole and in order."
    epoch = f" of epoch {len(facts.delivered)}" if len(facts.delivered) > 1 else ""
    if facts.again:
        return f"{facts.delivered[0]} of {facts.length} batches came."
    return f"{facts.delivered[-1]} of {facts.length} batches{epoch} came."


def _raised(raised: Raised) -> str:
    message = raised.message.strip().partition("\n")[0]
    if len(message) > MESSAGE_CHARS:
        message = message[:MESSAGE_CHARS].rstrip() + " ..."
    when = ""
    if raised.after_s is not None:
        when = " right after" if raised.after_s < 0.1 else f" {raised.after_s:.1f} s after"
        when += " the fault"
    text = f": `{message.replace('`', chr(39))}`" if message else ""
    return f"Then `{raised.type}`{when}{text}."


def _asked_again(facts: Facts) -> str:
    if facts.raised_again is not None:
        return "Asked for another epoch: " + _raised(facts.raised_again).removeprefix("Then ")
    if facts.whole:
        return "The next epoch was complete."
    return f"Of the next epoch {facts.delivered[-1]} of {facts.length} batches came."


def _end(facts: Facts) -> str:
    after = "" if facts.ended_after_s is None else f" {facts.ended_after_s:.1f} s later"
    told = f"The program {ended(facts.exit_status, after)}"
    if facts.wanted_status is None:
        tracebacks = _count(facts.tracebacks, "traceback")
        return f"{told}; {tracebacks}, {_count(facts.lines, 'line')} on standard error."
    return f"{told}; {'noise' if facts.noise else 'nothing'} on standard error."


def _count(number: int, noun: str) -> str:
    return count(number, noun).replace("no ", "0 ")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
