"""User code that raises what Python reads as an end, or as the end of the program."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqloader import Sequence
from seqloader.executors.inline import InlineExecutor

LENGTH = 4
PLACE = 2
"""Which batch raises."""


class Nothing(StopIteration):
    """As libraries derive it."""


class Quits(BaseException):
    """Of the user's, beside Exception."""


KINDS: tuple[type[BaseException], ...] = (
    StopIteration,
    Nothing,
    StopAsyncIteration,
    GeneratorExit,
    KeyboardInterrupt,
    SystemExit,
    Quits,
)
READ_AS_AN_END = (StopIteration, StopAsyncIteration, GeneratorExit)


class Raises(Sequence[Any]):
    """Raises `kind` in the method `where`, once it is armed."""

    def __init__(self, where: str, kind: type[BaseException], *, armed: bool = True) -> None:
        self.where = where
        self.kind = kind
        self.armed = armed
        self.ends = 0

    def reach(self, where: str, *, here: bool = True) -> None:
        if self.armed and here and where == self.where:
            raise self.kind("the user's")

    def __len__(self) -> int:
        self.reach("__len__")
        return LENGTH

    def __getitem__(self, index: int, /) -> Any:
        self.reach("__getitem__", here=index == PLACE)
        return np.full(2, index)

    def on_epoch_begin(self) -> None:
        self.reach("on_epoch_begin")

    def on_epoch_end(self) -> None:
        self.ends += 1
        self.reach("on_epoch_end")


class Stateful(Raises):
    """Has a state."""

    def state_dict(self) -> dict[str, Any]:
        self.reach("state_dict")
        return {"ends": self.ends}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.reach("load_state_dict")
        self.ends = state["ends"]


class Endless(Raises):
    """Says how long it is by `num_batches`."""

    @property
    def num_batches(self) -> int | None:  # type: ignore[override]
        self.reach("num_batches")
        return LENGTH


class Source:
    """Samples, of which one raises."""

    def __init__(self, where: str, kind: type[BaseException]) -> None:
        self.where = where
        self.kind = kind

    def reach(self, where: str) -> None:
        if where == self.where:
            raise self.kind("the user's")

    def __len__(self) -> int:
        self.reach("__len__")
        return 2 * LENGTH

    def __getitem__(self, index: int) -> Any:
        if index == 2 * PLACE:
            self.reach("__getitem__")
        return index

    def collate(self, samples: list[Any]) -> Any:
        if samples[0] == 2 * PLACE:
            self.reach("collate")
        return samples

    def transform(self, sample: Any, rng: Any) -> Any:
        if sample == 2 * PLACE:
            self.reach("transform")
        return sample

    def open(self) -> Any:
        self.reach("open")
        return self


class AtOnce(Source):
    """Hands out several samples at once."""

    def __getitems__(self, indices: list[int]) -> Any:
        if 2 * PLACE in indices:
            self.reach("__getitems__")
        return list(indices)


class WorkerInit:
    """A `worker_init` that raises."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __call__(self, slot: int) -> None:
        raise self.kind("the user's")


class RaisingExecutor(InlineExecutor):
    """An executor of the user's, one of whose methods raises once."""

    def __init__(self, method: str, kind: type[BaseException]) -> None:
        super().__init__()
        self.method: str | None = method
        self.kind = kind
        self.calls = 0

    def _reach(self, method: str) -> None:
        if method == self.method:
            self.calls += 1
            if self.calls == 2 or method in ("start", "load", "discard"):
                self.method = None
                raise self.kind("the user's")

    def start(self, sequence: Any, seeding: Any) -> None:
        self._reach("start")
        super().start(sequence, seeding)

    def submit(self, ticket: Any) -> None:
        self._reach("submit")
        super().submit(ticket)

    def wait(self, timeout_s: float | None) -> None:
        self._reach("wait")
        super().wait(timeout_s)

    def collect(self) -> Any:
        self._reach("collect")
        return super().collect()

    def load(self, sequence: Any, *, in_place: bool) -> None:
        self._reach("load")
        super().load(sequence, in_place=in_place)

    def discard(self, timeout_s: float | None = None) -> bool:
        self._reach("discard")
        return super().discard(timeout_s)
