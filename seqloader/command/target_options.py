"""The arguments that name a Sequence. Imported with the command line: it brings nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ["add_target"]


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add TARGET and --arg, which `load_sequence` and `parse_arguments` understand."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="module:attribute or path/to/file.py:attribute; the attribute is a Sequence, its "
        "class, or a function that returns one",
    )
    parser.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="[NAME=]VALUE",
        help="argument of that class or function; may be given several times. A value is a Python "
        "literal, or else a string",
    )
