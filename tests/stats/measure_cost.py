"""What does a tiny batch cost the consumer, with nothing enabled and with a bar?

Compared    checkouts, and the last of them once more with progress=True
Measured    CPU of the consumer's thread for one batch, in microseconds: handed over by a worker
            that has them ready, waited for, and computed inline
Held still  one worker; a new interpreter for each run
Method      checkouts in turn; the least, and the median of the rounds. A batch that is waited for
            costs what the system takes for a wait, which changes from one run to the next by more
            than the loader's part

Run         python tests/stats/measure_cost.py TREE [TREE ...]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

ROUNDS = 9
PROGRAM = """
import json, statistics, sys, time
import numpy as np
from seqloader import OrderedEnqueuer, Sequence

class Tiny(Sequence):
    def __init__(self, length):
        self.length, self.batch = length, np.arange(8.0)
    def __len__(self):
        return self.length
    def __getitem__(self, index):
        return self.batch, np.int64(index)

def cost_us(iterator, count):
    begun_s = time.thread_time()
    for _ in range(count):
        next(iterator)
    return (time.thread_time() - begun_s) / count * 1e6

def costs_us(length, count, pause_s, **options):
    with OrderedEnqueuer(Tiny(length), **options) as enqueuer:
        iterator = iter(enqueuer)
        next(iterator)
        for _ in range(length // count - 1):
            time.sleep(pause_s)  # the queue is full again
            yield cost_us(iterator, count)

options = json.loads(sys.argv[1])
least = lambda costs: statistics.quantiles(costs, n=10)[0]
print(json.dumps({
    "ready": least(costs_us(24_000, 60, 0.004, workers=1, max_queue_size=64, **options)),
    "waited for": least(costs_us(80_000, 4000, 0.0, workers=1, max_queue_size=32, **options)),
    "inline": least(costs_us(80_000, 4000, 0.0, workers=0, **options)),
}))
"""


def measured(tree: str, options: dict[str, bool]) -> dict[str, float]:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(options)],
        env={**os.environ, "PYTHONPATH": tree},
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
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
            for way, cost_us in measured(tree, options).items():
                found.setdefault(way, {}).setdefault(name, []).append(cost_us)
    for way, by_tree in found.items():
        first = next(iter(by_tree.values()))
        for name, costs in by_tree.items():
            least, median = min(costs) / min(first), statistics.median(costs)
            print(
                f"{way:10}  {min(costs):6.2f} us ({least:.3f} x)   "
                f"median {median:6.2f} us ({median / statistics.median(first):.3f} x)   {name}"
            )


if __name__ == "__main__":
    main(sys.argv[1:] or ["."])
