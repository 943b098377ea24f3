"""Which trials are held, and their running: some at a time, each watched from outside.

Each has a /dev/shm of its own where that is permitted: a mount namespace in which nobody else's
files are seen.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from harness.processes import environment

from scoreboard.catalogue import Fault, find
from scoreboard.facts import SILENT_S, Facts, Trial

AT_A_TIME: Final = 2
LIMIT_S: Final = 200.0
"""A watcher ends long before; if it does not, something is wrong with it."""
GRACE_S: Final = 15.0
TRIES: Final = 3
"""A trial in which the fault came too late to strike is held anew so often."""
_WAYS: Final = (("unshare", "-m"), ("unshare", "-Urm"))
"""To a mount namespace: as root, and as anyone where user namespaces are allowed."""


def plan(
    faults: Sequence[Fault], peers: Sequence[Any], trials: int | None, silent_s: float = SILENT_S
) -> list[Trial]:
    """All trials, fault by fault: a peer that is slow to end does not keep the others waiting."""
    return [
        Trial(fault.name, peer.name, number, number, _options(fault, peer), silent_s)
        for fault in faults
        for peer in peers
        if not (fault.needs_workers and peer.is_yardstick)
        for number in range(1, (fault.full_trials if trials is None else trials) + 1)
    ]


def _options(fault: Fault, peer: Any) -> dict[str, Any]:
    fresh = [each for each in ("spawn", "forkserver") if each in peer.start_methods]
    return {"start_method": fresh[0]} if fault.is_spawned and fresh else {}


class Trials:
    """Holds trials, and can be stopped at any moment with all that they started."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._is_stopped = False

    def run(self, trials: Sequence[Trial], done: Callable[[Trial, Facts], None]) -> None:
        """Hold all, and call `done` after each, in this thread."""
        # Without a /dev/shm of its own, a trial cannot be told from one that runs beside it.
        pool = concurrent.futures.ThreadPoolExecutor(AT_A_TIME if namespace() else 1)
        try:
            futures = {pool.submit(self.hold, trial): trial for trial in trials}
            for future in concurrent.futures.as_completed(futures):
                done(futures[future], future.result())
        finally:
            self._is_stopped = True
            pool.shutdown(wait=False, cancel_futures=True)
            with self._lock:
                for watcher in self._running:
                    _tell(watcher)
            pool.shutdown(wait=True)

    def hold(self, trial: Trial) -> Facts:
        """Hold one; anew if the fault came too late."""
        for number in range(TRIES):
            seed = trial.seed + 1000 * number
            facts = self._hold_once(dataclasses.replace(trial, seed=seed))
            if facts.struck or facts.trouble or not facts.whole:
                break
        return facts

    def _hold_once(self, trial: Trial) -> Facts:
        fault = find(trial.fault)
        if fault.shm_mb and namespace() is None:
            return Facts(trouble="not possible here: no file system may be mounted")
        with tempfile.TemporaryDirectory(prefix="facts-") as folder:
            path = Path(folder, "facts.json")
            command = [sys.executable, "-m", "scoreboard.watcher", trial.to_json(), str(path)]
            with tempfile.TemporaryFile() as printed:
                status = self._watch(command_in_own_shm(command, fault.shm_mb), printed)
                if path.exists():
                    return Facts.from_dict(json.loads(path.read_text()))
                printed.seek(0)
                tail = printed.read()[-500:].decode(errors="replace")
        return Facts(trouble=f"the watcher ended with exit status {status}: {tail}")

    def _watch(self, command: Sequence[str], printed: Any) -> int | None:
        with self._lock:
            if self._is_stopped:
                return None
            watcher = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=printed,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,
            )
            self._running.add(watcher)
        try:
            return watcher.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(watcher)
            with self._lock:
                self._running.discard(watcher)


def _end(watcher: subprocess.Popen[Any]) -> None:
    _tell(watcher)
    try:
        watcher.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        watcher.kill()
        watcher.wait()


def _tell(watcher: subprocess.Popen[Any]) -> None:
    """Have it end all that it started, and then itself."""
    assert watcher.stdin is not None
    watcher.stdin.close()


@functools.cache
def namespace() -> tuple[str, ...] | None:
    """The command that makes a mount namespace, or None where none can be made."""
    for way in _WAYS:
        if shutil.which(way[0]) is not None:
            command = _mounting(way, 1, ["true"])
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return way
    return None


def command_in_own_shm(command: Sequence[str], size_mb: int | None) -> list[str]:
    """The command, run with a /dev/shm of its own; of the usual size, if none is given."""
    way = namespace()
    if way is None:
        return list(command)
    usual_mb = max(64, shutil.disk_usage("/dev/shm").total >> 20)
    return _mounting(way, size_mb or usual_mb, command)


def _mounting(way: Sequence[str], size_mb: int, command: Sequence[str]) -> list[str]:
    mount = f'mount -t tmpfs -o size={size_mb}m tmpfs /dev/shm && exec "$@"'
    return [*way, "sh", "-c", mount, "sh", *command]
