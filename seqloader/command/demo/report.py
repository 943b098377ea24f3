"""What the demo says: the table, the comparison in words, and warnings in one line each."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table
from rich.text import Text

from seqloader.command.losses import telling_losses

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import Console

    from seqloader.command.demo.passes import BatchChecksum, Passed

__all__ = ["Comparison", "Difference", "compare", "table", "terse_warnings"]

BYTES_PER_MIB = 2**20


class Difference(NamedTuple):
    """A batch that is not what the plain loop made of it, or is missing, or one too many."""

    epoch: int
    batch: int


class Comparison(NamedTuple):
    """Every batch of one pass against the batch in the same place of the other."""

    compared: int
    differences: list[Difference]

    def in_words(self) -> str:
        if not self.differences:
            return f"{self.compared} batches compared: identical."
        first = self.differences[0]
        count = len(self.differences)
        return (
            f"{self.compared} batches compared: {count} {'differs' if count == 1 else 'differ'}, "
            f"first batch {first.batch} of epoch {first.epoch}."
        )


def compare(expected: Passed, delivered: Passed) -> Comparison:
    """Compare place by place; a batch too few or too many is a difference, too."""
    compared = 0
    differences = []
    no_epoch: list[BatchChecksum] = []
    for epoch, (wanted, got) in enumerate(
        zip_longest(expected.epochs, delivered.epochs, fillvalue=no_epoch)
    ):
        for batch, (one, other) in enumerate(zip_longest(wanted, got)):
            compared += 1
            if one != other:
                differences.append(Difference(epoch, batch))
    return Comparison(compared, differences)


def table(plain: Passed, enqueued: Passed) -> Table:
    """Both passes side by side."""
    grid = Table()
    grid.add_column("", no_wrap=True)
    for heading in ("batches/s", "speed-up", "waited (s)", "in all (s)", "memory (MiB)"):
        grid.add_column(heading, justify="right")
    for each in (plain, enqueued):
        grid.add_row(
            each.name,
            f"{each.batches_per_s:.1f}",
            f"{each.batches_per_s / plain.batches_per_s:.2f} x",
            f"{each.waited_s:.1f}",
            f"{each.elapsed_s:.1f}",
            f"{each.peak_memory_bytes / BYTES_PER_MIB:.0f}",
        )
    return grid


def terse_warnings(console: Console) -> AbstractContextManager[None]:
    """Show every `WorkerLostWarning` as one line on `console`, all other warnings as usual."""

    def tell(text: str) -> None:
        line = Text(text.partition("\n")[0], style="dim")
        console.print(line, no_wrap=True, overflow="ellipsis")

    return telling_losses(tell)
