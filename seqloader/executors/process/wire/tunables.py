"""What glibc is told when a worker starts, and what it was told by the user.

Ours is that large copies are written past the caches.

A copy into a block is read by another process, later. Written through the caches, every line of it
is first read from memory, and the worker's own code and data are evicted. glibc writes large copies
past them by itself, but takes "large" from the cache that the machine reports, which on servers is
hundreds of megabytes of a cache shared with everybody else. It reads its tunables once, before
`main`, so that they have to be in the environment of the process that starts, and need not stay
there: the worker takes ours out again, and what user code starts sees the user's own environment.

Where there is no glibc, or one that does not know the name, nothing happens.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Final

__all__ = ["add_tunables", "remove_tunables", "sets_malloc"]

VARIABLE: Final = "GLIBC_TUNABLES"
STREAMED_BYTES: Final = 4 << 20
"""Copies of this size and more: beyond the caches of one core, so that nothing is lost."""
_NAME: Final = "glibc.cpu.x86_non_temporal_threshold"
_OURS: Final = f"{_NAME}={STREAMED_BYTES:#x}"
_MALLOC: Final = ("mmap_max", "mmap_threshold", "top_pad", "trim_threshold")
"""What malloc keeps, and what it maps by itself, is decided by these together."""


def add_tunables(environment: MutableMapping[str, str]) -> None:
    """Add ours to what the user has set; a threshold of the user's own is left as it is."""
    users = environment.get(VARIABLE)
    if users is None:
        environment[VARIABLE] = _OURS
    elif _NAME not in users:
        environment[VARIABLE] = f"{users}:{_OURS}"


def remove_tunables(environment: MutableMapping[str, str]) -> None:
    """Make the variable what the user had."""
    value = environment.get(VARIABLE)
    if value == _OURS:
        del environment[VARIABLE]
    elif value is not None and value.endswith(f":{_OURS}"):
        environment[VARIABLE] = value.removesuffix(f":{_OURS}")


def sets_malloc(environment: Mapping[str, str]) -> bool:
    """Whether the user has decided what malloc keeps: by a variable of its own, or a tunable."""
    tunables = environment.get(VARIABLE, "")
    return any(
        f"MALLOC_{name.upper()}_" in environment or f"glibc.malloc.{name}=" in tunables
        for name in _MALLOC
    )
