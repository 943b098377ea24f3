"""Watches one trial: starts its program, strikes, waits, looks what is left, ends everything.

python -m scoreboard.watcher TRIAL_JSON FACTS_PATH

It is a process of its own, because it must be the subreaper of all that the trial starts, and may
stand in a mount namespace of its own. It ends with everything below it when its standard input
ends: with the script that started it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import select
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from scoreboard import blows, catalogue
from scoreboard.account import Account
from scoreboard.blows import Scene
from scoreboard.facts import Facts, Trial
from scoreboard.journal import Reader, strikes, worker_pids
from scoreboard.remnants import (
    Descendants,
    become_subreaper,
    shared_files,
    shortened,
    temporary_files,
)

PROGRAMS: Final = Path(__file__).resolve().parent / "programs"
START_S: Final = 60.0
"""Silence before the loader is ready: some peers start a cluster."""
MOST_S: Final = 120.0
"""No trial takes longer, silent or not."""
GRACE_S: Final = 2.0
"""What has not ended so long after the program is left."""
LOOK_S: Final = 0.01
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class Watch:
    """One trial under way."""

    def __init__(self, trial: Trial, folder: Path) -> None:
        self.trial = trial
        self.fault = catalogue.find(trial.fault)
        self.folder = folder
        self.descendants = Descendants()
        self.rng = random.Random(trial.seed)
        self.before = set(shared_files())
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.begun = time.monotonic()
        self.pid = self._start()
        self.account = Account(self.fault, self.begun)
        self._events = Reader(folder, self.pid)
        self._due: float | None = None
        self._heard = self.begun
        self._is_struck = not self.fault.blow

    def _start(self) -> int:
        program = str(PROGRAMS / f"{self.fault.program}.py")
        streams = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self.folder / "printed"), _WRITE, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, str(self.folder / "errors"), _WRITE, 0o600),
        ]
        return os.posix_spawn(
            sys.executable,
            [sys.executable, program, self.trial.to_json(), str(self.folder)],
            {**os.environ, "TMPDIR": str(self.temporary)},
            file_actions=streams,
            setsid=True,
        )

    def run(self) -> Facts:
        """Until the program has ended, or has been silent for too long."""
        while True:
            self.descendants.reap()
            status = self.descendants.statuses.get(self.pid)
            now = time.monotonic()
            for event in self._events.new():
                self._heard = now
                self.account.add(event)
            if status is not None:
                return self._facts(status, now, self._left())
            if self._is_over(now):
                return self._facts(None, now, ([], []))
            self._strike(now)
            if select.select([0], [], [], LOOK_S)[0]:
                raise KeyboardInterrupt  # who started us is gone, or wants us to stop

    def _strike(self, now: float) -> None:
        fault = self.fault
        if self._is_struck or sum(self.account.delivered) < fault.after_batches:
            return
        if self._due is None:
            self._due = now + self.rng.uniform(0, fault.within_s)
        scene = Scene(self.folder, self.pid, self.rng)
        if now >= self._due and getattr(blows, fault.blow)(scene):
            self._is_struck = True
            self._heard = now

    def _is_over(self, now: float) -> bool:
        silence_s = self.trial.silent_s if self.account.is_ready else START_S
        return now - self._heard > silence_s or now - self.begun > MOST_S

    def _left(self) -> tuple[list[str], list[str]]:
        """Processes and files that are there when the grace is over."""
        end = time.monotonic() + GRACE_S
        while True:
            shared = [name for name in shared_files() if name not in self.before]
            files = shortened([*shared, *temporary_files(self.temporary)])
            left = self.descendants.names(worker_pids(self.folder)), files
            if not any(left) or time.monotonic() > end:
                return left
            time.sleep(0.05)

    def _facts(self, status: int | None, now: float, left: tuple[list[str], list[str]]) -> Facts:
        return self.account.facts(
            status=status,
            ended=now,
            struck=strikes(self.folder),
            errors=(self.folder / "errors").read_bytes(),
            left=left,
            worker_pids=worker_pids(self.folder),
        )


def main(trial_json: str, facts_path: str) -> None:
    become_subreaper()
    trial = Trial(**json.loads(trial_json))
    with tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as name:
        watch = Watch(trial, Path(name))
        try:
            facts = watch.run()
        finally:
            watch.descendants.kill()
    Path(facts_path).write_text(json.dumps(dataclasses.asdict(facts)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
