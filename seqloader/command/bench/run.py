"""`seqloader bench` from beginning to end: find the Sequence, measure it, say what came of it."""

from __future__ import annotations

import itertools
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import TimeElapsedColumn

from seqloader.command.bench import report
from seqloader.command.bench.benchmark import Benchmark
from seqloader.command.bench.recommendation import recommend
from seqloader.command.bench.record import write_record
from seqloader.command.bench.verdict import judge_bench
from seqloader.command.faults import SequenceFault, fault_text, without_enqueuer
from seqloader.command.losses import telling_losses
from seqloader.command.target import load_sequence, parse_arguments
from seqloader.command.terminal import bar, plain_console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rich.console import Console

    from seqloader.command.bench.figures import Facts
    from seqloader.command.bench.options import Settings
    from seqloader.command.bench.recommendation import Recommendation
    from seqloader.stats.verdict import Verdict

__all__ = ["EXIT_FAULT", "run_bench", "tell_losses"]

EXIT_FAULT = 1
NO_MATPLOTLIB = 'There is no plot, since matplotlib is missing: pip install "seqloader[bench]"'
WIDTH_REDIRECTED = 110


def run_bench(settings: Settings) -> int:
    """Run the command; returns the exit status: 1 if the Sequence raised.

    Raises:
        TargetError: What the command names is no Sequence, and makes none.
        OSError: The plot or the record cannot be written.
    """
    console = plain_console(WIDTH_REDIRECTED)
    try:
        sequence = load_sequence(settings.target, parse_arguments([*settings.arg]))
        benchmark = Benchmark(sequence, settings)
        console.print(report.heading(sequence, settings, benchmark), soft_wrap=True)
        _measure(benchmark, settings, console)
    except SequenceFault as fault:
        print(
            without_enqueuer(fault_text(fault.error), settings.target, settings.arg),
            file=sys.stderr,
        )
        return EXIT_FAULT
    _conclude(benchmark, settings, console)
    return 0


def tell_losses(console: Console) -> AbstractContextManager[None]:
    """Print every `WorkerLostWarning` without its place in the code, other warnings as usual."""
    # Redirected, it is one line to search in; a terminal wraps it between words.
    whole = not console.is_terminal
    return telling_losses(lambda text: console.print(text, style="dim", soft_wrap=whole))


def _measure(benchmark: Benchmark, settings: Settings, console: Console) -> None:
    try:
        with tell_losses(console), _progress(console, benchmark.measurements) as show:
            benchmark.measure_all(show)
    except KeyboardInterrupt:
        if benchmark.rounds:
            _show_table(benchmark, settings, console, "Interrupted: the rounds so far")
            if settings.json is not None:
                write_record(settings.json, benchmark, settings)
                console.print(f"raw figures: {settings.json.resolve()}", soft_wrap=True)
        raise


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[str], None]]:
    with bar(console, total, TimeElapsedColumn()) as draw:
        begun = itertools.count()
        yield _say_rounds() if draw is None else lambda text: draw(text, next(begun))


def _say_rounds() -> Callable[[str], None]:
    """A line for each round, beside the output that somebody redirects."""
    said: set[str] = set()

    def show(description: str) -> None:
        round_of = description.partition(":")[0]
        if round_of not in said:
            said.add(round_of)
            print(f"measuring: {round_of}", file=sys.stderr, flush=True)

    return show


def _show_table(benchmark: Benchmark, settings: Settings, console: Console, title: str) -> None:
    figures = benchmark.figures()
    if not console.is_terminal:
        whole = report.table_width(report.table(figures, settings, title), console)
        console.width = max(WIDTH_REDIRECTED, whole)
    console.print(report.fitting_table(figures, settings, title, console))
    for line in report.notes(figures, settings):
        console.print(line, style="dim", soft_wrap=True)


def _conclude(benchmark: Benchmark, settings: Settings, console: Console) -> None:
    facts = benchmark.facts()
    verdict, recommendation = judge_bench(facts), recommend(facts)
    _show_table(benchmark, settings, console, "")
    console.print()
    if facts.is_disturbed and verdict is None:
        console.print(report.disturbance(facts), style="yellow", soft_wrap=True)
    console.print(f"Bottleneck: {verdict or report.NO_WORKERS}", soft_wrap=True)
    console.print(f"Recommended: {recommendation.why}", soft_wrap=True)
    line = recommendation.line(settings.further_options)
    console.print(f"    {line}", style="bold", soft_wrap=True)
    console.print()
    if settings.json is not None:
        write_record(settings.json, benchmark, settings, verdict, recommendation)
        console.print(f"raw figures: {settings.json.resolve()}", soft_wrap=True)
    if settings.plot is not None:
        _plot(settings.plot, settings, facts, verdict, recommendation, console)


def _plot(
    path: Path,
    settings: Settings,
    facts: Facts,
    verdict: Verdict | None,
    recommendation: Recommendation,
    console: Console,
) -> None:
    try:
        from seqloader.command.bench.plot import write_plot
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        console.print(NO_MATPLOTLIB, soft_wrap=True)
        return
    write_plot(path, settings.target, facts, verdict, recommendation)
    console.print(f"plot: {path.resolve()}", soft_wrap=True)
