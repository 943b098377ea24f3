"""Sequences and `worker_init`s to which something happens, in a module that workers can import.

A `Blow` is what happens, and how often; where it falls is decided by the victim that carries it.
"""

from __future__ import annotations

import atexit
import os
import re
import resource
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "Blow",
    "Full",
    "FullMemory",
    "HasChildren",
    "LimitedMemory",
    "LoadingVictim",
    "PatchedWorker",
    "Raises",
    "ReduceVictim",
    "Sleeper",
    "Struck",
    "Stuck",
    "Victim",
]

FOR_EVER_S = 3600.0


class Struck(Exception):
    """What a blow of the kind "raise" raises."""


class Blow:
    """Something that ends, stops or breaks the process it falls on.

    Args:
        how: "raise", "sys.exit", "os._exit", or the name of a signal.
        scratch: an empty folder, in which all processes count the blows together.
        times: how many fall, over all processes; None: every one.
    """

    def __init__(self, how: str, scratch: Path, times: int | None = 1) -> None:
        self.how = how
        self.scratch = Path(scratch)
        self.times = times

    def strike(self) -> None:
        if self._falls():
            strike(self.how)

    def _falls(self) -> bool:
        if self.times is None:
            (self.scratch / f"struck-{uuid.uuid4().hex}").touch()
            return True
        for number in range(self.times):
            try:
                (self.scratch / f"struck-{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            return True
        return False

    def fallen(self) -> int:
        """How many have fallen."""
        return len(list(self.scratch.glob("struck-*")))


def strike(how: str) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if how == "raise":
        raise Struck("struck")
    if how == "sys.exit":
        sys.exit(3)
    if how == "os._exit":
        os._exit(4)
    os.kill(os.getpid(), signal.Signals[how])


class Full:
    """Batch i is an array full of i."""

    def __init__(self, length: int = 12, nbytes: int = 1024) -> None:
        self.length = length
        self.nbytes = nbytes

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return np.full(self.nbytes // 8, index, np.int64)


def value_of(batch: Any) -> int:
    """The index that a batch of `Full` was made for; fails if not every element says so."""
    value = int(batch.flat[0])
    assert (batch == value).all(), f"a batch of {value}s holds {np.unique(batch)}"
    return value


class Victim(Full):
    """The blow falls in the `__getitem__` of some indices."""

    def __init__(self, blow: Blow, indices: set[int], length: int = 12, nbytes: int = 1024) -> None:
        super().__init__(length, nbytes)
        self.blow = blow
        self.indices = indices

    def __getitem__(self, index: int) -> Any:
        if index in self.indices:
            self.blow.strike()
        return super().__getitem__(index)


class LoadingVictim(Full):
    """The blow falls when it is unpickled."""

    def __init__(self, blow: Blow) -> None:
        super().__init__()
        self.blow = blow

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.blow.strike()


class _Reduced:
    def __init__(self, blow: Blow) -> None:
        self.blow = blow

    def __reduce__(self) -> Any:
        self.blow.strike()
        return int, (0,)


class ReduceVictim(Full):
    """The blow falls when the batch of one index is pickled."""

    def __init__(self, blow: Blow, index: int) -> None:
        super().__init__()
        self.blow = blow
        self.index = index

    def __getitem__(self, index: int) -> Any:
        batch = super().__getitem__(index)
        return [batch, _Reduced(self.blow)] if index == self.index else batch


class PatchedWorker:
    """As `worker_init`: the blow falls at one place of the worker's own code.

    Args:
        when: "worker_init", "reserve" (a block), "idle" (before a ticket is read), "taken" (read
            and not noted), "report" (before it is written), "reported" (after), "leaving".
        blow: what happens there.
        grace: how often it is spared there.
    """

    def __init__(self, when: str, blow: Blow, grace: int = 2) -> None:
        self.when = when
        self.blow = blow
        self.grace = grace

    def __call__(self, slot: int) -> None:
        getattr(self, f"_at_{self.when}")()

    def _strike(self) -> None:
        if self.grace:
            self.grace -= 1
        else:
            self.blow.strike()

    def _at_worker_init(self) -> None:
        self.blow.strike()

    def _at_leaving(self) -> None:
        atexit.register(self.blow.strike)

    def _at_reserve(self) -> None:
        from seqloader.executors.process.worker.arena import Arena

        take = Arena.take

        def struck_take(arena: Arena, size: int) -> Any:
            self._strike()
            return take(arena, size)

        Arena.take = struck_take  # type: ignore[method-assign]

    # The loop looks these up when it begins to serve, which is after `worker_init`.
    def _at_idle(self) -> None:
        self._patch_read(before=True)

    def _at_taken(self) -> None:
        self._patch_read(before=False)

    def _patch_read(self, *, before: bool) -> None:
        from seqloader.executors.process.wire.records import RECORD_BYTES

        read = os.read

        def struck_read(fd: int, count: int) -> bytes:
            if count != RECORD_BYTES:
                return read(fd, count)
            if before:
                self._strike()
            record = read(fd, count)
            if not before:
                self._strike()
            return record

        os.read = struck_read

    def _at_report(self) -> None:
        self._patch_write(before=True)

    def _at_reported(self) -> None:
        self._patch_write(before=False)

    def _patch_write(self, *, before: bool) -> None:
        from seqloader.executors.process.wire.records import COMPUTED, REPORT

        write = os.write

        def struck_write(fd: int, data: bytes) -> int:
            if len(data) != REPORT.size or REPORT.unpack(data)[-1] != COMPUTED:
                return write(fd, data)
            if before:
                self._strike()
            count = write(fd, data)
            if not before:
                self._strike()
            return count

        os.write = struck_write


class Sleeper(Full):
    """Every batch takes `seconds`; who is in work can be seen in `scratch`."""

    def __init__(self, scratch: Path, seconds: float = FOR_EVER_S, slow: set[int] | None = None):
        super().__init__(1000)
        self.scratch = Path(scratch)
        self.seconds = seconds
        self.slow = slow

    def __getitem__(self, index: int) -> Any:
        if self.slow is None or index in self.slow:
            (self.scratch / f"begun-{index}").write_text(str(os.getpid()))
            time.sleep(self.seconds)
        return super().__getitem__(index)


class Stuck(Full):
    """One batch is stuck, the first `times` it is tried.

    Args:
        how: "asleep" (in Python code), "in C" (with the interpreter's lock), "stopped".
    """

    def __init__(self, how: str, blow: Blow, index: int = 2) -> None:
        super().__init__()
        self.how = how
        self.blow = blow
        self.index = index

    def __getitem__(self, index: int) -> Any:
        if index == self.index and self.blow._falls():
            self.be_stuck_here()
        return super().__getitem__(index)

    def be_stuck_here(self) -> None:
        if self.how == "asleep":
            time.sleep(FOR_EVER_S)
        elif self.how == "in C":
            re.match("(a+)+$", "a" * 60 + "b")  # no signal ends it, as it would end a sleep()
        else:
            os.kill(os.getpid(), signal.SIGSTOP)


class HasChildren(Full):
    """Batch 0 starts a child and writes its process id to `scratch`; `then` decides what follows.

    Args:
        then: "sleep" for ever, or "go on".
    """

    def __init__(self, scratch: Path, then: str) -> None:
        super().__init__()
        self.scratch = Path(scratch)
        self.then = then

    def __getitem__(self, index: int) -> Any:
        if index == 0 and not (self.scratch / "child").exists():
            child = subprocess.Popen(["sleep", str(FOR_EVER_S)])
            (self.scratch / "new").write_text(f"{os.getpid()} {child.pid}")
            (self.scratch / "new").rename(self.scratch / "child")
            if self.then == "sleep":
                time.sleep(FOR_EVER_S)
        return super().__getitem__(index)


class LimitedMemory:
    """As `worker_init`: the worker may have `more_bytes` of addresses beyond what it has now."""

    def __init__(self, more_bytes: int) -> None:
        self.more_bytes = more_bytes

    def __call__(self, slot: int) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + self.more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


class FullMemory:
    """As `worker_init`: the system has no shared memory for more than `bytes_left` at a time."""

    def __init__(self, bytes_left: int) -> None:
        self.bytes_left = bytes_left

    def __call__(self, slot: int) -> None:
        import errno

        allocate = os.posix_fallocate

        def refuse(fd: int, offset: int, size: int) -> None:
            if size > self.bytes_left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            allocate(fd, offset, size)

        os.posix_fallocate = refuse


class Raises(Full):
    """The batch of one index raises what `make` returns."""

    def __init__(self, make: Any, index: int = 3) -> None:
        super().__init__()
        self.make = make
        self.index = index

    def __getitem__(self, index: int) -> Any:
        if index == self.index:
            raise self.make()
        return super().__getitem__(index)
