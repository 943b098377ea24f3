"""Our own `stop()`, told from errors of user code that look like it."""

from __future__ import annotations

from seqloader.errors import EnqueuerStopped

__all__ = ["OwnStop"]


class OwnStop:
    """What `stop()` raises in a consumer whose epoch it cuts short.

    `get()` ends with it. One that user code raises, of another enqueuer, is an error like any.
    """

    def __init__(self) -> None:
        self._raised: EnqueuerStopped | None = None

    def while_beginning(self, epoch: int) -> EnqueuerStopped:
        """The error to raise where that epoch was about to begin."""
        return self._ours(f"while epoch {epoch} began")

    def cutting(self, epoch: int) -> EnqueuerStopped:
        """The error to raise where that epoch is cut short."""
        return self._ours(f"before epoch {epoch} was delivered completely")

    def _ours(self, when: str) -> EnqueuerStopped:
        self._raised = EnqueuerStopped(f"stop() was called {when}")
        return self._raised

    def is_ours(self, error: BaseException) -> bool:
        """Whether this is ours. Asked once."""
        own, self._raised = error is self._raised, None
        return own
