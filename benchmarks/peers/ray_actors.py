"""Ray: one actor a worker, and a window of object references that are waited for in order.

Batch i goes to actor i % workers, `queue` of them in flight, as Ray's patterns advise against
unbounded calls. Arrays come back through Ray's object store, without a copy: they are read-only
views, and the store keeps an object while a view of it lives.

Ray is started and stopped with the loader, on this machine only: no dashboard, no usage report,
no output of its own. Actors count for no processor, so that four of them run on two cores.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from peers.peer import in_window

STORE_BYTES = 6_000_000_000
"""Enough for 8 batches of 154 MB in flight and those that wait to be freed. Pages that are never
written take no memory."""


class RayLoader:
    def __init__(
        self, sequence: Any, workers: int, queue: int, *, timeout_s: float | None = None
    ) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # A token for this one run: by default Ray makes one, and keeps it in the home directory.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        import ray

        self._ray = ray
        self._sequence = sequence
        self._queue = queue
        self._timeout_s = timeout_s
        self._folder = tempfile.mkdtemp(prefix="ray-")
        ray.init(
            address="local",
            num_cpus=max(workers, os.cpu_count() or 1),
            object_store_memory=STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            _temp_dir=self._folder,
        )
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
        self._ray.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Actor:
    def __init__(self, sequence: Any) -> None:
        self._sequence = sequence

    def compute(self, index: int) -> Any:
        return self._sequence[index]
