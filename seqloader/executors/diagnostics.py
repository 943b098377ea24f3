"""What an executor may tell of its work, for messages and `stats()`.

Optional. An executor that tells nothing works as well; its users read less. (Only where memory ran
out does it make a difference: a batch is tried again if the consumer holds some that garbage
collection could free.) It is asked through `diagnostics_of`, which stands in for the silent.

Rules
    D1  An answer is what is so now, given without waiting and without raising: also before `start`
        and after `stop`, when nothing is known.
    D2  Any thread may ask for `held_batches`, `held_bytes` and `worked`, also while another one is
        inside a call of the executor. The rest is asked for by the consumer only.

`seqloader.testing.DiagnosticsConformance` tests them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from seqloader.tickets import Ticket, Worked

__all__ = ["Diagnostics", "diagnostics_of", "worked_by"]


@runtime_checkable
class Diagnostics(Protocol):
    """What an executor may tell. One that derives from this class need not know all of it."""

    def held_batches(self) -> int:
        """How many batches lie in the executor's own memory because the consumer still refers to
        them. (0 where batches have memory of their own.)"""
        return 0

    def held_bytes(self) -> int:
        """Bytes of that memory."""
        return 0

    def worked(self) -> Worked | None:
        """What computing has taken the workers since the last start, those that are gone included;
        None: unknown. It is kept when the executor stops."""
        return None

    def holder(self, ticket: Ticket) -> tuple[int, int] | None:
        """(slot, process id) of the worker that computes `ticket` now; None: nobody, or unknown.

        A thread's process id is the consumer's own.
        """
        return None

    def busy(self) -> list[str]:
        """Which workers compute something or are not ready yet: some words for each."""
        return []

    def edited(self) -> list[tuple[str, str]]:
        """Modules of the user's, with their files, that workers may have in two versions, since
        they were edited after the first workers had imported them. Each is told once."""
        return []


class _NothingKnown(Diagnostics):
    """Stands in for an executor that tells nothing."""


_NOTHING_KNOWN = _NothingKnown()


def diagnostics_of(executor: Any) -> Diagnostics:
    """The executor itself, if it has `Diagnostics`; else, and for None, what knows nothing."""
    return executor if isinstance(executor, Diagnostics) else _NOTHING_KNOWN


def worked_by(executor: Any) -> Worked | None:
    """`worked()` of an executor that has it.

    Asked at every epoch: `isinstance` with a Protocol would take longer than all else that is asked
    then.
    """
    worked: Worked | None = executor.worked() if hasattr(executor, "worked") else None
    return worked
