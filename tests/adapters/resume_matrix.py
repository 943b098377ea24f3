"""Does a training that was stopped and resumed train with each batch once?

Compared    a TorchLoader, and what the framework does by itself with its own DataLoader
Varied      the trainer, where it was stopped, on how many processes before and after
Measured    of all batches of all epochs: how often each of them went into an optimizer step that
            the model at the end has seen. 0: it was lost; 2: it came twice. And how many batches
            were computed after the resume that nothing was trained with
Method      each training counts in a buffer of the model, so that what a checkpoint does not hold
            does not count. It saves after `stop` batches, trains with one more, and ends by an
            exception or SIGKILL; or all its processes get a SIGTERM after `stop` batches, and it
            saves what it then has. Another process, or several, load what was saved
Not shown   what workers had computed ahead when the training was stopped: that is always lost

Run         python tests/adapters/resume_matrix.py [--points 40] [--only lightning] [--json FILE]
            prints the table; a quarter of an hour on two cores. With --only, what is stored of
            the others stays
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from resume_trainings import TRAININGS, batches_of, epochs_of, run_phase

TRAINERS = tuple(TRAININGS)
WORLDS = {
    "lightning": ((1, 1), (2, 1), (1, 2)),
    "transformers": ((1, 1), (2, 2), (2, 1)),  # on more it would make too few steps
    "accelerate": ((1, 1), (2, 1), (1, 2)),
    "keras": ((1, 1),),  # it is one process
}


@dataclass(frozen=True)
class Trial:
    """One training, stopped at each of these points, and resumed."""

    trainer: str
    loader: str
    """ "seqloader" or "own"."""
    before: int
    after: int
    points: tuple[int, ...]
    """Batches on each process after which a checkpoint is saved."""
    signal: str = ""
    """That stops it, "KILL" or "TERM", one training a process; else an exception, all in one."""
    short: bool = False
    """Whether batches of every epoch are left out, because they are None."""
    workers: int = 0
    """That compute the batches; 0: the trainer's own process."""


@dataclass
class Tally:
    """What became of the batches of all points."""

    points: int = 0
    lost: int = 0
    doubled: int = 0
    for_nothing: int = 0
    failed: int = 0
    """Points at which the training could not go on."""
    why: str = ""


def trials(trainer: str, points: int, kills: int) -> list[Trial]:
    """All of one trainer."""
    found = [
        Trial(trainer, loader, before, after, stops(trainer, points, before, after))
        for before, after in WORLDS[trainer]
        for loader in ("seqloader", "own")
    ]
    killed = Trial(trainer, "seqloader", 1, 1, stops(trainer, kills, 1, 1), signal="KILL")
    found.append(killed)
    if trainer == "transformers":  # which has a way to save upon SIGTERM, and counts its epochs
        found.append(replace(killed, signal="TERM", workers=2))
        short = [Trial(trainer, loader, 1, 1, (), short=True) for loader in ("seqloader", "own")]
        found += [replace(each, points=stops(trainer, points, 1, 1, True)) for each in short]
        found.append(replace(killed, short=True, points=stops(trainer, kills, 1, 1, True)))
    return found


