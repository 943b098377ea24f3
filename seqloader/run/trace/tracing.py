"""`enqueuer.trace()`: a trace begins and ends with a `with` block."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from seqloader.run import messages
from seqloader.run.trace.events import Trace
from seqloader.run.trace.file import InUseError, TraceFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from seqloader.run.observed import Observed
    from seqloader.run.parts import UnderWay
    from seqloader.run.session import Session
    from seqloader.stats import Stats

__all__ = ["Traced", "Tracing"]


class Traced(Protocol):
    """A run, as a trace knows it."""

    session: Session
    observed: Observed

    @property
    def epochs(self) -> UnderWay:
        """Asked which is under way."""

    @property
    def sequence(self) -> Any:
        """Whose batches they are."""

    def facts(self) -> Callable[[], Stats | None]:
        """The counts so far; None: the run is gone."""


class Tracing:
    """What `enqueuer.trace()` returns: in its `with` block, a trace is written.

    Args:
        run: what is traced.
        path: of the file.
        limit_bytes: its size, at most.
    """

    def __init__(self, run: Traced, path: str | os.PathLike[str], limit_bytes: int) -> None:
        self.path = Path(path)
        """The file that is written."""
        self._run = run
        self._limit = limit_bytes
        self._trace: Trace | None = None

    def __enter__(self) -> Tracing:
        run = self._run
        run.session.call(lambda: self._begin(run))
        return self

    def _begin(self, run: Traced) -> None:
        observed = run.observed
        if observed.trace is not None:
            raise RuntimeError(
                f"this enqueuer is traced already, to {observed.trace.file.path}: one trace at a "
                "time"
            )
        try:
            file = TraceFile(os.fspath(self.path), self._limit)
        except InUseError:
            raise ValueError(
                f"{self.path} is being written by another trace: name another file"
            ) from None
        self._trace = Trace(file, type(run.sequence).__qualname__, run.facts())
        session, epoch = run.session, run.epochs.epoch
        size = {"workers": session.workers, "max_queue_size": session.max_queue_size}
        self._trace.happens("size", size)
        if epoch is not None:
            self._trace.epoch_begins(epoch.number, epoch.plan.count)
        observed.trace = self._trace

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        trace, observed = self._trace, self._run.observed
        if trace is None:
            return
        failed = None
        if observed.trace is trace:  # else an error in writing has ended it
            failed = observed.trace_failure()
            observed.trace = None
        trace.close()
        self._trace = None
        if failed is not None:
            messages.issue(failed)
