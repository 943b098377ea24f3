"""What does a tiny batch cost the consumer, with nothing enabled and with a bar?

    python tests/stats/measure_cost.py TREE [TREE ...]     checkouts to compare, in turn

Fresh processes take turns. Shown are the least and the median of the CPU time of the consumer's
thread for one batch, over the rounds, in microseconds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

ROUNDS = 7
PROGRAM = """
import json, sys, time
import numpy as np
from seqloader import OrderedEnqueuer, Sequence

class Tiny(Sequence):
    def __init__(self, length):
        self.length, self.batch = length, np.arange(8.0)
    def __len__(self):
        return self.length
    def __getitem__(self, index):
        return self.batch, np.int64(index)

def least_us(epochs, length, **options):
    taken = []
    with OrderedEnqueuer(Tiny(length), **options) as enqueuer:
        for _ in range(epochs):
            iterator = iter(enqueuer)
            next(iterator)
            begun_s = time.thread_time()
            count = sum(1 for _ in iterator)
            taken.append((time.thread_time() - begun_s) / count * 1e6)
    return min(taken)

options = json.loads(sys.argv[1])
print(json.dumps({
    "inline": least_us(20, 4000, workers=0, **options),
    "process": least_us(20, 4000, workers=1, max_queue_size=32, **options),
}))
"""


def measured(tree: str, options: dict[str, bool]) -> dict[str, float]:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(options)],
        env={**os.environ, "PYTHONPATH": tree},
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def main(trees: list[str]) -> None:
    kinds = [(tree, {}) for tree in trees] + [(trees[-1], {"progress": True})]
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(ROUNDS):
        for tree, options in kinds:
            name = tree + " with a bar" * bool(options)
            for executor, cost_us in measured(tree, options).items():
                found.setdefault(name, {}).setdefault(executor, []).append(cost_us)
    for name, by_executor in found.items():
        for executor, costs in by_executor.items():
            print(f"{name} {executor}: {min(costs):.2f} us, median {statistics.median(costs):.2f}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["."])
