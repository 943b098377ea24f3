"""A bar for each epoch, in a terminal or notebook: `progress=True`. It needs tqdm.

Rules
    B1  No thread, and nothing that is global to the process: neither tqdm's monitor, nor the lock
        between processes that it would make.
    B2  An output that fails (a closed stream, a notebook that is gone) ends the bar, and nothing
        else.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from seqloader.stats.judge import FED_SHARE
from seqloader.stats.verdict import Cause

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.stats.stats import Stats
    from seqloader.stats.verdict import Verdict

__all__ = ["REFRESH_S", "Progress"]

REFRESH_S: Final = 0.25
"""Between two looks at the counts. It keeps the bar's cost far below that of the batches."""


class Progress:
    """The bar of the epoch under way.

    Raises:
        ImportError: tqdm is not installed.
    """

    def __init__(self) -> None:
        self._make = _maker()
        self._bar: Any = None
        self._failed = False
        self._said: Cause | None = None

    def show(self, stats: Stats, done: int, total: int | None, verdict: Verdict | None) -> None:
        """As far as the epoch is.

        Args:
            stats: Of the epoch.
            done: Its positions that are done, those before a resume included.
            total: None: endless.
            verdict: Where the consumer waits more than it should.
        """
        if self._failed:
            return
        try:
            if self._bar is None:
                before = max(0, done - stats.delivered)
                self._bar = self._make(
                    total=total,
                    initial=before,
                    desc=f"epoch {stats.number}",
                    unit="batch",
                    mininterval=0.0,
                    miniters=1,
                )
                # It has been under way since before its first batch.
                begun_s = self._bar.start_t - (stats.waited_s + stats.handed_s + stats.loop_s)
                self._bar.start_t = self._bar.last_print_t = begun_s
            bar = self._bar
            bar.set_postfix_str(_postfix(stats, verdict), refresh=False)
            bar.update(done - bar.n)
        except Exception:
            self._failed = True
            self.close()

    def say(self, verdict: Verdict) -> None:
        """The whole sentence, below the bar; once for each cause in a row."""
        if self._bar is None or verdict.cause is self._said:
            return
        self._said = verdict.cause
        with suppress(Exception):
            self._bar.write(str(verdict), file=self._bar.fp)

    def close(self) -> None:
        """The epoch is over, however it ended. Idempotent."""
        bar, self._bar = self._bar, None
        if bar is not None:
            with suppress(Exception):
                bar.close()


def _postfix(stats: Stats, verdict: Verdict | None) -> str:
    waited = f"waited {stats.waited_share:.0%}"
    if verdict is None or stats.waited_share <= FED_SHARE:
        return waited
    return f"{waited} ({verdict.cause})"


def _maker() -> Callable[..., Any]:
    try:
        from tqdm.auto import tqdm
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "tqdm":
            raise  # it is there, and lacks something itself
        raise ImportError(
            'progress=True needs tqdm, which is not installed: pip install "seqloader[progress]"',
            name="tqdm",
        ) from error

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0  # of this class alone: no thread watches it

        def __del__(self) -> None:
            with suppress(Exception):  # one that could not be made has not what this asks for
                super().__del__()

    # tqdm's own would be a semaphore between processes. Its bars elsewhere keep theirs.
    Bar.set_lock(threading.RLock())
    return Bar
