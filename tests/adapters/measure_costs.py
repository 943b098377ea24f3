"""What does each adapter add to a batch?

Compared    an enqueuer read bare, and through the adapter
Varied      the adapter
Measured    microseconds a batch, of each pass
Held still  batches of 8 float32, made before; computed in the process itself (`workers=0`) and
            without a seed, so that nothing is measured beside the engine and the adapter; passes of
            2000 batches
Method      adapter and bare in turn, A B A B, each adapter in a process of its own; the first pass
            of both is not counted
Not shown   what a trainer does with a batch: see measure_frameworks.py

Run         python tests/adapters/measure_costs.py --json benchmarks/results/adapter_costs.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seqloader import OrderedEnqueuer, Sequence

PASSES, LENGTH = 9, 2000


class Ready(Sequence):
    """The same small batch, again and again."""

    def __init__(self) -> None:
        self.batch = np.zeros(8, np.float32)

    def __len__(self) -> int:
        return LENGTH

    def __getitem__(self, index: int) -> Any:
        return self.batch


def with_torch() -> Iterable[Any]:
    from seqloader.adapters.torch import TorchLoader

    return TorchLoader(Ready(), workers=0)


def with_accelerate() -> Iterable[Any]:
    from accelerate import Accelerator

    prepared: Iterable[Any] = Accelerator(cpu=True).prepare(with_torch())
    return prepared


def with_jax() -> Iterable[Any]:
    from seqloader.adapters.jax import JaxLoader

    return JaxLoader(Ready(), workers=0)


def with_tensorflow() -> Iterable[Any]:
    from seqloader.adapters.tensorflow import to_tf_dataset

    dataset: Iterable[Any] = to_tf_dataset(Ready(), workers=0)
    return dataset


def with_keras() -> Iterable[Any]:
    from seqloader.adapters.keras import KerasDataset

    dataset = KerasDataset(Ready(), workers=0)

    class Passes:
        def __iter__(self) -> Iterator[Any]:
            # One generator a pass, as Keras walks a dataset.
            return (dataset[index] for index in range(LENGTH))

    return Passes()


ADAPTERS: dict[str, Callable[[], Iterable[Any]]] = {
    "keras": with_keras,
    "torch": with_torch,
    "accelerate": with_accelerate,
    "jax": with_jax,
    "tensorflow": with_tensorflow,
}


def compare(adapter: str) -> dict[str, Any]:
    """Microseconds a batch, through this adapter and bare."""
    warnings.simplefilter("ignore")
    through, bare = ADAPTERS[adapter](), OrderedEnqueuer(Ready(), workers=0)
    times: dict[str, list[float]] = {"through": [], "bare": []}
    for _ in range(PASSES + 1):
        times["through"].append(_pass_us(through))
        times["bare"].append(_pass_us(bare))
    counted = {name: [round(us, 2) for us in found[1:]] for name, found in times.items()}
    return {"adapter": adapter, "load": round(os.getloadavg()[0], 1), **counted}


def _pass_us(batches: Iterable[Any]) -> float:
    begun = time.perf_counter()
    number = sum(1 for _ in batches)
    spent = time.perf_counter() - begun
    assert number == LENGTH, f"{number} batches came"
    return 1e6 * spent / LENGTH


def main() -> None:
    """Measure all, print it, and write it where it is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", choices=ADAPTERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(compare(arguments.one)))
        return
    found = []
    for adapter in ADAPTERS:
        # TensorFlow imports Keras, and crashes where that brings torch.
        backend = "torch" if adapter == "keras" else adapter
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, __file__, "--one", adapter]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found.append(json.loads(ended.stdout.splitlines()[-1]))
        medians = {name: statistics.median(found[-1][name]) for name in ("through", "bare")}
        print(adapter, medians, flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
