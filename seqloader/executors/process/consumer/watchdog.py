"""Which workers are past their time. Pure: facts and a clock reading in, numbers out.

A worker is overdue when the ticket it has noted is older than `timeout_s`. One that is stopped
(SIGSTOP) between tickets has noted none, but then a ticket that nobody has noted gets old:
when that has lasted `timeout_s`, every ready worker that does nothing is overdue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Watchdog"]

START_LIMIT_S = 120.0
"""A worker that is not ready after this, or after ten times `timeout_s` if that is longer, hangs:
loading a Sequence and `worker_init` may take far longer than a batch, but not for ever."""


class Watchdog:
    """Watches over `timeout_s`; without it, over nothing."""

    def __init__(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s
        self._neglected: int | None = None
        self._neglected_since_ns = 0

    def patience_s(self, timeout_s: float | None) -> float | None:
        """How long a wait may last before `overdue` must be asked again."""
        if self.timeout_s is None:
            return timeout_s
        # A ticket may be taken at any time during the wait, so the limit itself is no step.
        step_s = max(0.01, min(1.0, self.timeout_s / 8))
        return step_s if timeout_s is None else min(step_s, timeout_s)

    def never_ready(self, starting: Collection[tuple[int, int]], now_ns: int) -> list[int]:
        """Numbers of the workers to kill because they do not become ready.

        Args:
            starting: (number, when it was launched in ns) of each worker that is not ready.
            now_ns: the time, on the same clock.
        """
        if self.timeout_s is None:
            return []
        limit_ns = int(max(10 * self.timeout_s, START_LIMIT_S) * 1e9)
        return [number for number, born_ns in starting if now_ns - born_ns > limit_ns]

    def overdue(
        self, workers: Collection[tuple[int, int, int]], written: Collection[int], now_ns: int
    ) -> list[int]:
        """Numbers of the workers to kill.

        Args:
            workers: (number, serial taken or 0, since when in ns) of each ready worker.
            written: serials that were written and are not answered.
            now_ns: the time, on the workers' clock.
        """
        if self.timeout_s is None:
            return []
        limit_ns = int(self.timeout_s * 1e9)
        late = [n for n, taken, since in workers if taken and now_ns - since > limit_ns]
        noted = {taken for _, taken, _ in workers}
        neglected = min((serial for serial in written if serial not in noted), default=None)
        idle = [n for n, taken, _ in workers if not taken]
        if neglected is None or not idle or neglected != self._neglected:
            self._neglected = neglected if idle else None
            self._neglected_since_ns = now_ns
        elif now_ns - self._neglected_since_ns > limit_ns:
            self._neglected = None
            late += idle
        return late
