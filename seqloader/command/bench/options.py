"""The arguments of `seqloader bench`. Imported with the command line: it brings nothing heavy."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqloader.command.argument_kinds import at_least, file_to_be, more_than_nothing, picture_to_be
from seqloader.command.target_options import add_target
from seqloader.memory.cpus import usable_cpus

__all__ = ["Settings", "add_options", "default_workers", "settings_of"]


@dataclass(frozen=True)
class Settings:
    """The arguments of the command; its `--help` describes the fields."""

    target: str
    arg: tuple[str, ...] = ()
    workers: tuple[int, ...] = ()
    queue: int | None = None
    seconds: float = 1.0
    batches: int | None = None
    rounds: int = 3
    step_ms: float | None = None
    executor: str = "process"
    start_method: str | None = None
    seed: int | None = None
    touch: bool = True
    plot: Path | None = None
    json: Path | None = None

    @property
    def further_options(self) -> dict[str, Any]:
        """Arguments of the enqueuer beside workers and queue, as far as they were given."""
        options = {
            "executor": None if self.executor == "process" else self.executor,
            "start_method": self.start_method,
            "seed": self.seed,
        }
        return {name: value for name, value in options.items() if value is not None}


def default_workers(cpus: int) -> tuple[int, ...]:
    """0, 1, 2, 4, ... and as many workers as there are CPUs."""
    doubled = (1 << power for power in range(cpus.bit_length()))
    return (0, *sorted({*doubled, cpus}))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all arguments of the command."""
    add_target(parser)
    _add_enqueuer(parser)
    _add_pace(parser)
    _add_output(parser)


def _add_enqueuer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=_worker_counts,
        metavar="LIST",
        help="numbers of workers, as 0,1,2,4; 0 computes in the consumer (default: 0, 1, 2, 4, ... "
        "up to the CPUs that this process may use). A plain loop is always measured, too",
    )
    parser.add_argument(
        "--queue",
        type=at_least(1),
        metavar="N",
        help="max_queue_size (default: that of OrderedEnqueuer)",
    )
    parser.add_argument("--executor", choices=["process", "thread", "ray"], default="process")
    parser.add_argument("--start-method", choices=["spawn", "zygote", "fork"])
    parser.add_argument("--seed", type=at_least(0), metavar="N")


def _add_pace(parser: argparse.ArgumentParser) -> None:
    stretch = parser.add_mutually_exclusive_group()
    stretch.add_argument(
        "--seconds",
        type=more_than_nothing,
        default=1.0,
        metavar="S",
        help="how long each measurement takes batches (default: %(default)g)",
    )
    stretch.add_argument(
        "--batches", type=at_least(1), metavar="N", help="or how many batches each takes"
    )
    parser.add_argument(
        "--rounds",
        type=at_least(1),
        default=3,
        metavar="N",
        help="how often everything is measured, in turn (default: %(default)d)",
    )
    parser.add_argument(
        "--step-ms",
        type=more_than_nothing,
        metavar="T",
        help="also measure how long a training loop waits whose step takes T milliseconds "
        "(it sleeps, as one that waits for a GPU)",
    )
    parser.add_argument(
        "--touch",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="read a byte of each page of every batch in the consumer (default: yes)",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plot",
        type=picture_to_be,
        default=Path("seqloader-bench.png"),
        metavar="FILE",
        help="where the plot goes (default: ./%(default)s)",
    )
    parser.add_argument("--no-plot", dest="plot", action="store_const", const=None)
    parser.add_argument("--json", type=_record_to_be, metavar="FILE", help="store the raw figures")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """What was asked for, from the arguments as parsed.

    Raises:
        ValueError: Two of them contradict each other.
    """
    if arguments.executor == "thread" and arguments.start_method is not None:
        raise ValueError("--start-method is for worker processes: --executor thread has none")
    given: dict[str, Any] = {k: v for k, v in vars(arguments).items() if k != "run"}
    given["arg"] = tuple(given["arg"])
    given["workers"] = given["workers"] or default_workers(usable_cpus())
    return Settings(**given)


def _worker_counts(text: str) -> tuple[int, ...]:
    number = at_least(0)
    try:
        return tuple(sorted({number(each) for each in text.split(",")}))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of whole numbers >= 0, such as 0,1,2"
        ) from None


def _record_to_be(text: str) -> Path:
    if text == "-":
        raise argparse.ArgumentTypeError("the table goes to standard output: name a file")
    return file_to_be(text)
