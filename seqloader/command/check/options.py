"""The arguments of `seqloader check`. Imported with the command line: it brings nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seqloader.command.argument_kinds import at_least, more_than_nothing
from seqloader.command.target_options import add_target

if TYPE_CHECKING:
    import argparse

__all__ = ["Settings", "add_options", "settings_of"]


@dataclass(frozen=True)
class Settings:
    """The arguments of the command; its `--help` describes the fields."""

    target: str
    arg: tuple[str, ...] = ()
    batches: int = 64
    epochs: int = 3
    workers: int = 2
    executor: str = "process"
    kills: int = 3
    seed: int = 0
    budget_seconds: float = 60.0
    json: bool = False

    @property
    def patience_s(self) -> float:
        return max(60.0, self.budget_seconds)  # a child's silence: making it may take long


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all arguments of the command."""
    add_target(parser)
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
            default=getattr(Settings, name),
            metavar="N",
            help=f"{text} (default: %(default)d)",
        )
    parser.add_argument("--executor", choices=["process", "ray"], default="process")
    parser.add_argument(
        "--budget-seconds",
        type=more_than_nothing,
        default=Settings.budget_seconds,
        metavar="S",
        help="about how long it may take: what is tried shrinks to fit (default: %(default)g)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document instead, for machines"
    )


def settings_of(arguments: argparse.Namespace) -> Settings:
    """What was asked for, from the arguments as parsed."""
    given: dict[str, Any] = {k: v for k, v in vars(arguments).items() if k != "run"}
    return Settings(**{**given, "arg": tuple(given["arg"])})
