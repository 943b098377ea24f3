"""A gate that holds batches while they are computed, until a test lets them go."""

from __future__ import annotations

import time
from pathlib import Path

from seqloader.testing.deadline import DEADLINE_S, all_stacks

__all__ = ["Gate"]


class Gate:
    """Holds batches until the test lets them go. Seen by all processes of one machine.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def pass_through(self, index: int) -> None:
        """For `__getitem__`: say that `index` has arrived, wait for the gate, say that it left."""
        (self.folder / f"arrived-{index}").touch()
        deadline = time.monotonic() + 4 * DEADLINE_S  # a worker must not outlive a failed test
        while not (self.folder / "open").exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody opened the gate for {index}")
            time.sleep(0.002)
        (self.folder / f"left-{index}").touch()

    def open(self) -> None:
        """Let everyone through, now and later."""
        (self.folder / "open").touch()

    def wait_arrived(self, count: int) -> None:
        """Return when `count` batches have arrived."""
        deadline = time.monotonic() + DEADLINE_S
        while len(self.arrived()) < count:
            assert time.monotonic() < deadline, f"arrived: {self.arrived()}\n{all_stacks()}"
            time.sleep(0.002)

    def arrived(self) -> set[int]:
        """Indices that were begun."""
        return self._indices("arrived")

    def left(self) -> set[int]:
        """Indices that were finished."""
        return self._indices("left")

    def _indices(self, verb: str) -> set[int]:
        return {int(path.name.partition("-")[2]) for path in self.folder.glob(f"{verb}-*")}
