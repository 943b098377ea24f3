"""A consumer that walks through everything an enqueuer does, and goes on after an interrupt."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seqloader import EnqueuerStopped, OrderedEnqueuer, Sequence

if TYPE_CHECKING:
    from collections.abc import Callable

    from arrivals import Arrival

__all__ = ["LENGTH", "Changing", "Course", "Remains", "Still", "Turns"]

LENGTH: Final = 4


class Changing(Sequence[Any]):
    """Batches say which state of the Sequence they were computed with."""

    def __init__(self, length: int = LENGTH) -> None:
        self.length = length
        self.ended = 0
        """Epochs ended: the state that the workers must see."""

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int, /) -> Any:
        return np.array([self.ended, index])

    def on_epoch_end(self) -> None:
        self.ended += 1


class Still(Sequence[Any]):
    """The same without a hook: it changes only where `ended` is bound anew."""

    def __init__(self, length: int = LENGTH) -> None:
        self.length = length
        self.ended = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int, /) -> Any:
        return np.array([self.ended, index])


class _Stopped(Exception):
    """The interrupt has stopped the enqueuer: the course ends here, in its other way."""


class Course:
    """Two epochs, one left early, one peeked at; every call may be the one that is interrupted."""

    def __init__(self, enqueuer: OrderedEnqueuer[Any], arrival: Arrival) -> None:
        self._enqueuer = enqueuer
        self._arrival = arrival
        self._iterator: Any = None
        self._got: list[tuple[int, int]] = []
        """(state, index) of what the iterator has given."""
        self.step = ""
        self.outcome = "not interrupted"

    def run(self) -> None:
        """Walk, and assert on the way that nothing is lost, doubled, mixed up or left."""
        try:
            self._walk()
        except _Stopped:
            self.outcome = "stopped"
            self._start_anew()
        self._stop()

    def _walk(self) -> None:
        self._do("start", self._enqueuer.start)
        self._whole_epoch()
        self._begin()
        self._next()
        self._next()  # and leaves it early
        self._begin()
        self._next()
        peeked = self._do("peek", self._enqueuer.peek)
        self._next()
        assert self._got[-1] == tuple(peeked)
        self._finish()
        assert self._do("join_end_of_epoch", self._enqueuer.join_end_of_epoch) is None
        self._begin()
        self._next()
        assert self._do("end_epoch", self._enqueuer.end_epoch) is None
        self._begin()
        self._next()

    def _do(self, step: str, call: Callable[..., Any], *args: Any) -> Any:
        self.step = step
        try:
            return self._arrival.call(call, *args)
        except self._arrival.kind:
            if not self._enqueuer.is_running():
                raise _Stopped from None
            self.outcome = f"went on after {step}"
            return call(*args)

    def _whole_epoch(self) -> None:
        self._begin()
        self._finish()

    def _begin(self) -> None:
        self._iterator = None
        self._got = []
        self._iterator = self._do("iter", iter, self._enqueuer)

    def _next(self) -> None:
        self._take(self._do("next", next, self._iterator))

    def _take(self, batch: Any) -> None:
        state, index = batch.tolist()
        assert index == len(self._got), f"got {index} after {self._got}"
        assert state == self._enqueuer.sequence.ended, "computed with another state"
        self._got.append((state, index))

    def _finish(self) -> None:
        while len(self._got) < LENGTH:
            self._next()
        try:
            extra = self._do("end of epoch", next, self._iterator)
        except StopIteration:
            return
        raise AssertionError(f"the epoch went on with {extra} after {self._got}")

    def _start_anew(self) -> None:
        if self._iterator is not None:
            self._stopped_iterator()
        batches = [batch.tolist() for batch in self._enqueuer]
        state = batches[0][0]
        assert batches == [[state, index] for index in range(LENGTH)]

    def _stopped_iterator(self) -> None:
        """An epoch that was cut short says so; a short one without a word would be a lost batch."""
        try:
            batch = next(self._iterator)
        except EnqueuerStopped:
            return
        except StopIteration:
            assert len(self._got) == LENGTH, f"ended without a word after {self._got}"
            return
        raise AssertionError(f"got {batch} from a stopped enqueuer")

    def _stop(self) -> None:
        self.step = "stop"
        try:
            self._arrival.call(self._enqueuer.stop)
        except self._arrival.kind:
            self.outcome = "interrupted in stop()"
            self._enqueuer.stop()
        assert not self._enqueuer.is_running()


class Turns(Course):
    """Whole epochs of a Sequence without hooks, whose coming ones are computed ahead: taken as they
    were computed, thrown away for a change, for a jump, for an epoch left early."""

    def _walk(self) -> None:
        self._do("start", self._enqueuer.start)
        self._whole_epoch()
        self._whole_epoch()
        self._begin()
        self._next()  # and leaves it early
        self._whole_epoch()
        number = self._enqueuer.epoch
        self._do("seek", self._enqueuer.seek, number)
        self._whole_epoch()
        assert self._enqueuer.epoch == number + 1
        self._do("resize", self._enqueuer.resize, 3)
        self._whole_epoch()
        self._enqueuer.sequence.ended += 1
        self._whole_epoch()


class Remains:
    """What this process had before; `check` fails where an enqueuer has left more."""

    def __init__(self) -> None:
        self._descriptors = _descriptors()
        self._children = _children()

    def check(self) -> None:
        """Assert that neither child, thread nor descriptor was left. Zombies are children."""
        if len(_descriptors()) > len(self._descriptors):
            gc.collect()
        children = _children() - self._children
        threads = [one.name for one in threading.enumerate() if one.name.startswith("seqloader")]
        descriptors = [one for one in _descriptors() if one not in self._descriptors]
        assert not children, f"children left: {children}"
        assert not threads, f"threads left: {threads}"
        assert not descriptors, f"left: {descriptors}"


def _descriptors() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(f"{name} -> {os.readlink('/proc/self/fd/' + name)}")
    return found


def _children() -> set[str]:
    task = f"/proc/self/task/{threading.get_native_id()}/children"
    return set(Path(task).read_text().split())