def stops(
    trainer: str, points: int, before: int, after: int, short: bool = False
) -> tuple[int, ...]:
    """Where to stop: evenly spread, and where what is left can be dealt out evenly."""
    each = TRAININGS[trainer].every * (2 if after > before else 1)
    last = batches_of(trainer, before, short) // each - 2  # and one batch more before it stops
    wanted = {1 + (last - 1) * point // max(1, points - 1) for point in range(points)}
    return tuple(each * point for point in sorted(wanted))


def run(trial: Trial) -> Tally:
    """Stop it at each point, resume it, and count."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if trial.signal:
            for point in trial.points:
                launch(replace(trial, points=(point,)), place, trial.before, "stop")
        else:
            launch(trial, place, trial.before, "stop")
        launch(trial, place, trial.after, "resume")
        return count(trial, place)


def count(trial: Trial, place: Path) -> Tally:
    """Of a trial whose two phases have run in this folder."""
    tally = Tally()
    for point in trial.points:
        _count(place / str(point), tally, epochs_of(trial.trainer, trial.short))
    return tally


def _count(place: Path, tally: Tally, epochs: int) -> None:
    tally.points += 1
    if (error := place / "error.txt").exists():
        tally.failed += 1
        tally.why = error.read_text()
        return
    ended = [json.loads(path.read_text()) for path in place.glob("ended-*.json")]
    counts = Counter(ended[0]["counts"])
    assert all(each["counts"] == ended[0]["counts"] for each in ended), "processes differ"
    tally.lost += counts[0]
    tally.doubled += sum((times - 1) * counts[times] for times in counts if times > 1)
    notes = "".join(path.read_text() for path in place.glob("computed-resume-*"))
    # Of the epochs after the last, workers compute what the last leaves them time for.
    computed = sum(int(line.split()[0]) < epochs for line in notes.splitlines())
    tally.for_nothing += computed - sum(each["trained"] for each in ended)


def launch(trial: Trial, place: Path, processes: int, phase: str) -> None:
    """Run a phase of a trial on so many processes, in this file again."""
    task = json.dumps({"trial": asdict(trial), "place": str(place), "phase": phase})
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    started = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for rank in range(processes):
        if processes > 1:
            environment |= {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(processes),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "GLOO_SOCKET_IFNAME": "lo",
            }
        started.append(
            subprocess.Popen(
                [sys.executable, __file__, "--task", task],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # its workers get its signals, and nobody else
            )
        )
    wanted = -signal.SIGKILL if trial.signal == "KILL" and phase == "stop" else 0
    try:
        for process in started:
            _, said = process.communicate(timeout=600)
            if process.returncode != wanted:
                raise RuntimeError(f"{trial} ended with {process.returncode}:\n{said[-3000:]}")
    finally:
        for process in started:
            process.kill()
            process.wait()


def rows(results: list[tuple[Trial, Tally]]) -> list[str]:
    """The table."""
    lines = [
        "trainer       processes     loader     points  lost  doubled  for nothing  failed",
        "------------  ------------  ---------  ------  ----  -------  -----------  ------",
    ]
    for trial, tally in results:
        how = f"{trial.before} -> {trial.after} {trial.signal}{' short' * trial.short}"
        lines.append(
            f"{trial.trainer:<12}  {how:<12}  {trial.loader:<9}  {tally.points:>6}  "
            f"{tally.lost:>4}  {tally.doubled:>7}  {tally.for_nothing:>11}  {tally.failed:>6}"
        )
    return lines


def main() -> None:
    """Run all trials, print the table, and write it where it is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--kills", type=int, default=3, help="points of each trainer by signal")
    parser.add_argument("--only", nargs="*", choices=TRAINERS, default=TRAINERS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task is not None:
        warnings.simplefilter("ignore")  # of the frameworks'
        logging.disable(logging.WARNING)
        task = json.loads(arguments.task)
        run_phase(Trial(**task["trial"]), Path(task["place"]), task["phase"])
        return
    results = []
    for trainer in arguments.only:
        for trial in trials(trainer, arguments.points, arguments.kills):
            results.append((trial, run(trial)))
            print(
                "\n".join(rows(results[-1:])[2:] if len(results) > 1 else rows(results)), flush=True
            )
            if results[-1][1].why:
                print("    ", results[-1][1].why, flush=True)
    if arguments.json is not None:
        store([{**asdict(trial), **asdict(tally)} for trial, tally in results], arguments.json)


def store(table: list[dict[str, Any]], path: Path) -> None:
    """In place of what was stored before of the same trainers."""
    found = json.loads(path.read_text()) if path.exists() else []
    trainers = {row["trainer"] for row in table}
    every = [*table, *(row for row in found if row["trainer"] not in trainers)]
    every.sort(key=lambda row: TRAINERS.index(row["trainer"]))
    path.write_text(json.dumps(every, indent=1) + "\n")


if __name__ == "__main__":
    main()
