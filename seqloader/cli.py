"""The `seqloader` command. Each sub-command brings its arguments and a function that runs it.

Exit status: 0 all is well; 1 the sub-command found a fault; 2 it was asked for something that
cannot be done here (as argparse does); 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqloader import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["main"]

EXIT_UNUSABLE = 2
EXIT_INTERRUPTED = 130

DEMO_EXTRA = {"skimage": "scikit-image", "PIL": "pillow", "rich": "rich"}
"""Modules that the demo imports beyond the core dependencies, and what installs each."""


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
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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
        type=_folder,
        metavar="DIR",
        help="your own pictures: a sub-folder per label, or a flat folder (label = file name)",
    )
    demo.add_argument(
        "--keep",
        type=_folder_to_be,
        metavar="DIR",
        help="put the crops here and keep them (default: a temporary folder, removed at the end)",
    )
    demo.add_argument(
        "--workers",
        type=_at_least(0),
        metavar="N",
        help="worker processes (default: as many as this process may use CPUs, at most 8)",
    )
    demo.add_argument("--chaos", action="store_true", help="kill workers on the way")
    demo.add_argument("--batch-size", type=_at_least(1), default=32, metavar="N")
    demo.add_argument("--epochs", type=_at_least(1), default=2, metavar="N")
    demo.add_argument("--crops", type=_at_least(1), default=1000, metavar="N")
    demo.add_argument(
        "--output",
        type=_picture_to_be,
        default=Path("seqloader-demo.png"),
        metavar="FILE",
        help="contact sheet of one batch (default: ./%(default)s)",
    )
    demo.set_defaults(run=_run_demo)


def _run_demo(arguments: argparse.Namespace) -> int:
    missing = [package for module, package in DEMO_EXTRA.items() if not _is_there(module)]
    if missing:
        print(
            f"The demo needs {' and '.join(missing)}, not installed here: "
            'pip install "seqloader[demo]"',
            file=sys.stderr,
        )
        return EXIT_UNUSABLE

    from seqloader.demo.photographs import NoPicturesError
    from seqloader.demo.run import Settings, run_demo

    settings: dict[str, Any] = {k: v for k, v in vars(arguments).items() if k != "run"}
    try:
        return run_demo(Settings(**settings))
    except NoPicturesError as error:
        print(error, file=sys.stderr)
        return EXIT_UNUSABLE


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _at_least(minimum: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number >= {minimum}")
        return value

    return number


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return path


def _folder_to_be(text: str) -> Path:
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} exists and is not a folder")
    return path


def _picture_to_be(text: str) -> Path:
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a file that can be written")
    if path.suffix.lower() not in {".png", ".jpg", ".jpeg"}:
        raise argparse.ArgumentTypeError(f"{text} should end in .png or .jpg")
    return path
