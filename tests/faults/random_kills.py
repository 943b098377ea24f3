"""Does an epoch survive workers that are killed at random, in a pool that is resized at random?

Varied      batch size; which workers are killed, how (SIGKILL, SIGSEGV) and when, boots included;
            between which batches the pool is resized, to 1-4 workers: at random
Counted     kills, respawns, and trials in which a batch was lost, doubled, out of order or wrong,
            that raised, or that hung
Held still  3 workers at first, max_queue_size=6; a trial is one epoch; 10 trials in one process,
            which is watched and killed from outside; its Sequence changes at every epoch end
Checked     every element of every batch, when it comes, and of some that are held until the epoch
            is over; that no worker is left when the process has ended
Spared      more than four workers in a row from which no batch has come yet, and those by SIGKILL
            only: ten kills with nobody left are an error, and three faults, and rightly so

Run         python tests/faults/random_kills.py --trials 200 --sizes 1KB,1MB,64MB

The exit status is 1 if anything but kills and respawns was counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from seqloader import OrderedEnqueuer, Sequence
from seqloader.errors import WorkerLostWarning

WORKERS: Final = 3
TRIALS_A_PROCESS: Final = 10
HUNG_S: Final = 60.0
"""No trial takes a tenth of it, kills included."""
GONE_S: Final = 2.0
LULL_S: Final = 0.12
"""Between two kills, on average."""
NEW_IN_A_ROW: Final = 4
ZYGOTES_KILLED: Final = 0.02
EPOCH_STEP: Final = 1_000_000
KINDS: Final = ("lost", "doubled", "disordered", "wrong", "raised", "hung", "left behind")


# --- the process that iterates ------------------------------------------------------------


class Numbered(Sequence[Any]):
    """Every element of batch i of epoch e is e * EPOCH_STEP + i; beside it, who computed it."""

    def __init__(self, nbytes: int, length: int) -> None:
        self.nbytes = nbytes
        self.length = length
        self.epoch = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        time.sleep(0.02 * (index % 7) / 7)
        value = self.epoch * EPOCH_STEP + index
        return np.full(self.nbytes // 8, value, np.int64), os.getpid()

    def on_epoch_end(self) -> None:
        self.epoch += 1


def iterate(nbytes: int, trials: int, seed: int, method: str) -> None:
    """Run trials, and print what came of each as a line of JSON."""
    warnings.simplefilter("ignore", WorkerLostWarning)
    sequence = Numbered(nbytes, length=24 if nbytes >= 1 << 24 else 120)
    rng = random.Random(seed)
    known: set[int] = set()
    more: Any = {"crash_retries": 1000, "start_method": method}
    with OrderedEnqueuer(sequence, workers=WORKERS, max_queue_size=6, **more) as enqueuer:
        for epoch in range(trials):
            error = ""
            try:
                faults = one_epoch(enqueuer, epoch, rng, known)
            except Exception as raised:
                faults, error = ["raised"], f"{type(raised).__name__}: {raised}"
            respawns = enqueuer.stats().respawns
            message = {"faults": faults, "respawns": respawns, "error": error}
            print(json.dumps(message), flush=True)
            if error:
                return


def one_epoch(
    enqueuer: OrderedEnqueuer[Any], epoch: int, rng: random.Random, known: set[int]
) -> list[str]:
    """The kinds of faults of one epoch; says which workers a first batch has come from."""
    seen: list[int] = []
    held: list[tuple[int, Any]] = []
    faults = set()
    for batch, pid in enqueuer:
        if pid not in known:
            known.add(pid)
            print(json.dumps({"works": pid}), flush=True)
        value = int(batch[0])
        if value // EPOCH_STEP != epoch or not (batch == value).all():
            faults.add("wrong")
        seen.append(value % EPOCH_STEP)
        if rng.random() < 0.05:
            enqueuer.resize(rng.randint(1, 4))
        if rng.random() < 0.1:
            held.append((value, batch))
    if any(not (batch == value).all() for value, batch in held):
        faults.add("wrong")
    if set(range(len(enqueuer))) - set(seen):
        faults.add("lost")
    if len(set(seen)) < len(seen):
        faults.add("doubled")
    if seen != sorted(seen):
        faults.add("disordered")
    return sorted(faults)


# --- the process that watches and kills ---------------------------------------------------


class Killer:
    """Kills workers of one process, now and then."""

    def __init__(self, process: psutil.Process, rng: random.Random) -> None:
        self.kills = 0
        self._process = process
        self._rng = rng
        self._killed: set[int] = set()
        self._working: set[int] = set()
        self._new_in_a_row = 0

    def works(self, pid: int) -> None:
        """A first batch has come from a worker."""
        self._working.add(pid)
        self._new_in_a_row = 0

    def lull_s(self) -> float:
        """How long until the next kill."""
        return self._rng.expovariate(1 / LULL_S)

    def strike(self) -> None:
        """Kill one worker; now and then all of them."""
        workers = self.workers()
        self._rng.shuffle(workers)
        for worker in workers if self._rng.random() < 0.05 else workers[:1]:
            self._kill(worker)

    def workers(self) -> list[psutil.Process]:
        """Those that live and were not killed yet."""
        with contextlib.suppress(psutil.NoSuchProcess):
            everyone = self._process.children(recursive=True)
            return [each for each in everyone if each.pid not in self._killed]
        return []

    def _kill(self, worker: psutil.Process) -> None:
        new = worker.pid not in self._working
        signum = signal.SIGKILL if new else self._rng.choice((signal.SIGKILL, signal.SIGSEGV))
        try:
            spared = worker.children() and self._rng.random() > ZYGOTES_KILLED
            if spared or (new and self._new_in_a_row == NEW_IN_A_ROW):
                return
            worker.send_signal(signum)
        except psutil.NoSuchProcess:
            return
        self._killed.add(worker.pid)
        self._new_in_a_row += new
        self.kills += 1


def watch(size: str, trials: int, seed: int, method: str, tally: Counter[str]) -> list[str]:
    """Have a fresh process run trials, kill its workers, and count what comes of it."""
    said = []
    command = [sys.executable, __file__, "--iterate", size, "--trials", str(trials)]
    command += ["--start-method", method]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*command, "--seed", str(seed)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,  # every SIGSEGV writes a page of stacks
            start_new_session=True,
        )
        killer = Killer(psutil.Process(process.pid), random.Random(seed))
        told = respawns = 0
        for message in map(json.loads, _lines_while_killing(process, killer)):
            if "works" in message:
                killer.works(message["works"])
                continue
            told += 1
            respawns = message["respawns"]
            tally.update(message["faults"])
            said += [message["error"]] if message["error"] else []
        workers = killer.workers()
        if process.poll() is None:
            tally["hung"] += 1
            said.append(f"hung, in {' '.join(_where(process.pid, workers))}")
            process.kill()
            told += 1
        elif process.returncode:
            tally["raised"] += 1
            errors.seek(0)
            tail = errors.read()[-2000:].decode(errors="replace")
            said.append(f"exit status {process.returncode}: {tail}")
        process.wait()
    tally["left behind"] += len(psutil.wait_procs(workers, timeout=GONE_S)[1])
    tally.update(trials=max(told, 1), kills=killer.kills, respawns=respawns)
    return said


def _where(pid: int, workers: list[psutil.Process]) -> Iterator[str]:
    """What the kernel says that each process waits for."""
    for number in (pid, *(worker.pid for worker in workers)):
        with contextlib.suppress(OSError):
            yield Path(f"/proc/{number}/wchan").read_text()


def _lines_while_killing(process: subprocess.Popen[bytes], killer: Killer) -> Iterator[bytes]:
    """What the process prints, until its end or until it keeps silent for too long."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    rest = b""
    heard = time.monotonic()
    strikes_at = heard + killer.lull_s()
    while time.monotonic() - heard < HUNG_S:
        left_s = strikes_at - time.monotonic()
        if left_s <= 0:
            killer.strike()
            strikes_at = time.monotonic() + killer.lull_s()
        elif select.select([descriptor], [], [], left_s)[0]:
            data = os.read(descriptor, 1 << 16)
            if not data:
                process.wait()
                break
            heard = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            yield from lines
    process.stdout.close()


