"""A training with DistributedDataParallel on two processes that torch starts.

The loader is made before the process group, as in a script whose launcher sets nothing. The
training is stopped in mid-epoch, and goes on with another loader and the state of rank 0. Each
process writes what it was given, and the weights that it ends with.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from seqloader import ArraySequence
from seqloader.adapters.torch import TorchLoader

SAMPLES, BATCH = 26, 4


def train(rank, directory, epochs, stop_after):
    loader = made()
    told = {"before": loader.enqueuer.shard}
    store = (directory / "store").as_uri()
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    torch.manual_seed(0)
    model = DistributedDataParallel(torch.nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
    with loader:
        given = epochs_of(loader, model, optimizer, epochs, stop_after)
        states = [loader.state_dict()]
    told |= {"first": given, "shard": loader.enqueuer.shard, "length": len(loader)}

    distributed.broadcast_object_list(states)
    with made() as loader:
        loader.load_state_dict(states[0])
        told["rest"] = epochs_of(loader, model, optimizer, epochs)
    told["weights"] = [weight.tolist() for weight in model.parameters()]
    (directory / f"{rank}.json").write_text(json.dumps(told))
    distributed.barrier()
    distributed.destroy_process_group()


def made():
    numbers = np.arange(SAMPLES)
    data = ArraySequence((numbers[:, None].astype("float32"), numbers), BATCH, shuffle=True)
    return TorchLoader(data, workers=1, seed=3, shard="auto", remainder="drop")


def epochs_of(loader, model, optimizer, epochs, stop_after=-1):
    """The samples of each step."""
    given = []
    while loader.enqueuer.epoch < epochs and len(given) != stop_after:
        loader.set_epoch(loader.enqueuer.epoch)
        for x, number in loader:
            optimizer.zero_grad()
            (model(x) - x).square().mean().backward()
            optimizer.step()
            given.append(number.tolist())
            if len(given) == stop_after:
                break
    return given


def main(directory, epochs, stop_after):
    for name in ("RANK", "WORLD_SIZE"):
        os.environ.pop(name, None)
    arguments = (Path(directory), int(epochs), int(stop_after))
    # Forked, they need not import torch once more each.
    torch.multiprocessing.start_processes(train, arguments, nprocs=2, start_method="fork")


if __name__ == "__main__":
    main(*sys.argv[1:])
