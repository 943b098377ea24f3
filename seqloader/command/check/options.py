"""The arguments of `seqloader check`. Imported with the command line: it brings nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqloader.argument_kinds import at_least, more_than_nothing
from seqloader.command.check.settings import Settings
from seqloader.command.target_options import add_target

if TYPE_CHECKING:
    import argparse

__all__ = ["add_options", "settings_of"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all arguments of the command."""
    add_target(parser)
    usual = Settings("")
    for name, minimum, text in (
        ("batches", 1, "how many batches are tried, at most, spread over the Sequence"),
        ("epochs", 1, "how many epochs hooks and memory are watched, at least"),
        ("workers", 0, "workers of the runs that are saved, resumed and killed"),
        ("kills", 0, "how many workers are killed, at most; 0 leaves the question out"),
        ("seed", 0, "the seed of every run"),
    ):
        parser.add_argument(
            f"--{name}",
            type=at_least(minimum),
            default=getattr(usual, name),
            metavar="N",
            help=f"{text} (default: %(default)d)",
        )
    parser.add_argument(
        "--budget-seconds",
        type=more_than_nothing,
        default=usual.budget_seconds,
        metavar="S",
        help="about how long it may take: what is tried shrinks to fit (default: %(default)g)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document instead, for machines"
    )


def settings_of(arguments: argparse.Namespace) -> Settings:
    """What was asked for, from the arguments as parsed."""
    given: dict[str, Any] = {k: v for k, v in vars(arguments).items() if k != "run"}
    given["arg"] = tuple(given["arg"])
    return Settings(**given)
