"""How far the suite has come: a bar on a terminal, plain lines elsewhere.

The bar is drawn anew when a run begins, and not in between: a thread that draws would take time
from what is measured.
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

__all__ = ["Progress", "clock"]


class Progress:
    """How much of the suite is behind us, by time."""

    def __init__(self) -> None:
        self._begun_s = time.monotonic()
        self._bar: Any = None
        self._task: Any = None
        if sys.stderr.isatty():
            self._bar = _rich_bar()
            if self._bar is not None:
                self._task = self._bar.add_task("", total=1.0, left="")

    def begin(self, what: str, left_s: float) -> None:
        """Say what runs now, and how long it and all after it will take."""
        elapsed_s = time.monotonic() - self._begun_s
        share = elapsed_s / (elapsed_s + left_s) if left_s > 0 else 1.0
        left = f"about {clock(left_s)} left"
        if self._bar is None:
            print(
                f"{clock(elapsed_s)}  {share:4.0%}  {what}  ({left})", file=sys.stderr, flush=True
            )
            return
        self._bar.start()
        self._bar.update(self._task, completed=share, description=what, left=left)
        self._bar.refresh()

    def pause(self) -> None:
        """Take the bar away, so that something else can be printed."""
        if self._bar is not None:
            self._bar.stop()


def clock(seconds: float) -> str:
    """As minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _rich_bar() -> Any:
    try:
        rich_progress: Any = importlib.import_module("rich.progress")
        rich_console: Any = importlib.import_module("rich.console")
    except ImportError:
        return None
    return rich_progress.Progress(
        rich_progress.BarColumn(bar_width=30),
        rich_progress.TaskProgressColumn(),
        rich_progress.TextColumn("{task.fields[left]}"),
        rich_progress.TextColumn("{task.description}"),
        console=rich_console.Console(stderr=True),
        auto_refresh=False,
        transient=True,
    )
