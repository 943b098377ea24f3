"""How long `__getitem__` alone takes, in workers that hand over its batches as ever.

A worker's time for a batch is known to the enqueuer, as a whole; what is not computing is
transport. Both are taken from the same batches: two measurements one after the other would meet
two states of the machine.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from seqloader.sequence.interface import count_batches, run_hook

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Stopwatch"]

ROWS = 4096
"""Of the latest batches; of the earlier ones nothing is kept."""


class Stopwatch:
    """Stands in for a Sequence, and writes down what each of its batches took.

    Args:
        sequence: the Sequence that computes.
        file: for the notes; workers map it, and batch `i` has row `i % ROWS`.
        threads: whether workers are threads, so that only their own CPU is asked for.
    """

    use_sequence_api = True

    def __init__(self, sequence: Any, file: Path, *, threads: bool = False) -> None:
        self.sequence = sequence
        self.file = file
        self.threads = threads
        self._notes: NDArray[np.float64] | None = None
        np.zeros((ROWS, 2)).tofile(file)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_notes": None}

    @property
    def num_batches(self) -> int | None:
        """As many batches as the Sequence has."""
        return count_batches(self.sequence)

    def __getitem__(self, index: int) -> Any:
        """Batch `index` of the Sequence."""
        notes = self._mapped()
        cpu_clock = time.thread_time if self.threads else time.process_time
        cpu_s, begun_s = cpu_clock(), time.perf_counter()
        batch = self.sequence[index]
        took_s = time.perf_counter() - begun_s
        notes[index % ROWS] = took_s, cpu_clock() - cpu_s
        return batch

    def on_epoch_begin(self) -> None:
        """The hook of the Sequence."""
        run_hook(self.sequence, "on_epoch_begin")

    def on_epoch_end(self) -> None:
        """The hook of the Sequence."""
        run_hook(self.sequence, "on_epoch_end")

    def clear(self) -> None:
        """Forget what was written down: it was warming up."""
        self._mapped()[:] = 0.0

    def taken(self) -> list[tuple[float, float]]:
        """Seconds, and CPU seconds, that each of the latest batches took."""
        return [(took_s, cpu_s) for took_s, cpu_s in self._mapped().tolist() if took_s > 0]

    def _mapped(self) -> NDArray[np.float64]:
        if self._notes is None:
            self._notes = np.memmap(self.file, np.float64, "r+", shape=(ROWS, 2))
        return self._notes
