"""The demo from beginning to end: cut, load twice, compare, report."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from seqloader.command.demo.crops import cut_crops
from seqloader.command.demo.passes import enqueuer_pass, plain_pass
from seqloader.command.demo.photographs import photographs_in
from seqloader.command.demo.pictures import PictureSequence
from seqloader.command.demo.report import compare, table, terse_warnings
from seqloader.command.demo.sheet import write_sheet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seqloader.command.demo.crops import Crops
    from seqloader.command.demo.passes import Passed
    from seqloader.command.demo.photographs import Photograph

__all__ = ["EXIT_DIFFERENT", "EXIT_IDENTICAL", "Settings", "run_demo"]

EXIT_IDENTICAL = 0
EXIT_DIFFERENT = 1


@dataclass(frozen=True)
class Settings:
    """What `seqloader demo` was asked for; its `--help` describes the fields."""

    output: Path
    images: Path | None = None
    keep: Path | None = None
    workers: int | None = None
    chaos: bool = False
    batch_size: int = 32
    epochs: int = 2
    crops: int = 1000


def run_demo(settings: Settings, console: Console | None = None) -> int:
    """Run the demo; returns the exit status: 1 if a batch differs from the plain loop's.

    Raises:
        NoPicturesError: There are no pictures, or one of them cannot be read.
    """
    console = console or Console(highlight=False, emoji=False)
    photographs = photographs_in(settings.images)
    with _crop_folder(settings.keep) as folder:
        _say_pictures(console, settings, photographs, folder)
        crops = cut_crops(photographs, folder, count=settings.crops)
        with terse_warnings(console), _progress(console) as progress:
            plain, enqueued = _both_passes(settings, crops, progress)

    console.print(table(plain, enqueued))
    if settings.chaos:
        console.print(
            f"{enqueued.kills} workers killed with SIGKILL, {enqueued.respawns} replaced."
        )
    _write_sheet(console, settings.output, enqueued, crops)
    comparison = compare(plain, enqueued)
    console.print(comparison.in_words())
    return EXIT_DIFFERENT if comparison.differences else EXIT_IDENTICAL


@contextmanager
def _crop_folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="seqloader-demo-") as folder:
        yield Path(folder)


def _say_pictures(
    console: Console, settings: Settings, photographs: list[Photograph], folder: Path
) -> None:
    source = (
        f"scikit-image {metadata.version('scikit-image')} (CC0 or public domain)"
        if settings.images is None
        else os.fspath(settings.images)
    )
    console.print(f"{len(photographs)} photographs from {source}", soft_wrap=True)
    console.print(f"cutting {settings.crops} crops into {folder}", soft_wrap=True)


def _progress(console: Console) -> Progress:
    # It draws when told to, not from a thread of its own: nothing shall compete with the loop.
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        auto_refresh=False,
    )


def _both_passes(settings: Settings, crops: Crops, progress: Progress) -> tuple[Passed, Passed]:
    def sequence() -> PictureSequence:
        return PictureSequence(crops.paths, crops.labels, settings.batch_size)

    def bar(name: str) -> Callable[[int], None]:
        task = progress.add_task(name, total=settings.epochs * len(sequence()))

        def after_batch(delivered: int) -> None:
            progress.update(task, completed=delivered, refresh=True)

        return after_batch

    plain = plain_pass(sequence(), settings.epochs, bar("plain loop"))
    enqueued = enqueuer_pass(
        sequence(),
        settings.epochs,
        bar("enqueuer"),
        workers=settings.workers,
        chaos=settings.chaos,
    )
    return plain, enqueued


def _write_sheet(console: Console, output: Path, enqueued: Passed, crops: Crops) -> None:
    if enqueued.sample is None:
        return
    images, labels = enqueued.sample
    heading = (
        f"First batch of epoch {len(enqueued.epochs) - 1}, from the enqueuer: "
        f"{len(images)} pictures, {len(set(labels.tolist()))} labels"
    )
    write_sheet(output, images, labels, crops.names, heading)
    console.print(f"contact sheet: {output.resolve()}", soft_wrap=True)
