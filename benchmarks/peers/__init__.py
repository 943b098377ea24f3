"""Every way to compute batches ahead that we compare: small files, listed in `peers.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path

from peers.peer import Loader as Loader
from peers.peer import Peer as Peer

_LISTED = tomllib.loads(Path(__file__).with_name("peers.toml").read_text(encoding="utf-8"))

_ALL = tuple(Peer.listed(name, facts) for name, facts in _LISTED.items())
PEERS: tuple[Peer, ...] = tuple(peer for peer in _ALL if not peer.is_apart)
"""Those that the suite compares."""


def find(name: str) -> Peer:
    """The peer of that name, as tables show it."""
    found = {peer.name: peer for peer in _ALL}
    if name not in found:
        raise ValueError(f"no peer is named {name!r}; there are {', '.join(map(repr, found))}")
    return found[name]
