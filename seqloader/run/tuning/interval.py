"""An interval of a run: what was counted when it began, and what has come about since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from seqloader.executors.protocol import Measured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqloader.memory.usage import Usage
    from seqloader.stats import Counters

__all__ = ["Interval", "Measures"]


class Measures(NamedTuple):
    """What has come about since an interval began."""

    seconds: float
    waited_s: float
    delivered: int
    busy_s: float
    memory_deaths: int
    ready: int
    cpu_s: float | None
    cpu_waited_s: float
    worker_bytes: int
    """Of the largest worker; 0: unknown."""


class Interval:
    """It begins when this is made.

    Args:
        executor: whose workers are measured.
        now_s: on the monotonic clock.
    """

    def __init__(self, counters: Counters, executor: Any, now_s: float) -> None:
        self.began_s = now_s
        self._counters = counters
        self._waited_s = counters.waited_s
        self._delivered = counters.delivered
        self._busy_s = sum(counters.busy_s.values())
        self._memory_deaths = counters.memory_deaths
        self._usage = _usage_of(executor)

    @property
    def delivered(self) -> int:
        """Batches by now."""
        return self._counters.delivered - self._delivered

    def until(self, executor: Any, now_s: float) -> Measures:
        """What has come about by now."""
        counters, usage = self._counters, _usage_of(executor)
        cpu_s, cpu_waited_s = _cpu_between(self._usage, usage)
        return Measures(
            seconds=max(now_s - self.began_s, 1e-6),
            waited_s=counters.waited_s - self._waited_s,
            delivered=self.delivered,
            busy_s=sum(counters.busy_s.values()) - self._busy_s,
            memory_deaths=counters.memory_deaths - self._memory_deaths,
            ready=len(usage),
            cpu_s=cpu_s,
            cpu_waited_s=cpu_waited_s,
            worker_bytes=max((each.private_bytes for each in usage.values() if each), default=0),
        )


def _usage_of(executor: Any) -> Mapping[int, Usage | None]:
    return executor.usage() if isinstance(executor, Measured) else {}


def _cpu_between(
    before: Mapping[int, Usage | None], now: Mapping[int, Usage | None]
) -> tuple[float | None, float]:
    """Seconds of CPU, used and waited for, of the workers that were there all the time."""
    cpu_s = waited_s = 0.0
    for number, usage in now.items():
        earlier = before.get(number)
        if usage is None:
            return None, 0.0
        if earlier is not None:
            cpu_s += usage.cpu_s - earlier.cpu_s
            waited_s += usage.cpu_waited_s - earlier.cpu_waited_s
    return cpu_s, waited_s
