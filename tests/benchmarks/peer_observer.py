"""Runs one peer as the benchmarks do, and writes down what it did. The tests judge it.

python peer_observer.py PEER START_METHOD RESULT_PATH   (START_METHOD "": the peer's default)

In a fresh interpreter, because peers leave threads, trackers and imports behind until it ends.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import peers
import psutil
from stand_ins import Counted

WORKERS = 2
QUEUE = 8
SHORT = 7  # batches, less than the queue
ENDLESS = 1_000_000_000  # as long as the streams that are measured
MANY = 100  # batches ahead of the consumer, far above what any bound allows
QUIET_S = 0.4
GRACE_S = 2.0


def observe(name: str, start_method: str, folder: Path) -> dict[str, Any]:
    options = {"start_method": start_method} if start_method else {}
    facts: dict[str, Any] = {"epochs": [], "epoch_ends": [], "before_failure": []}

    @contextlib.contextmanager
    def loader(sequence: Counted) -> Iterator[Any]:
        opened = peers.find(name).maker()(sequence, WORKERS, QUEUE, **options)
        yield opened
        opened.close()

    short = Counted(SHORT, folder / "short")
    with loader(short) as opened:
        for _ in range(2):
            facts["epochs"].append([_index(batch) for batch in opened.epoch()])
            facts["epoch_ends"].append(short.epoch_ends)
    if not start_method:
        endless = Counted(ENDLESS, folder / "endless")
        with loader(endless) as opened:
            batches = opened.epoch()
            facts["begun"] = [_index(next(batches)) for _ in range(3)]
            facts["computed"] = _computed_at_last(endless)
        with loader(Counted(ENDLESS, folder / "failing", fails_from=12)) as opened:
            try:
                for batch in opened.epoch():
                    facts["before_failure"].append(_index(batch))
            except Exception as error:
                facts["failure"] = f"{type(error).__name__}: {error}"
    return {**facts, "left": _processes_left()}


def _index(batch: Any) -> int:
    """The index of a batch that is whole; an array each, whatever the peer made of them."""
    array, labels = batch
    assert isinstance(array, np.ndarray)
    assert isinstance(labels, np.ndarray)
    assert (array == labels[0]).all()
    return int(labels[0])


def _computed_at_last(sequence: Counted) -> int:
    """Batches computed once nothing more is computed, or once there are far too many."""
    count, since_s = sequence.computed(), time.monotonic()
    while count < MANY and time.monotonic() - since_s < QUIET_S:
        time.sleep(0.01)
        if sequence.computed() != count:
            count, since_s = sequence.computed(), time.monotonic()
    return count


def _processes_left() -> list[str]:
    """Those that outlive `close()`, but for helpers of the standard library (and loky's copy of
    them), which last as long as the interpreter."""
    workers = [p for p in psutil.Process().children(recursive=True) if not _is_helper(p)]
    _, alive = psutil.wait_procs(workers, timeout=GRACE_S)
    return [str(process) for process in alive]


def _is_helper(process: psutil.Process) -> bool:
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return "resource_tracker" in command or "multiprocessing.forkserver" in command


if __name__ == "__main__":
    _, name, start_method, result = sys.argv
    facts = observe(name, start_method, Path(result).parent)
    Path(result).write_text(json.dumps(facts))
