"""What every peer looks like from outside: named facts, and a loader that delivers epochs."""

from __future__ import annotations

import functools
import importlib
import platform
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Protocol


class Loader(Protocol):
    """Delivers the batches of a Sequence in order, epoch after epoch."""

    def epoch(self) -> Iterator[Any]:
        """Begin an epoch, and deliver its batches; the Sequence's `on_epoch_end` runs after them.

        A batch is valid until the next one is asked for. Some peers use its memory again then.
        """

    def close(self) -> None:
        """Stop everything that was started, also in mid-epoch."""


@dataclass(frozen=True)
class Peer:
    """One way to compute batches ahead, and what may be expected of it: see `peers.toml`."""

    name: str
    module: str
    loader: str = ""
    requires: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    ordered: bool = True
    bounded: bool = True
    windows: int = 1
    surplus: int = 2
    is_yardstick: bool = False
    is_apart: bool = False
    reservation: str = ""
    start_methods: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def listed(cls, name: str, facts: Mapping[str, Any]) -> Peer:
        """As `peers.toml` tells of it."""
        tuples = {key: tuple(value) for key, value in facts.items() if isinstance(value, list)}
        return cls(name, **{**facts, **tuples})

    def missing(self) -> tuple[str, ...]:
        """The distributions it requires that are not installed. Imports none of them."""
        return tuple(name for name in self.requires if not is_installed(name))

    def version(self) -> str:
        """What is measured, such as "torch 2.13.0"."""
        if not self.requires:
            return f"Python {platform.python_version()}"
        name = self.requires[0]
        return f"{name} {metadata.version(name)}"

    def most_ahead(self, workers: int, queue: int) -> int | None:
        """Batches computed at most beyond those delivered; None where nothing bounds them."""
        return self.windows * queue + self.surplus * workers if self.bounded else None

    def maker(self) -> Callable[..., Loader]:
        """What makes a loader that is ready to be asked for an epoch."""
        loader = getattr(importlib.import_module(self.module), self.loader)
        return functools.partial(loader, **self.options)


def end_epoch(sequence: Any) -> None:
    """Call the hook of a Sequence that has one, for the peers that do not."""
    getattr(sequence, "on_epoch_end", lambda: None)()


def in_window(
    sequence: Any, queue: int, ask: Callable[[int], Any], take: Callable[[Any], Any]
) -> Iterator[Any]:
    """An epoch with `queue` batches asked for at any time, and taken in their order."""
    length = len(sequence)
    window = deque(ask(index) for index in range(min(queue, length)))
    for index in range(queue, queue + length):
        batch = take(window.popleft())
        if index < length:
            window.append(ask(index))
        yield batch
    end_epoch(sequence)


def is_installed(distribution: str) -> bool:
    """Whether a distribution of that name is there. Imports nothing."""
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


_adopted: Any = None


def adopt(sequence: Any) -> None:
    """The initializer of a plain pool's workers: hands the Sequence over once, at their start."""
    global _adopted
    _adopted = sequence


def compute(index: int) -> Any:
    """The task of such a pool."""
    return _adopted[index]
