"""The course of a trial in its own process: make a loader, take epochs from it, write it down."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import itertools
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from scoreboard import catalogue, victims
from scoreboard.facts import QUEUE, WORKERS, Trial
from scoreboard.journal import Journal, strike_once


class WrongData(Exception):
    """A batch out of order, lost, doubled, or with other content than computed."""


class Course:
    """What the programs share. Their arguments are the trial, as JSON, and its folder."""

    def __init__(self) -> None:
        self.trial = Trial(**json.loads(sys.argv[1]))
        self.folder = sys.argv[2]
        self.fault = catalogue.find(self.trial.fault)
        self.journal = Journal(self.folder)
        if self.fault.descriptors:
            limit = self.fault.descriptors
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    def run(self, sequence: Any, use: Callable[[Course, Any], None] | None = None) -> None:
        """Take epochs, or `use` the loader; what is raised is written down, everything closed."""
        try:
            with self.loader(sequence) as loader:
                (use or Course._take_epochs)(self, loader)
        except Exception as error:
            self.tell(error)
        self.journal.write("done")

    def tell(self, error: Exception) -> None:
        """Write down what was raised."""
        if isinstance(error, WrongData):
            self.journal.write("wrong", what=str(error))
        else:
            main, name = sys.modules["__main__"], self.fault.raises
            own = getattr(main, name, None) or getattr(victims, name, None) if name else None
            self.journal.write("raised", **told(error, own))

    def sequence(self) -> Any:
        """The Sequence that the fault wants."""
        return getattr(victims, self.fault.sequence)(**self.sequence_options())

    def sequence_options(self) -> dict[str, Any]:
        fault = self.fault
        sizes = {"folder": self.folder, "length": fault.length, "nbytes": fault.nbytes}
        return {**sizes, **fault.sequence_options}

    @contextlib.contextmanager
    def loader(self, sequence: Any) -> Iterator[Any]:
        """The peer's loader; closed at the end, also in mid-epoch."""
        loader = self.open(sequence)
        try:
            yield loader
        except KeyboardInterrupt:
            raise  # most scripts catch nothing then: what counts is what the peer does by itself
        except BaseException:
            self._close(loader)
            raise
        self._close(loader)

    def _close(self, loader: Any) -> None:
        self.journal.write("closing")
        loader.close()
        self.journal.write("closed")

    def open(self, sequence: Any) -> Any:
        """The peer's loader; who opens it must close it."""
        if self.fault.from_start:
            strike_once(self.folder)
        make, options = _find_maker(self.trial.peer), dict(self.trial.options)
        if self.fault.timeout_s is not None and "timeout_s" in inspect.signature(make).parameters:
            options["timeout_s"] = self.fault.timeout_s
        self.journal.write("opening", options=options)
        loader = make(sequence, WORKERS, QUEUE, **options)
        self.journal.write("ready")
        return loader

    def begin_epoch(self, loader: Any) -> Iterator[Any]:
        """Ask for an epoch."""
        self.journal.write("epoch")
        return iter(loader.epoch())

    def leave_epoch(self, loader: Any, after: int) -> None:
        """Begin an epoch, and leave it after some batches."""
        for position, batch in enumerate(itertools.islice(self.begin_epoch(loader), after)):
            self.check(batch, position)

    def take_epoch(self, loader: Any) -> None:
        """Take one epoch, and look at every element of every batch."""
        kept = []
        position = 0
        for batch in self.begin_epoch(loader):
            self.check(batch, position)
            position += 1
            if self.fault.keeps:
                kept.append(batch)
            if self.fault.pace_s:
                time.sleep(self.fault.pace_s)
        if position < self.fault.length:
            raise WrongData(f"the epoch ended after {position} of {self.fault.length} batches")
        for position, batch in enumerate(kept):
            if victims.problem(batch, position):
                raise WrongData(f"batch {position} changed while it was kept")

    def check(self, batch: Any, position: int) -> None:
        """Look at a batch, and write down that it came."""
        if position >= self.fault.length:
            raise WrongData(f"a batch came after the last of {self.fault.length}")
        problem = victims.problem(batch, position)
        if problem:
            raise WrongData(problem)
        self.journal.write("batch")

    def _take_epochs(self, loader: Any) -> None:
        try:
            for _ in range(self.fault.epochs):
                self.take_epoch(loader)
        except WrongData:
            raise
        except Exception as error:
            if not self.fault.asks_again:
                raise
            self.tell(error)
            self.journal.write("again")
            self.take_epoch(loader)
        self.journal.write("delivered")


def told(error: BaseException, own: type[BaseException] | None = None) -> dict[str, Any]:
    """An exception in plain values: its type, and all that a traceback would tell but the code."""
    lines = []
    seen = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        lines.append(f"{type(link).__name__}: {link}")
        lines += getattr(link, "__notes__", [])
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return {
        "type": type(error).__name__,
        "message": str(error),
        "text": "\n".join(lines),
        "own": own is not None and isinstance(error, own),
    }


def _find_maker(peer: str) -> Any:
    """What makes a loader, of a peer or (`module:name`) of anyone."""
    if ":" in peer:
        module, _, name = peer.partition(":")
        return getattr(importlib.import_module(module), name)
    import peers

    return peers.find(peer).maker()