# --- the script -----------------------------------------------------------------------------


def size_bytes(text: str) -> int:
    """`64MB` as a number of bytes."""
    for unit, factor in (("KB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30)):
        if text.upper().endswith(unit):
            return int(float(text[: -len(unit)]) * factor)
    raise argparse.ArgumentTypeError(f"a size is a number with KB, MB or GB, not {text!r}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=200, help="epochs for each size")
    parser.add_argument("--sizes", default="1KB,1MB,64MB", help="of a batch, by commas")
    parser.add_argument("--seed", type=int, help="of the kills; drawn if not given")
    parser.add_argument("--start-method", default="spawn", help="a zygote is killed too, if rarely")
    parser.add_argument("--iterate", help=argparse.SUPPRESS)
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    if options.iterate:
        iterate(size_bytes(options.iterate), options.trials, seed, options.start_method)
        return 0

    print(f"seed {seed}, {WORKERS} workers")
    columns = ("size", "trials", "kills", "respawns", *KINDS, "seconds")
    print("  ".join(columns), flush=True)
    faulty = False
    for size in options.sizes.split(","):
        begun, tally, said = time.monotonic(), Counter[str](), []
        while (done := tally["trials"]) < options.trials:
            trials = min(TRIALS_A_PROCESS, options.trials - done)
            said += watch(size, trials, seed + done, options.start_method, tally)
        seconds = f"{time.monotonic() - begun:.0f}"
        cells = [size, *(str(tally[column]) for column in columns[1:-1]), seconds]
        print("  ".join(c.rjust(len(t)) for c, t in zip(cells, columns, strict=True)), flush=True)
        for error in said:
            print(f"    {error}")
        faulty = faulty or any(tally[kind] for kind in KINDS)
    return int(faulty)


if __name__ == "__main__":
    sys.exit(main())
