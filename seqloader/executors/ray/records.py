"""What consumer and actors tell each other. Plain values, beside what says so.

Records
    settings   of one start: seeding, script, sources, names; an object of Ray's, once
    state      the Sequence in one version: an object of Ray's, whose large parts are objects too
    call       number, tickets and version, pickled; and with the first call of a version the
               reference of the state, in a list, so that Ray does not fetch it
    reply      None where the call was thrown away; else answers, one for each ticket, and what was
               noticed
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from seqloader.executors.process.wire.settings import ScriptFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "COMPUTED",
    "FAILED",
    "RAISED",
    "READY",
    "Manifest",
    "Reply",
    "Settings",
    "Source",
]

COMPUTED: Final = 0
"""(COMPUTED, seconds, bytes, pickle, buffers): a batch."""
RAISED: Final = 1
"""(RAISED, seconds, packed): `__getitem__` raised; see `wire/failures`."""

READY: Final = 0
"""(READY, process id, host): an actor has loaded the Sequence."""
FAILED: Final = 1
"""(FAILED, packed): loading it, or `worker_init`, raised."""


class Source(NamedTuple):
    """A module of the user's."""

    file: str
    """Where the consumer has it."""
    text: bytes
    is_package: bool


class Settings(NamedTuple):
    """The same for all actors of a start."""

    version: str
    """Of seqloader."""
    seed: int
    reseed_globals: bool
    script: ScriptFacts
    names: bytes
    """The script's definitions by name."""
    sources: Mapping[str, Source]
    path: list[str]
    """Folders that modules are looked for in, where a machine has them."""
    argv: list[str]
    worker_init: bytes
    """Pickle of the callable; empty: none."""


class Manifest(NamedTuple):
    """The Sequence in one version. Parts are bytes, or references of Ray's to such."""

    head: Any
    buffers: tuple[Any, ...]
    externals: tuple[Any, ...]
    shared: tuple[Any, ...]


class Reply(NamedTuple):
    """Of a call."""

    answers: list[tuple[Any, ...]]
    noticed: list[tuple[Any, ...]]
