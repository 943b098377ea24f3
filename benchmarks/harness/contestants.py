"""What is known of a peer when its figures are judged, also long after they were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peers import Peer

OURS = "seqloader"


@dataclass(frozen=True)
class Contestant:
    """A peer as it is stored beside its figures."""

    name: str
    version: str = ""
    missing: tuple[str, ...] = ()
    """Distributions that were not installed; it was not measured then."""
    ordered: bool = True
    bounded: bool = True
    is_yardstick: bool = False
    reservation: str = ""

    @classmethod
    def of(cls, peer: Peer) -> Contestant:
        """The peer as it is installed here."""
        missing = peer.missing()
        version = "" if missing else peer.version()
        keeps = (peer.ordered, peer.bounded)
        return cls(peer.name, version, missing, *keeps, peer.is_yardstick, peer.reservation)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Contestant:
        return cls(**{**values, "missing": tuple(values["missing"])})

    @property
    def is_ours(self) -> bool:
        return self.name == OURS

    @property
    def counts(self) -> bool:
        """Whether it may be the best peer: one that keeps order and bound, and is no yardstick."""
        return self.ordered and self.bounded and not self.is_yardstick and not self.is_ours

    @property
    def absence(self) -> str:
        """Why it was not measured, where distributions were missing."""
        return f"not installed: {', '.join(self.missing)}" if self.missing else ""
