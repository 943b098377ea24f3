"""The frame of every script: its options, its runs, its tables, its raw results."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import machine, report
from harness.cases import FULL, QUICK, Case, Pace
from harness.figures import Figures
from harness.present import missing, needed, present
from harness.processes import BENCHMARKS, in_turn
from harness.verdict import Row

__all__ = ["Script"]


@dataclass(frozen=True)
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
        cases = [case.at(pace) for case in present(self.cases(options.quick))]
        measured_on = machine.describe(needed(cases))
        report.show_machine(measured_on)
        report.show_left_out(missing(self.cases(options.quick)))

        figures = Figures(in_turn(cases, pace.rounds))
        rows = self.rows(figures, options.quick)

        for title, names in self.tables(figures.names()).items():
            report.show_figures(title, figures, names)
        report.show_rows(self.header.partition("\n")[0], rows)
        report.show_failures(figures.failures())
        if options.save:
            path = self._save(figures, rows, measured_on, quick=options.quick)
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

    def _save(
        self, figures: Figures, rows: Sequence[Row], measured_on: machine.Machine, *, quick: bool
    ) -> Path:
        now = time.gmtime()
        path = BENCHMARKS / "results" / f"{self.name}-{time.strftime('%Y%m%dT%H%M%SZ', now)}.json"
        path.parent.mkdir(exist_ok=True)
        content = {
            "benchmark": self.name,
            "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", now),
            "quick": quick,
            "machine": measured_on.to_dict(),
            "rows": [row.to_dict() for row in rows],
            "runs": [run.to_dict() for run in figures.runs],
        }
        path.write_text(json.dumps(content, indent=1) + "\n")
        return path
