"""What does a batch cost over Ray, beside worker processes and plain actors?

Compared    the Ray executor, the process executor, and actors whose answers are taken in turn
Varied      1 KB batches in calls of their own and in chunks; 38.5 MB batches
Measured    wall time and the consumer's CPU time for each batch; start-up
Held still  2 workers; what `__getitem__` does (fills an array); a store of twice the window
Method      all in turn, three times, each after a warm-up of an epoch; medians
Not shown   a network: everything is on one machine

Run         python tests/ray_executor/measure_costs.py
"""

from __future__ import annotations

import json
import statistics
import time

import numpy as np
from numbered import Numbered

import seqloader.executors.ray.chunks as chunks
from seqloader import OrderedEnqueuer
from seqloader.executors.ray import RayExecutor

WORKERS, ROUNDS = 2, 3
LARGE = 4_812_500
"""Elements of 38.5 MB."""


class Tiny(Numbered):
    """A small array alone."""

    def __getitem__(self, index):
        return np.full(self.size, index)


def rate(batches, count):
    """Milliseconds of wall and CPU for each."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in batches:
        pass
    return (
        1e3 * (time.perf_counter() - wall) / count,
        1e3 * (time.process_time() - cpu) / count,
    )


def over(executor, length, size, queue, **options):
    sequence = Tiny(length, size)
    begun = time.perf_counter()
    with OrderedEnqueuer(sequence, executor=executor, max_queue_size=queue, **options) as enqueuer:
        first = iter(enqueuer)
        next(first)
        start_s = time.perf_counter() - begun
        for _ in first:
            pass
        rounds = [rate(enqueuer, length) for _ in range(ROUNDS)]
    wall, cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
    return {"ms": wall, "consumer ms": cpu, "start s": start_s}


def in_turn(length, size, queue):
    """Actors, each asked for every second batch, and `ray.get` in order."""
    import ray

    @ray.remote(num_cpus=0)
    class Plain:
        def __init__(self, sequence):
            self.sequence = sequence

        def get(self, index):
            return self.sequence[index]

    sequence = Tiny(length, size)
    actors = [Plain.remote(sequence) for _ in range(WORKERS)]

    def epoch():
        ahead = []
        for index in range(length + queue):
            if index < length:
                ahead.append(actors[index % WORKERS].get.remote(index))
            if index >= queue:
                yield ray.get(ahead.pop(0))

    for _ in epoch():
        pass
    rounds = [rate(epoch(), length) for _ in range(ROUNDS)]
    wall, cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
    return {"ms": wall, "consumer ms": cpu}


def main():
    import ray

    found = {}
    small, large = (3000, 128, 64), (60, LARGE, 8)
    for name, (length, size, queue) in {"1 KB": small, "38.5 MB": large}.items():
        store = max(100 << 20, 2 * queue * size * 8)
        ray.init("local", num_cpus=4, include_dashboard=False, object_store_memory=store,
                 logging_level="ERROR")  # fmt: skip
        found[f"{name}, Ray executor"] = over(RayExecutor(WORKERS, num_cpus=0), length, size, queue)
        if size == 128:
            usual, chunks.TINY_S = chunks.TINY_S, 0.0
            alone = over(RayExecutor(WORKERS, num_cpus=0), length, size, queue)
            chunks.TINY_S = usual
            found[f"{name}, Ray executor, a call for each"] = alone
        else:
            executor = RayExecutor(WORKERS, num_cpus=0, copy=True)
            found[f"{name}, Ray executor, copy=True"] = over(executor, length, size, queue)
        found[f"{name}, actors in turn"] = in_turn(length, size, queue)
        ray.shutdown()
        found[f"{name}, process executor"] = over("process", length, size, queue, workers=WORKERS)
    for name, figures in found.items():
        gigabytes = LARGE * 8 / 1e6 / figures["ms"] if "38.5" in name else None
        figures |= {"GB/s": gigabytes} if gigabytes else {}
        print(name, json.dumps({key: round(value, 3) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
