"""Ray's actors, one a worker, with a window of references that are taken in order; and Ray Data,
with batches of one row, which is one index. Its blocks have as many as make up a MB.

Arrays are read-only views of Ray's store. Ray is started and stopped with the loader, on this
machine only. Actors count for no processor.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from peers.peer import end_epoch, in_window

STORE_BYTES = 6_000_000_000
"""Enough for 8 batches of 154 MB in flight and those that wait to be freed."""

MOST_BLOCKS = 400  # of an epoch that has no end: it plans for all of them before it begins
BLOCK_BYTES, MOST_ROWS = 1e6, 64


class RayLoader:
    def __init__(
        self,
        sequence: Any,
        workers: int,
        queue: int,
        *,
        timeout_s: float | None = None,
        store_bytes: int = STORE_BYTES,
    ) -> None:
        self._folder = start_ray(workers, store_bytes)
        import ray

        self._ray = ray
        self._sequence = sequence
        self._queue = queue
        self._timeout_s = timeout_s
        # Put there once: as an argument it would be put once for each actor.
        shared = ray.put(sequence)
        actor_class = ray.remote(num_cpus=0)(_Actor)
        self._actors = [actor_class.remote(shared) for _ in range(workers)]

    def epoch(self) -> Iterator[Any]:
        return in_window(
            self._sequence,
            self._queue,
            ask=lambda index: self._actors[index % len(self._actors)].compute.remote(index),
            take=lambda reference: self._ray.get(reference, timeout=self._timeout_s),
        )

    def close(self) -> None:
        self._actors = []
        stop_ray(self._folder)


class RayDataLoader:
    def __init__(self, sequence: Any, workers: int, queue: int, *, store_bytes: int) -> None:
        self._sequence, self._workers, self._queue = sequence, workers, queue
        self._folder = start_ray(workers, store_bytes)

    def epoch(self) -> Iterator[Any]:
        import ray

        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        rows = min(MOST_ROWS, max(1, int(BLOCK_BYTES / self._sequence[0][0].nbytes)))
        length = min(len(self._sequence), MOST_BLOCKS * rows)
        blocks = max(1, length // rows)
        computed = ray.data.range(length, override_num_blocks=blocks).map_batches(
            _Compute,
            fn_constructor_args=(self._sequence,),
            concurrency=self._workers,
            batch_size=1,
            num_cpus=0.5,
        )
        for row in computed.iter_batches(batch_size=1, prefetch_batches=self._queue):
            yield row["array"][0], row["labels"][0]
        end_epoch(self._sequence)

    def close(self) -> None:
        stop_ray(self._folder)


def settings() -> None:
    """Before Ray is imported, which reads them then."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A token for this one run: by default Ray makes one, and keeps it in the home directory.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def start_ray(workers: int, store_bytes: int) -> str:
    """A Ray on this machine, which says nothing; the folder that it writes to."""
    settings()
    import ray

    folder = tempfile.mkdtemp(prefix="ray-")
    ray.init(
        address="local",
        num_cpus=max(workers, os.cpu_count() or 1),
        object_store_memory=store_bytes,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        _temp_dir=folder,
    )
    return folder


def stop_ray(folder: str) -> None:
    import ray

    ray.shutdown()
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


class _Actor:
    def __init__(self, sequence: Any) -> None:
        self._sequence = sequence

    def compute(self, index: int) -> Any:
        return self._sequence[index]


class _Compute(_Actor):
    def __call__(self, indices: Any) -> dict[str, Any]:
        array, labels = self._sequence[int(indices["id"][0])]
        return {"array": array[None], "labels": labels[None]}
