"""Files in /dev/shm, and which of them a test has left there.

The folder belongs to every program of the machine, and no file says who made it: while a test
runs, others make semaphores and shared memory there, and remove them. What is new is the test's
unless something says otherwise:

    it goes            what is left stays; what is made and removed again does not
    it is held         a living process that is none of ours has it open or mapped. Who made a
                       semaphore or a block of shared memory holds it for as long as it is used
    its owner          is another user
    its name           has, as its first number, the id of a living process that is none of ours:
                       torch, joblib and loky name what they make so, and close it before others
                       open it; or it is left on purpose by a test of these guards, which another
                       run of the tests beside this one is at

What is left is one more thing that nobody holds. So a leak is found, by whichever process it was
made; and another program is blamed on a test only if it closes what it made, keeps it so for
longer than the grace, and names it by chance. Grain does that with each batch, from when a worker
has made it until the consumer asks for it. So where another run of the tests is on this machine,
which may be at a test of Grain, such a name is looked at for longer: what a test leaves stays.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import psutil

__all__ = ["FOLDER", "LEFT_ON_PURPOSE", "PURPOSE", "left_by_us", "names"]

FOLDER: Final = Path("/dev/shm")

LEFT_ON_PURPOSE: Final = "leaked-on-purpose-"
"""How names begin that a test of the guards leaves, for the guards in a run of its own to find."""

PURPOSE: Final = "LEAKED"
"""Environment variable of such a run: how the names begin that it leaves."""

_LOOK_S: Final = 0.05

_BESIDE_ANOTHER_RUN_S: Final = 30.0
"""Instead of the grace, for names that may be another run's: half of what a test may take."""

_NUMBER: Final = re.compile(r"(?<![0-9A-Za-z])\d+(?![0-9A-Za-z])")


def names() -> frozenset[str]:
    """What is there now."""
    try:
        return frozenset(os.listdir(FOLDER))
    except OSError:
        return frozenset()  # a system without the folder


def left_by_us(
    new: Collection[str],
    grace_s: float,
    is_ours: Callable[[int], bool],
    is_beside_another_run: Callable[[], bool],
) -> frozenset[str]:
    """Those of `new` that nothing speaks for, looked at again and again until the grace is over.

    Args:
        new: Names that were not there before the test.
        grace_s: Seconds.
        is_ours: Says of a process id whether the tests started that process.
        is_beside_another_run: Says whether other tests of this project run on this machine.
    """
    begun = time.monotonic()
    left = frozenset(new)
    while left:
        left = (left & names()) - _of_other_users(left) - _of_other_runs(left)
        left -= _named_by_others(left, is_ours) | _held_by_others(left, is_ours)
        waited_s = time.monotonic() - begun
        if waited_s >= grace_s and (
            waited_s >= _BESIDE_ANOTHER_RUN_S
            or all(name.startswith(LEFT_ON_PURPOSE) for name in left)
            or not is_beside_another_run()
        ):
            break
        time.sleep(_LOOK_S)
    return left


def _of_other_users(candidates: Collection[str]) -> set[str]:
    found = set()
    for name in candidates:
        try:
            if (FOLDER / name).lstat().st_uid != os.geteuid():
                found.add(name)
        except OSError:
            found.add(name)  # it went
    return found


def _of_other_runs(candidates: Collection[str]) -> set[str]:
    own = Path(os.environ.get(PURPOSE, "?")).name
    return {
        name for name in candidates if name.startswith(LEFT_ON_PURPOSE) and not name.startswith(own)
    }


def _named_by_others(candidates: Collection[str], is_ours: Callable[[int], bool]) -> set[str]:
    found = set()
    for name in candidates:
        number = _NUMBER.search(name)
        if number and psutil.pid_exists(int(number[0])) and not is_ours(int(number[0])):
            found.add(name)
    return found


def _held_by_others(candidates: Collection[str], is_ours: Callable[[int], bool]) -> set[str]:
    known = _inodes(candidates)
    found: set[str] = set()
    for pid in psutil.pids() if known else []:
        held = {known[file] for file in _held(pid) if file in known}
        if held and not is_ours(pid):
            found |= held
    return found


def _inodes(candidates: Collection[str]) -> dict[tuple[int, int], str]:
    """Device and inode of each, and of the files in those that are folders.

    Not their paths: a semaphore is made under another name, which its mapping keeps.
    """
    found = {}
    for name in candidates:
        for path in (FOLDER / name, *(FOLDER / name).rglob("*")):
            try:
                facts = path.lstat()
            except OSError:
                continue  # it went
            found[facts.st_dev, facts.st_ino] = name
    return found


def _held(pid: int) -> set[tuple[int, int]]:
    """Device and inode of what the process has open or mapped, as far as we may look."""
    found = set()
    try:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            _, _, _, device, inode, *_ = line.split(maxsplit=5)
            major, minor = (int(part, 16) for part in device.split(":"))
            found.add((os.makedev(major, minor), int(inode)))
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            facts = descriptor.stat()
            found.add((facts.st_dev, facts.st_ino))
    except OSError:
        pass  # it has ended meanwhile, or is another user's
    return found
