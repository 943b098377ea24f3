"""Keras in two processes that belong together: what it says and trains on, as one line of JSON.

KERAS_BACKEND=jax python train_keras_on_two.py jax RANK ADDRESS
"""

from __future__ import annotations

import json
import sys
import warnings

import keras
import numpy as np
from keras_batches import Plain

from seqloader.adapters.keras import KerasDataset

BATCHES = 8


class Rows(keras.metrics.Metric):
    """How many rows were seen of each batch: that of batch i is the i-th octal digit."""

    def __init__(self):
        super().__init__(name="rows")
        self.total = self.add_weight(name="total", shape=(), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(keras.ops.sum(8.0**y_true))

    def result(self):
        return self.total + 0.0


def model():
    layers = [keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=[Rows()])
    return model


def said(call):
    """What a call warns of, and the error that it ends with."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call()
        except ValueError as error:
            return [str(each.message) for each in caught], str(error)
    return [str(each.message) for each in caught], None


def fit(**options):
    """What it says, and the rows that were seen of each batch."""
    seen = []

    def train():
        with KerasDataset(Plain(BATCHES), workers=0, **options) as data:
            for _ in range(2):
                [rows] = model().fit(data, verbose=0).history["rows"]
                seen.append(f"{int(rows):o}")

    told, error = said(train)
    return {"said": [each for each in told if "process" in each], "error": error, "rows": seen}


def on_jax(rank, address):
    keras.distribution.initialize(address, num_processes=2, process_id=rank)
    distribution = keras.distribution.DataParallel()
    keras.distribution.set_distribution(distribution)
    told = {"sharded by keras": fit()}
    distribution.auto_shard_dataset = False
    told |= {"whole": fit(), "whole on purpose": fit(shard=(0, 1)), "parts": fit(shard="auto")}
    import jax

    jax.distributed.shutdown()
    return told


def on_torch(rank, address):
    import torch
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    distributed.init_process_group("gloo", init_method=f"tcp://{address}", rank=rank, world_size=2)
    told = {"whole": fit(), "parts": fit(shard="auto")}
    inner = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    wrapped, given = DistributedDataParallel(inner), []
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.01)
    with KerasDataset(Plain(BATCHES), workers=0, shard="auto") as data:
        for _ in range(2):
            for x, _ in data:
                optimizer.zero_grad()
                wrapped(torch.from_numpy(x)).square().mean().backward()
                optimizer.step()
                given.append(int(x[0, 0]))
    told["loop"] = {"given": given, "weights": [w.tolist() for w in wrapped.parameters()]}
    distributed.barrier()
    distributed.destroy_process_group()
    return told


def on_tensorflow(rank, address):
    """TensorFlow is told in its environment where the others are."""
    import tensorflow as tf

    with tf.distribute.MultiWorkerMirroredStrategy().scope():
        made = model()
    x = np.zeros((8, 1), "float32")
    told = {"arrays": said(lambda: made.fit(x, x, verbose=0))[1]}
    with KerasDataset(Plain(BATCHES), workers=0) as data:
        told["dataset"] = said(lambda: made.fit(data, verbose=0))[1]
    return told


ON = {"jax": on_jax, "torch": on_torch, "tensorflow": on_tensorflow}

if __name__ == "__main__":
    backend, rank, address = sys.argv[1:]
    print(json.dumps(ON[backend](int(rank), address)), flush=True)
