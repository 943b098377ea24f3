"""The frame of every script: its options, its runs, its tables, its raw results."""

from __future__ import annotations

import argparse
import dataclasses
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from peers import find as find_peer
from peers.peer import is_installed
from rich.progress import TaskProgressColumn

from harness import report
from harness.cases import FULL, QUICK, Case, Pace, Run
from harness.chapter import Wanted
from harness.figures import Figures
from harness.judge import Judge
from harness.processes import BENCHMARKS, run_fresh
from harness.verdict import Row
from seqloader.command import machine
from seqloader.command.stored import now, store
from seqloader.command.terminal import bar, plain_console

__all__ = ["Script", "described", "in_turn", "missing", "requires"]


@dataclasses.dataclass(frozen=True)
class Script:
    """One question: the cases that answer it, and the rows to judge them by."""

    name: str
    header: str
    """The docstring of the script: what `--help` shows."""
    cases: Callable[[bool], Sequence[Case]]
    """The cases, given whether it must be quick."""
    rows: Callable[[Figures, bool], Sequence[Row]]
    tables: Callable[[Sequence[str]], Mapping[str, Sequence[str]]]
    """Given the names of all cases: the tables of raw figures, as title -> names."""
    full: Pace = FULL
    quick: Pace = QUICK

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Measure, print, and say by the exit status whether all data was right."""
        options = self._parse(arguments)
        pace = self.quick if options.quick else self.full
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
        report.show_rows(self.header.partition("\n")[0], rows)
        report.show_failures(figures.failures())
        if options.save:
            path = self.save(figures, rows, measured_on, quick=options.quick)
            print(f"Raw results: {path.relative_to(BENCHMARKS.parent)}")
        return figures.exit_status()

    def _parse(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        parser = argparse.ArgumentParser(
            prog=f"python benchmarks/{self.name}.py",
            description=self.header,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("--quick", action="store_true", help="shorter runs, fewer rounds")
        parser.add_argument(
            "--save", action="store_true", help="store raw results in benchmarks/results/"
        )
        return parser.parse_args(arguments)

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


def described(script: str, header: str) -> Script:
    """A script whose cases, rows and tables are in the TOML file beside it.

    A case has the fields of `Case`; `quick` holds what is otherwise in a quick run, which leaves
    out what is `full_only`. A row has the fields of `Wanted`, and those of its `Column`.
    """
    file = Path(script).with_suffix(".toml")
    content = tomllib.loads(file.read_text(encoding="utf-8"))

    def cases(quick: bool) -> list[Case]:
        found = []
        for facts in content["cases"]:
            facts, of_quick = dict(facts), facts.get("quick", {})
            if not (facts.pop("full_only", False) and quick):
                facts.pop("quick", None)
                found.append(Case(**{**facts, **(of_quick if quick else {})}))
        return found

    def rows(figures: Figures, quick: bool) -> list[Row]:
        judge = Judge("", figures, (), quick)
        wanted = [Wanted.of(facts) for facts in content["rows"]]
        return [each.row(judge) for each in wanted if each.is_asked(quick)]

    def tables(names: Sequence[str]) -> dict[str, list[str]]:
        begins = {title: tuple(each) for title, each in content["tables"].items()}
        return {title: [n for n in names if n.startswith(b)] for title, b in begins.items()}

    paces = {name: Pace(**content[name]) for name in ("full", "quick") if name in content}
    return Script(file.stem, header, cases, rows, tables, **paces)


def requires(case: Case) -> tuple[str, ...]:
    """The distributions that it is measured with."""
    of_peer = () if case.engine == "none" else find_peer(case.engine).requires
    return (*of_peer, case.requires) if case.requires else of_peer


def missing(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Distribution that is not installed -> names of the cases that need it."""
    names_of: dict[str, list[str]] = {}
    for case in cases:
        for distribution in requires(case):
            if not is_installed(distribution):
                names_of.setdefault(distribution, []).append(case.name)
    return names_of


def in_turn(cases: Sequence[Case], rounds: int) -> list[Run]:
    """Run all cases once, then all once more, ...: what the machine does meets all of them."""
    turns = [
        (number, case)
        for number in range(1, rounds + 1)
        for case in cases
        if case.max_rounds is None or number <= case.max_rounds
    ]
    runs: list[Run] = []
    with bar(plain_console(0, stderr=True), len(turns), TaskProgressColumn()) as draw:
        for number, case in turns:
            if draw is not None:
                draw(f"round {number} of {rounds}: {case.name}", len(runs))
            runs.append(dataclasses.replace(run_fresh(case), round=number))
    return runs
