"""The `seqloader` command. Each sub-command brings its arguments and a function that runs it.

Exit status: 0 all is well; 1 the sub-command found a fault; 2 it was asked for something that
cannot be done here (as argparse does); 130 interrupted.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqloader import __version__
from seqloader.command.argument_kinds import (
    at_least,
    folder,
    folder_to_be,
    more_than_nothing,
    picture_to_be,
)
from seqloader.command.bench import options as bench_options
from seqloader.command.check import options as check_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["main"]

EXIT_UNUSABLE = 2
EXIT_INTERRUPTED = 130

DEMO_EXTRA = {"skimage": "scikit-image", "PIL": "pillow", "rich": "rich"}
"""Modules that the demo imports beyond the core dependencies, and what installs each."""
BENCH_EXTRA = {"rich": "rich"}
"""The same for the benchmark, which does without its plot where matplotlib is missing."""
CHECK_EXTRA = {"rich": "rich"}
"""The same for the check."""
TOP_EXTRA = {"rich": "rich"}
"""The same for the view, but where it prints once."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own); returns the exit status."""
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="seqloader",
        description="Batches of a Sequence, computed ahead in worker processes.",
    )
    parser.add_argument("--version", action="version", version=f"seqloader {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_bench(commands)
    _add_check(commands)
    _add_report(commands)
    _add_top(commands)
    return parser


def _add_demo(commands: Commands) -> None:
    demo = commands.add_parser(
        "demo",
        help="load pictures in a plain loop and through the enqueuer, and compare",
        description=(
            "Cut photographs into labelled crops, load them in a plain loop and through the "
            "enqueuer, and compare speed and every batch. Exit status 1 if a batch differs."
        ),
    )
    demo.add_argument(
        "--images",
        type=folder,
        metavar="DIR",
        help="your own pictures: a sub-folder per label, or a flat folder (label = file name)",
    )
    demo.add_argument(
        "--keep",
        type=folder_to_be,
        metavar="DIR",
        help="put the crops here and keep them (default: a temporary folder, removed at the end)",
    )
    demo.add_argument(
        "--workers",
        type=at_least(0),
        metavar="N",
        help="worker processes (default: as many as this process may use CPUs, at most 8)",
    )
    demo.add_argument("--chaos", action="store_true", help="kill workers on the way")
    demo.add_argument("--batch-size", type=at_least(1), default=32, metavar="N")
    demo.add_argument("--epochs", type=at_least(1), default=2, metavar="N")
    demo.add_argument("--crops", type=at_least(1), default=1000, metavar="N")
    demo.add_argument(
        "--output",
        type=picture_to_be,
        default=Path("seqloader-demo.png"),
        metavar="FILE",
        help="contact sheet of one batch (default: ./%(default)s)",
    )
    demo.set_defaults(run=_run_demo)


def _run_demo(arguments: argparse.Namespace) -> int:
    if _lacks("demo", DEMO_EXTRA):
        return EXIT_UNUSABLE

    from seqloader.command.demo.photographs import NoPicturesError
    from seqloader.command.demo.run import Settings, run_demo

    settings: dict[str, Any] = {k: v for k, v in vars(arguments).items() if k != "run"}
    try:
        return run_demo(Settings(**settings))
    except NoPicturesError as error:
        print(error, file=sys.stderr)
        return EXIT_UNUSABLE


def _add_bench(commands: Commands) -> None:
    bench = commands.add_parser(
        "bench",
        help="measure a Sequence of yours, and recommend workers and queue",
        description=(
            "Measure a Sequence of yours in a plain loop and with several numbers of workers, name "
            "what limits it, and recommend workers and queue. Exit status 1 if the Sequence raises."
        ),
    )
    bench_options.add_options(bench)
    bench.set_defaults(run=functools.partial(_run_bench, bench))


def _run_bench(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    try:
        settings = bench_options.settings_of(arguments)
    except ValueError as error:
        parser.error(str(error))
    if _lacks("bench", BENCH_EXTRA):
        return EXIT_UNUSABLE

    from seqloader.command.bench.run import run_bench
    from seqloader.command.target import TargetError

    try:
        return run_bench(settings)
    except (TargetError, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_UNUSABLE


def _add_check(commands: Commands) -> None:
    check = commands.add_parser(
        "check",
        help="try a Sequence of yours, and say what is not safe about it",
        description=(
            "Try a Sequence of yours in processes of its own, and say in plain words what is not "
            "safe about it. Exit status 0 if all holds, 1 if there is a problem, 2 if there was "
            "no time to put all questions."
        ),
    )
    check_options.add_options(check)
    check.set_defaults(run=_run_check)


def _run_check(arguments: argparse.Namespace) -> int:
    if _lacks("check", CHECK_EXTRA):
        return EXIT_UNUSABLE
    if os.name != "posix":
        print("The check needs worker processes, which are for Linux and macOS", file=sys.stderr)
        return EXIT_UNUSABLE

    from seqloader.command.check.run import run_check
    from seqloader.command.target import TargetError

    try:
        return run_check(check_options.settings_of(arguments))
    except TargetError as error:
        print(error, file=sys.stderr)
        return EXIT_UNUSABLE


def _add_report(commands: Commands) -> None:
    report = commands.add_parser(
        "report",
        help="make a page of a trace",
        description=(
            "Make one page of a trace that an enqueuer has written, with SEQLOADER_TRACE or "
            "enqueuer.trace(): where the time went, a timeline, batch times, the slowest indices, "
            "memory, deaths. It needs no network."
        ),
    )
    report.add_argument("trace", type=Path, metavar="TRACE", help="the file, as run.json")
    report.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where the page goes (default: beside the trace, as run.html)",
    )
    report.set_defaults(run=_run_report)


def _run_report(arguments: argparse.Namespace) -> int:
    from seqloader.command.report.reading import NotATraceError
    from seqloader.command.report.run import run_report

    try:
        return run_report(arguments.trace, arguments.output)
    except (NotATraceError, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_UNUSABLE


def _add_top(commands: Commands) -> None:
    top = commands.add_parser(
        "top",
        help="look at the enqueuers of a running process",
        description=(
            "Show what the enqueuers of a running process do, also while it hangs: rates, waits, "
            "what each worker computes and since when, memory, deaths. Nothing has to be enabled "
            "there, and nothing runs in it for this. Linux."
        ),
    )
    top.add_argument(
        "pid",
        nargs="?",
        type=at_least(1),
        metavar="PID",
        help="the process (default: all that have enqueuers, and may be looked at)",
    )
    top.add_argument("--once", action="store_true", help="print it once, as plain text, and end")
    top.add_argument(
        "--interval",
        type=more_than_nothing,
        default=1.0,
        metavar="S",
        help="seconds between two looks, over which rates are taken (default: 1)",
    )
    top.set_defaults(run=_run_top)


def _run_top(arguments: argparse.Namespace) -> int:
    if not arguments.once and _lacks("top", TOP_EXTRA):
        return EXIT_UNUSABLE

    from seqloader.command.top.run import NothingToSeeError, run_top

    try:
        return run_top(arguments.pid, once=arguments.once, interval_s=arguments.interval)
    except NothingToSeeError as error:
        print(error, file=sys.stderr)
        return EXIT_UNUSABLE


def _lacks(command: str, extra: Mapping[str, str]) -> bool:
    missing = [package for module, package in extra.items() if not _is_there(module)]
    if missing:
        print(
            f"The {command} needs {' and '.join(missing)}, not installed here: "
            f'pip install "seqloader[{command}]"',
            file=sys.stderr,
        )
    return bool(missing)


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
