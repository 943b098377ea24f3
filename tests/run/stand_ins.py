"""Stand-ins for what the parts of a run have: an executor, a guest, a Sequence; an interrupt."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from seqloader import OrderedEnqueuer, Sequence
from seqloader.randomness.seeding import Seeding
from seqloader.run.options import Options


class Interrupt(BaseException):
    """What a signal handler raises."""


class Hooked(Sequence[int]):
    """Three batches, and a list of its hooks."""

    def __init__(self) -> None:
        self.hooks: list[str] = []
        self.raising: BaseException | None = None

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int, /) -> int:
        return index

    def on_epoch_begin(self) -> None:
        self.hooks.append("begin")
        if self.raising is not None:
            raise self.raising

    def on_epoch_end(self) -> None:
        self.hooks.append("end")


class Executor:
    """Writes down what it is asked, and raises where it is told to."""

    workers = 1

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.raising: dict[str, BaseException] = {}
        self.during: dict[str, Callable[[], object]] = {}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.during:
            self.during.pop(name)()
        if name in self.raising:
            raise self.raising.pop(name)

    def start(self, sequence: Any, seeding: Any) -> None:
        self._call("start")

    def submit(self, ticket: Any) -> None:
        self._call("submit")

    def wait(self, timeout_s: float | None = None) -> None:
        self._call("wait")

    def collect(self) -> list[Any]:
        self._call("collect")
        return []

    def alarmed(self) -> bool:
        return False

    def load(self, sequence: Any, *, in_place: bool) -> None:
        self._call("load")

    def discard(self, timeout_s: float | None = None) -> bool:
        self._call("discard")
        return True

    def reset(self) -> None:
        self._call("reset")

    def wake(self) -> None:
        self._call("wake")

    def kill(self) -> None:
        self._call("kill")

    def stop(self, timeout_s: float) -> None:
        self._call("stop")

    def abandon(self) -> None:
        self._call("abandon")


class Guest:
    """What runs in a session, and writes down what it is asked."""

    sequence = "the Sequence"

    def __init__(self) -> None:
        self.seeding = Seeding(0, True)
        self.calls: list[str] = []
        self.during: dict[str, Callable[[], object]] = {}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.during:
            self.during.pop(name)()

    def prepare(self) -> None:
        self._call("prepare")

    def started(self) -> None:
        """Follows every start that succeeds: not worth a word."""

    def complete(self) -> None:
        self._call("complete")

    def resume(self) -> None:
        self._call("resume")

    def resized(self) -> None:
        self._call("resized")

    def spoil(self) -> None:
        self._call("spoil")

    def forget(self) -> None:
        self._call("forget")

    def ending(self) -> Callable[[], object]:
        self._call("ending")
        return lambda: self._call("end")


def options(executor: Any) -> Options:
    """As an enqueuer makes them of its arguments, with this executor."""
    parameters = inspect.signature(OrderedEnqueuer).parameters.values()
    defaults = {parameter.name: parameter.default for parameter in parameters}
    return Options.of(defaults | {"use_multiprocessing": True, "seed": 0, "executor": executor})
