"""Every way to compute batches ahead that we compare, one small file each."""

from __future__ import annotations

from typing import Any

from peers.peer import Loader, Peer

__all__ = ["PEERS", "Loader", "Peer", "find"]

_ANY_START = ("fork", "spawn", "forkserver")
_CHUNKS = "Pool.imap, chunks of 4"
_SPDL_STAGES = "five batches a worker ahead beside the queue, in the stages of its pipeline"


def _torch(name: str, *requires: str, **options: Any) -> Peer:
    requires, module = (*requires, "torch"), "peers.torch_dataloader"
    return Peer(name, module, requires, start_methods=_ANY_START, options=options)


def _spdl(name: str, module: str) -> Peer:
    facts: Any = {"reservation": _SPDL_STAGES, "start_methods": _ANY_START}
    return Peer(name, module, ("spdl_core",), surplus=5, **facts)


PEERS: tuple[Peer, ...] = (
    Peer("loop", "peers.loop", is_yardstick=True),
    Peer("Pool.imap", "peers.pool_imap", start_methods=_ANY_START),
    Peer(_CHUNKS, "peers.pool_imap", start_methods=_ANY_START, options={"chunk": 4}),
    Peer("concurrent.futures", "peers.concurrent_futures", start_methods=_ANY_START),
    Peer(
        "joblib loky",
        "peers.joblib_loky",
        requires=("joblib",),
        bounded=False,
        reservation="no back-pressure: computes the whole epoch ahead",
    ),
    Peer("Keras 3", "peers.keras3", requires=("keras", "jax")),
    _torch("torch numpy", as_numpy=True),
    _torch("torch tensors"),
    _torch("torchdata", "torchdata", make="torchdata.stateful_dataloader:StatefulDataLoader"),
    Peer(
        "Grain",
        "peers.grain_mp",
        requires=("grain",),
        windows=2,
        reservation="up to twice the queue ahead: a second buffer as large in the consumer",
    ),
    _spdl("SPDL", "peers.spdl_plain"),
    _spdl("SPDL arena", "peers.spdl_arena"),
    Peer("Ray actors", "peers.ray_actors", requires=("ray",)),
    Peer(
        "seqloader",
        "peers.seqloader_enqueuer",
        requires=("seqloader",),
        start_methods=("spawn", "fork"),
    ),
)


def find(name: str) -> Peer:
    """The peer of that name, as tables show it."""
    for peer in PEERS:
        if peer.name == name:
            return peer
    names = ", ".join(repr(peer.name) for peer in PEERS)
    raise ValueError(f"no peer is named {name!r}; there are {names}")
