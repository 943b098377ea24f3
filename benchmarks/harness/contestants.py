"""What is known of a peer when its figures are judged, also long after they were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peers import Peer

__all__ = ["OURS", "Contestant", "contestants"]

OURS = "seqloader"


@dataclass(frozen=True)
class Contestant:
    """A peer as it is stored beside its figures."""

    name: str
    version: str
    missing: tuple[str, ...]
    """Distributions that were not installed; it was not measured then."""
    ordered: bool
    bounded: bool
    is_yardstick: bool
    reservation: str

    @property
    def is_ours(self) -> bool:
        return self.name == OURS

    @property
    def counts(self) -> bool:
        """Whether it may be the best peer: one that keeps order and bound, and is no yardstick."""
        return self.ordered and self.bounded and not self.is_yardstick and not self.is_ours


def contestants(peers: Sequence[Peer]) -> list[Contestant]:
    """The peers as they are installed here."""
    return [
        Contestant(
            name=peer.name,
            version="" if peer.missing() else peer.version(),
            missing=peer.missing(),
            ordered=peer.ordered,
            bounded=peer.bounded,
            is_yardstick=peer.is_yardstick,
            reservation=peer.reservation,
        )
        for peer in peers
    ]
