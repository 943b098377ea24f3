"""A program: join a real distributed run of several processes, and print the shard that is ours.

    python ask_framework.py FRAMEWORK RANK COUNT ADDRESS

It prints one line of JSON: shard and source before the run was joined, and after it.
"""

from __future__ import annotations

import json
import sys

from seqloader.run.shards import resolve_shard, shard_source


def main(framework: str, rank: int, count: int, address: str) -> None:
    join = JOINS[framework](rank, count, address)
    next(join)  # imported, not joined
    before = told()
    next(join)
    after = told()
    print(json.dumps({"before": before, "after": after}), flush=True)
    next(join, None)


def told():
    shard = resolve_shard("auto")
    return [shard.id, shard.count, shard_source("auto")]


def join_torch(rank, count, address):
    from torch import distributed

    yield
    init = f"tcp://{address}"
    distributed.init_process_group("gloo", init_method=init, rank=rank, world_size=count)
    yield
    distributed.barrier()
    distributed.destroy_process_group()


def join_jax(rank, count, address):
    import jax

    yield
    # Refused where anything has started jax's backends before.
    jax.distributed.initialize(address, num_processes=count, process_id=rank)
    yield
    jax.distributed.shutdown()


def join_keras_data_parallel(rank, count, address):
    import keras

    yield
    keras.distribution.initialize(address, num_processes=count, process_id=rank)
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    yield
    import jax

    jax.distributed.shutdown()


def join_keras_model_parallel(rank, count, address):
    import keras

    yield
    keras.distribution.initialize(address, num_processes=count, process_id=rank)
    mesh = keras.distribution.DeviceMesh((1, count), ["batch", "model"])
    layout = keras.distribution.LayoutMap(mesh)
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    )
    yield
    import jax

    jax.distributed.shutdown()


JOINS = {
    "torch": join_torch,
    "jax": join_jax,
    "keras-data-parallel": join_keras_data_parallel,
    "keras-model-parallel": join_keras_model_parallel,
}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
