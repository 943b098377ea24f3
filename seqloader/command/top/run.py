"""The shell of `seqloader top`: once as plain text, or again and again on a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from seqloader.command.top.finding import NotOursError, processes
from seqloader.command.top.looking import Process, look

if TYPE_CHECKING:
    from rich.console import Group

    from seqloader.command.top.snapshot import Snapshot

__all__ = ["NothingToSeeError", "run_top"]


class NothingToSeeError(Exception):
    """There is no process to look at; says why."""


def run_top(pid: int | None, *, once: bool, interval_s: float) -> int:
    """Show the enqueuers of a process, or of all that we may look at; returns the exit status.

    Raises:
        NothingToSeeError: there are none.
    """
    if sys.platform != "linux":
        raise NothingToSeeError(
            "seqloader top looks into /proc, which only Linux has: elsewhere, ask the process "
            "itself for enqueuer.stats()"
        )
    seen, snapshots = _seen(pid, {}, interval_s)
    if not seen:
        raise NothingToSeeError(_why_nothing(pid))
    if once:
        print(text_of(seen), end="")
        return 0
    return _go_on(pid, seen, snapshots, interval_s)


def _seen(
    pid: int | None, before: dict[tuple[int, int], Snapshot], interval_s: float
) -> tuple[list[Process], dict[tuple[int, int], Snapshot]]:
    try:
        return look(processes() if pid is None else [pid], before, interval_s)
    except NotOursError:
        raise NothingToSeeError(f"process {pid} belongs to another user") from None


def _why_nothing(pid: int | None) -> str:
    if pid is None:
        return "no process of yours has an enqueuer that runs"
    return (
        f"process {pid} has no enqueuer that runs (or is none, or was looked at between two "
        "sessions). A session runs from start(), or from its first batch, to stop()"
    )


def text_of(seen: list[Process]) -> str:
    """As plain text."""
    lines = []
    for process in seen:
        lines.append(process.title)
        for one in process.enqueuers:
            lines += [f"  {one.title}", f"    {one.figures}", f"    consumer {one.consumer}"]
            for worker in one.workers:
                batches = f", batches {worker.batches}" if worker.batches else ""
                lines.append(
                    f"    worker {worker.slot} (pid {worker.pid}) {worker.state}; busy "
                    f"{worker.busy}, {worker.rate}, memory {worker.memory}{batches}"
                )
    return "\n".join(lines) + "\n"


def _go_on(
    pid: int | None,
    seen: list[Process],
    snapshots: dict[tuple[int, int], Snapshot],
    interval_s: float,
) -> int:
    from rich.live import Live

    from seqloader.command.terminal import plain_console

    with (
        contextlib.suppress(KeyboardInterrupt),  # how one leaves it
        Live(_drawn(seen), console=plain_console(120), auto_refresh=False, screen=True) as live,
    ):
        while seen:
            time.sleep(interval_s)
            seen, snapshots = _seen(pid, snapshots, interval_s)
            live.update(_drawn(seen), refresh=True)
    if not seen:
        print("no enqueuer runs there any more")
    return 0


def _drawn(seen: list[Process]) -> Group:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    for process in seen:
        parts.append(Text(process.title, style="bold"))
        for one in process.enqueuers:
            parts += [Text(""), Text(one.title), Text(one.figures)]
            style = "yellow" if one.is_waiting else "green"
            parts.append(Text(f"consumer {one.consumer}", style=style))
            if one.workers:
                table = Table(box=None, padding=(0, 2, 0, 0))
                for head in ("worker", "pid", "state", "busy", "batches", "memory", "in its arena"):
                    table.add_column(head, justify="left" if head == "state" else "right")
                for worker in one.workers:
                    table.add_row(*map(Text, worker))
                parts.append(table)
        parts.append(Text(""))
    return Group(*parts)
