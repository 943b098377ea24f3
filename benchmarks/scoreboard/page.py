"""`docs/faults.md`, made of the stored results alone."""

from __future__ import annotations

import re
from collections import Counter

from harness.page import fill
from harness.tables import markdown_table

from scoreboard import watcher
from scoreboard.catalogue import Fault
from scoreboard.cells import Cell, cell_of, faults_of, table
from scoreboard.facts import QUEUE, SILENT_S, WORKERS
from scoreboard.results import Record, Results
from scoreboard.verdict import GROWTH, PROMPT_S, good_outcome
from scoreboard.words import tell


def render(results: Results) -> str:
    """The whole page."""
    machine = results.machine
    assert machine is not None, "results that were begun name their machine"
    contestants = results.contestants.values()
    outcomes = [
        [f"[{_code(fault.name)}](#{_anchor(fault)})", *(cell.text for cell in cells)]
        for fault, cells in table(results)
    ]
    peers = [[each.name, each.version, each.absence or each.reservation] for each in contestants]
    return fill(
        "faults.md",
        workers=str(WORKERS),
        queue=str(QUEUE),
        measured=results.measured[:10],
        machine=f"{machine.processor}, {machine.cores_usable} cores, {machine.memory_gb} GB,"
        f" {machine.system}, {machine.python}",
        quick=" A quick run: one trial for each cell." if results.quick else "",
        outcomes=_table(["fault", *results.contestants], outcomes),
        peers=_table(["peer", "version", ""], peers),
        silent=f"{SILENT_S:g}",
        prompt=f"{PROMPT_S:g}",
        grace=f"{watcher.GRACE_S:g}",
        growth=str(GROWTH),
        faults="\n\n".join(_section(fault, results) for fault in faults_of(results)),
    )


def _section(fault: Fault, results: Results) -> str:
    rows = []
    for contestant in results.contestants.values():
        cell = cell_of(results, contestant, fault)
        rows.append([contestant.name, cell.text, _told(cell, fault)])
    is_code = "_" in fault.name.partition(" ")[0]
    title = fault.name if is_code else fault.name[0].upper() + fault.name[1:]
    parts = [
        f"### {_code(title)}",
        f"**What is done.** {fault.done}",
        f"**What a good loader does.** {fault.good} That counts as *{good_outcome(fault).value}*.",
        _table(["peer", "outcome", "what it did"], rows),
    ]
    return "\n\n".join(parts)


def _told(cell: Cell, fault: Fault) -> str:
    record = cell.worst
    if record is None:
        return ""
    options = record.facts.options
    chosen = "".join(f" With `{name}={value!r}`." for name, value in options.items())
    return _others(cell, record) + tell(record.facts, record.verdict, fault) + chosen


def _others(cell: Cell, record: Record) -> str:
    """Where there are several trials: which of them is told, and what became of the others."""
    outcomes = Counter(each.verdict.outcome for each in cell.records)
    told = outcomes.pop(record.verdict.outcome)
    others = ", ".join(f"{count} {outcome.value}" for outcome, count in outcomes.items())
    return f"({told} {record.verdict.outcome.value}, {others}.) " if others else ""


def _table(heads: list[str], rows: list[list[str]]) -> str:
    return markdown_table([heads, ["---"] * len(heads), *rows])


def _code(text: str) -> str:
    """With names of the code marked as such: two underscores are bold print otherwise."""
    return re.sub(r"__\w+__|/dev/shm|on_epoch_end", r"`\g<0>`", text)


def _anchor(fault: Fault) -> str:
    kept = "".join(c for c in fault.name.lower() if c.isalnum() or c in " -_")
    return "-".join(kept.split())
