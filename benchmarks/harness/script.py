"""The frame of every script: its options, its runs, its tables, its raw results."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from peers import find as find_peer
from peers.peer import is_installed
from rich.progress import TaskProgressColumn

from harness import report
from harness.cases import FULL, QUICK, Case, Pace, Run
from harness.chapter import Wanted
from harness.figures import Figures
from harness.judge import Judge
from harness.processes import BENCHMARKS, run_fresh
from harness.schedule import Schedule
from harness.verdict import Row
from seqloader.command import machine
from seqloader.command.stored import now, store
from seqloader.command.terminal import bar, plain_console


@dataclasses.dataclass(frozen=True)
class Script:
    """One question, as a TOML file describes it: what answers it, and by what it is judged.

    A case has the fields of `Case`; `quick` holds what is otherwise in a quick run, which leaves
    out what is `full_only`. A row has the fields of `Wanted`, and those of its `Column`. A table is
    a title, and how the names of its cases begin. `full` and `quick` are paces of its own. The
    header begins with the question; `--help` shows it.
    """

    name: str
    content: Mapping[str, Any]
    unavailable: Callable[[], str] = str
    """Why nothing can be measured on this machine; "": it can."""

    def cases(self, quick: bool) -> list[Case]:
        """As they take turns."""
        found = []
        for facts in map(dict, self.content["cases"]):
            of_quick = facts.pop("quick", {})
            if not (facts.pop("full_only", False) and quick):
                found.append(Case(**{**facts, **(of_quick if quick else {})}))
        return found

    def rows(self, figures: Figures, quick: bool) -> list[Row]:
        """What was wanted and reached."""
        wanted = map(Wanted.of, self.content["rows"])
        judge = Judge("", figures, (), quick)
        return [each.row(judge) for each in wanted if each.is_asked(quick)]

    def tables(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Title -> the names of the cases whose raw figures it shows."""
        begins = {title: tuple(each) for title, each in self.content["tables"].items()}
        return {title: [n for n in names if n.startswith(b)] for title, b in begins.items()}

    def pace(self, quick: bool) -> Pace:
        own = self.content.get("quick" if quick else "full")
        return Pace(**own) if own else QUICK if quick else FULL

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Measure, print, and say by the exit status whether all data was right."""
        parser = parser_of(f"ask.py {self.name}", self.content["header"])
        stores = "store raw results in benchmarks/results/"
        parser.add_argument("--quick", action="store_true", help="shorter runs, fewer rounds")
        parser.add_argument("--save", action="store_true", help=stores)
        options = parser.parse_args(arguments)
        if why := self.unavailable():
            print(f"Nothing was measured: {why}.", file=sys.stderr)
            return 2
        pace = self.pace(options.quick)
        wanted = self.cases(options.quick)
        cases = [case.at(pace) for case in wanted if all(map(is_installed, requires(case)))]
        needed = {name for case in cases for name in requires(case)} - {"seqloader"}
        measured_on = machine.describe(sorted(needed))
        print("\n".join(measured_on.lines()))
        for distribution, names in missing(wanted).items():
            print(f"{distribution} is not installed; left out: {'; '.join(names)}")

        figures = Figures(in_turn(cases, pace.rounds))
        rows = self.rows(figures, options.quick)

        for title, shown in self.tables(list(figures.cases)).items():
            report.show_figures(title, figures, shown)
        report.show_rows(self.content["header"].partition("\n")[0], rows)
        report.show_failures(figures.failures())
        if options.save:
            path = self.save(figures, rows, measured_on, quick=options.quick)
            print(f"Raw results: {path.relative_to(BENCHMARKS.parent)}")
        return figures.exit_status()

    def save(
        self, figures: Figures, rows: Sequence[Row], measured_on: machine.Machine, *, quick: bool
    ) -> Path:
        """Store the raw results under the name of this moment."""
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = BENCHMARKS / "results" / f"{self.name}-{moment}.json"
        content = {
            "benchmark": self.name,
            "measured": now(),
            "quick": quick,
            "machine": dataclasses.asdict(measured_on),
            "rows": [row.to_dict() for row in rows],
            "runs": [run.to_dict() for run in figures.runs],
        }
        store(path, content)
        return path


def parser_of(name: str, header: str | None) -> argparse.ArgumentParser:
    """Of the options of a script, which shows its header as its help."""
    prog, form = f"python benchmarks/{name}", argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(prog, description=header, formatter_class=form)


def described(script: str, unavailable: Callable[[], str] = str) -> Script:
    """The script that a TOML file describes."""
    file = Path(script).with_suffix(".toml")
    return Script(file.stem, tomllib.loads(file.read_text(encoding="utf-8")), unavailable)


def requires(case: Case) -> tuple[str, ...]:
    """The distributions that it is measured with."""
    of_peer = () if case.engine == "none" else find_peer(case.engine).requires
    return (*of_peer, case.requires) if case.requires else of_peer


def missing(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Distribution that is not installed -> names of the cases that need it."""
    needed = dict.fromkeys(name for case in cases for name in requires(case))
    return {
        name: [case.name for case in cases if name in requires(case)]
        for name in needed
        if not is_installed(name)
    }


def in_turn(cases: Sequence[Case], rounds: int) -> list[Run]:
    """Run all cases once, then all once more, ...: what the machine does meets all of them."""
    turns = list(Schedule({"": cases}, rounds, budget_s=math.inf).turns(""))
    runs: list[Run] = []
    with bar(plain_console(0, stderr=True), len(turns), TaskProgressColumn()) as draw:
        for turn in turns:
            if draw is not None:
                draw(f"round {turn.round} of {rounds}: {turn.case.name}", len(runs))
            runs.append(dataclasses.replace(run_fresh(turn.case), round=turn.round))
    return runs
