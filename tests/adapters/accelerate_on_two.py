"""Two processes evaluate and train together, by Accelerate; each tells what it got."""

from __future__ import annotations

import json
import sys

import numpy as np
import torch
from accelerate import Accelerator
from training_with_accelerate import train

from seqloader import ArraySequence
from seqloader.adapters.torch import TorchLoader

ROWS = 4


def values_of(samples):
    return np.random.default_rng(samples).normal(size=(samples, 3)).astype("float32")


def masked(accelerator, samples, weights, **shard):
    """Predictions of all samples, by the mask."""
    loader = accelerator.prepare(
        TorchLoader(ArraySequence(values_of(samples), ROWS), workers=0, mask_rows=ROWS, **shard)
    )
    parts = []
    for batch, mask in loader:
        outputs = torch.tanh(batch @ weights)
        if shard:
            outputs, mask = accelerator.gather_for_metrics((outputs, mask))
        parts.append(outputs[mask])
    return torch.cat(parts)


def trimmed(accelerator, samples):
    """All samples, by what `gather_for_metrics` leaves out itself."""
    sequence = ArraySequence(np.arange(samples), ROWS)
    loader = TorchLoader(sequence, workers=0, shard="auto", remainder="pad")
    return torch.cat([accelerator.gather_for_metrics(batch) for batch in loader]).tolist()


def main():
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=4)
    weights = torch.tensor([0.3, -1.7, 0.9])
    exact, order = [], []
    for samples in map(int, sys.argv[1:]):
        together = masked(accelerator, samples, weights, shard="auto", remainder="pad")
        alone = masked(accelerator, samples, weights)
        exact.append(bool(torch.equal(together, alone) and len(together) == samples))
        exact.append(bool(torch.equal(together.mean(), alone.mean())))
    for batches in range(1, 6):
        order.append(trimmed(accelerator, ROWS * batches) == [*range(ROWS * batches)])
    x = torch.linspace(0, 1, 44)[:, None]
    data = torch.utils.data.TensorDataset(x, 3 * x)
    theirs = train(accelerator, torch.utils.data.DataLoader(data, 2))
    sequence = ArraySequence((x, 3 * x), 2)
    ours = train(accelerator, TorchLoader(sequence, workers=0, shard="auto"))
    listed = accelerator.gradient_state.in_dataloader
    processes = accelerator.num_processes
    accelerator.end_training()
    told = {"processes": processes, "exact": exact, "order": order, "listed": listed}
    print(json.dumps({**told, "trained": [theirs, ours]}))


if __name__ == "__main__":
    main()
