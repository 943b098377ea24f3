"""Keras 3's own `OrderedEnqueuer` with processes: what `fit(PyDataset)` uses.

`start()` and `stop()` around each epoch, as its trainer calls them, so every epoch has a new pool
of processes. The numpy backend is chosen before Keras is imported: no other framework is then in
the process that forks. Keras offers no start method; its pool forks where that is the default.

An enqueuer that is stopped in mid-epoch keeps batches of that epoch for the next one, and one whose
batch raised keeps its processes. So an epoch that was left ends its enqueuer here, and `close()`
waits for all of its processes, which is more than the trainer does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from queue import Empty
from typing import Any


class KerasLoader:
    def __init__(self, sequence: Any, workers: int, queue: int) -> None:
        os.environ.setdefault("KERAS_BACKEND", "numpy")
        from keras.src.trainers.data_adapters import py_dataset_adapter
        from keras.utils import PyDataset

        class Adapter(PyDataset):  # type: ignore[misc, unused-ignore]
            """A duck-typed Sequence as the PyDataset that Keras wants. Forked, never pickled."""

            def __len__(self) -> int:
                return len(sequence)

            def __getitem__(self, index: int) -> Any:
                return sequence[index]

            def on_epoch_end(self) -> None:
                getattr(sequence, "on_epoch_end", lambda: None)()

        self._adapter = py_dataset_adapter
        self._dataset = Adapter()
        self._workers = workers
        self._queue = queue
        self._enqueuer = self._new_enqueuer()
        self._batches: Any = None
        self._is_within_epoch = False

    def epoch(self) -> Iterator[Any]:
        if self._is_within_epoch:
            self.close()
            self._enqueuer = self._new_enqueuer()
        self._is_within_epoch = True
        self._enqueuer.start()
        self._batches = self._enqueuer.get()
        for _ in range(len(self._dataset)):
            yield next(self._batches)
        self._enqueuer.stop()
        self._is_within_epoch = False
        self._dataset.on_epoch_end()

    def close(self) -> None:
        with contextlib.suppress(Exception):  # of a batch that nobody waits for any more
            self._enqueuer.stop()
        if self._batches is not None:
            self._batches.close()
        thread = self._enqueuer.run_thread
        while thread is not None and thread.is_alive():
            # A batch that raised ended stop() too soon, with its thread waiting at a full queue.
            with contextlib.suppress(Empty):
                self._enqueuer.future_queue.get(timeout=0.1)
        # stop() closes its pool, and leaves the processes to end by themselves.
        for pool in list(self._adapter._DATA_POOLS):
            pool.join()

    def _new_enqueuer(self) -> Any:
        counts = {"workers": self._workers, "max_queue_size": self._queue}
        return self._adapter.OrderedEnqueuer(self._dataset, use_multiprocessing=True, **counts)
