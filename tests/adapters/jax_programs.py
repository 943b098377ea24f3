"""Programs with several devices: their number is said before JAX is first used in a process.

Run as `python jax_programs.py NAME ARGUMENTS...`; each prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seqloader import Sequence
from seqloader.adapters.jax import JaxLoader

ROWS = 8


class Rows(Sequence[Any]):
    """Batch i has `ROWS` rows of 3, numbered on over all batches; the last has as many as said."""

    def __init__(self, length: int = 5, last: int = ROWS) -> None:
        self.length = length
        self.last = last

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int, /) -> Any:
        rows = self.last if index == self.length - 1 else ROWS
        first = np.arange(index * ROWS, index * ROWS + rows, dtype=np.float32)
        return {"x": np.repeat(first[:, None], 3, 1), "y": first.astype(np.int32)}


def over_all_devices() -> NamedSharding:
    return NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))


def sharded() -> Any:
    """Each device has its rows of every batch; the sums of three epochs."""
    sharding = over_all_devices()
    total = jax.jit(lambda batch: batch["x"].sum() + batch["y"].sum())
    placed, sums = True, []
    with JaxLoader(Rows(), sharding=sharding, workers=1) as loader:
        for _ in range(3):
            for number, batch in enumerate(loader):
                for shard in batch["y"].addressable_shards:
                    rows = np.arange(ROWS)[shard.index[0]] + number * ROWS
                    placed &= np.asarray(shard.data).tolist() == rows.tolist()
                placed &= batch["x"].sharding == sharding
                sums.append(float(total(batch)))
    return {"devices": len(jax.devices()), "placed": placed, "sums": sums}


def on_second_device() -> Any:
    second = jax.devices()[1]
    with JaxLoader(Rows(), sharding=second, workers=0) as loader:
        return [second.id in [d.id for d in batch["x"].devices()] for batch in loader]


def uneven() -> Any:
    """The last batch cannot be split; what is said of it, and what came before."""
    got = []
    with JaxLoader(Rows(last=3), sharding=over_all_devices(), executor="thread") as loader:
        try:
            for batch in loader:
                got.append(len(batch["y"]))
        except ValueError as error:
            return {"got": got, "notes": error.__notes__, "at": loader.state_dict()["position"]}
    return None


def one_of_several(address: str, count: str, number: str) -> Any:
    """A process of several: its part of each global batch, and a sum over all of them."""
    jax.distributed.initialize(address, int(count), int(number))
    sums = []
    total = jax.jit(lambda batch: batch["x"].sum())
    with JaxLoader(Rows(6), sharding=over_all_devices(), shard="auto", workers=0) as loader:
        parts = []
        for batch in loader:
            shape = batch["x"].shape
            shards = sorted(batch["y"].addressable_shards, key=lambda shard: shard.device.id)
            parts += [np.asarray(shard.data).tolist() for shard in shards]
            sums.append(float(total(batch)))
        shard = loader.enqueuer.shard
    jax.distributed.shutdown()
    return {"shape": shape, "parts": parts, "sums": sums, "shard": shard}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
