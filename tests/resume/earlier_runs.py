"""The runs of which earlier versions have saved states, and what each of them delivered after them.

    python tests/resume/earlier_runs.py tests/resume/earlier_states/VERSION.json

writes the file of the version that is installed. A file that is there is never written again: it
is what users of that version have in their checkpoints.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from resumed_sequences import Counting, DrawingGlobally, Indices, Saving

from seqloader import ArraySequence, BatchedSequence, OrderedEnqueuer, WeightedMix

__all__ = ["RUNS", "following", "plain", "run_of"]


def batched(shuffle):
    return BatchedSequence(
        list(range(23)), 4, shuffle=shuffle, block_length=3 if shuffle == "blocks" else None
    )


def mixed():
    return BatchedSequence(
        WeightedMix([list(range(7)), list(range(100, 105))], [2, 1]), 3, shuffle=True
    )


class RaisesOnce(Indices):
    def __getitem__(self, index):
        if index == 2:
            raise ValueError("batch 2 cannot be computed")
        return index


RUNS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "in order": (lambda: DrawingGlobally(5), {}, 10),
    "shuffled": (lambda: DrawingGlobally(5), {"shuffle": True}, 10),
    "shard 1 of 3, padded": (
        lambda: DrawingGlobally(7),
        {"shuffle": True, "shard": (1, 3), "remainder": "pad"},
        6,
    ),
    "shard 0 of 2, uneven": (
        lambda: DrawingGlobally(7),
        {"shuffle": True, "shard": (0, 2), "remainder": "uneven"},
        8,
    ),
    "shard 2 of 3, dropped": (lambda: Indices(11), {"shard": (2, 3), "remainder": "drop"}, 6),
    "endless": (Counting, {}, 6),
    "a state of its own": (lambda: Saving(5), {}, 10),
    "errors skipped": (lambda: RaisesOnce(5), {"on_error": "skip"}, 8),
    "samples": (lambda: batched(False), {}, 12),
    "samples, shuffled": (lambda: batched(True), {"shuffle": True}, 12),
    "samples, in blocks": (lambda: batched("blocks"), {}, 12),
    "arrays": (lambda: ArraySequence({"x": np.arange(19)}, 4, shuffle=True), {}, 10),
    "mixture": (mixed, {}, 12),
    "a long seed": (lambda: Indices(9), {"shuffle": True, "seed": 2**100 + 7}, 9),
}
"""name -> (how the Sequence is made, arguments of the enqueuer, batches that are delivered)."""


def run_of(name: str, **options: Any) -> OrderedEnqueuer[Any]:
    make, arguments, _ = RUNS[name]
    return OrderedEnqueuer(make(), **{"workers": 0, "seed": 20, **arguments, **options})


def plain(batch: Any) -> Any:
    """A batch as JSON gives it back."""
    if isinstance(batch, dict):
        return {key: plain(value) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return [plain(value) for value in batch]
    return batch.tolist() if isinstance(batch, (np.ndarray, np.generic)) else batch


def following(enqueuer: OrderedEnqueuer[Any], count: int) -> list[Any]:
    stream = enqueuer.get()
    return [plain(next(stream)) for _ in range(count)]


def _saved(name: str) -> dict[str, Any]:
    """The states before each batch, some with skips, and all batches."""
    count = RUNS[name][2]
    with run_of(name) as enqueuer:
        states, batches = [], []
        for _ in range(count):
            states.append(enqueuer.state_dict())
            batches += following(enqueuer, 1)
    found: dict[str, Any] = {"states": states, "batches": batches}
    if name != "endless":
        with run_of(name) as enqueuer:
            following(enqueuer, 1)
            enqueuer.skip([2])
            enqueuer.skip([1], epoch=enqueuer.epoch + 1)
            state = enqueuer.state_dict()
            found["skipping"] = {"state": state, "batches": following(enqueuer, 4)}
    return found


def main(path: Path) -> None:
    if path.exists():
        sys.exit(f"{path} is there: what a version has saved is not written again")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = {name: _saved(name) for name in RUNS}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(saved[name])}" for name in RUNS)
    path.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
