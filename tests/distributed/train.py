"""One rank of a synchronous training: reads its shard, logs what it got, saves every few steps.

    RANK=0 WORLD_SIZE=2 [EXECUTOR=process], and as arguments DIRECTORY RUN REMAINDER [HOLD]; see
    ranks.py

Flow of a step, on every rank
    take a batch; append it to this rank's log; all_reduce; every SAVE_EVERY steps rank 0 saves

So a state that was saved after step s is one of which every rank has logged step s. A rank whose
shard has ended goes on in the all_reduce until all have.

It resumes from the state in DIRECTORY, if there is one, and ends with the last epoch. Rank 0 prints
`step N` after each step, and goes no further than step HOLD: there it waits to be killed.

Files in DIRECTORY
    state.json              what was saved last: run, steps of that run, state of the enqueuer
    run-R-rank-K.jsonl      a line per batch: step of the run, epoch, samples
    run-R.rendezvous        where the ranks of a run find each other
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from numbered_samples import EPOCHS, SEED, numbered_samples
from ranks import next_rank
from torch import distributed

from seqloader import OrderedEnqueuer

SAVE_EVERY = 3


def main(directory: Path, run: int, remainder: str, hold: int | None) -> None:
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{directory}/run-{run}.rendezvous",
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
    )
    rank = distributed.get_rank()
    log = os.open(directory / f"run-{run}-rank-{rank}.jsonl", os.O_WRONLY | os.O_CREAT)
    enqueuer = OrderedEnqueuer(
        numbered_samples(),
        workers=1,
        executor=os.environ.get("EXECUTOR", "process"),
        seed=SEED,
        shard="auto",
        remainder=remainder,
    )
    saved = directory / "state.json"
    if saved.exists():
        enqueuer.load_state_dict(json.loads(saved.read_text())["state"])
    step = 0
    with enqueuer:
        while enqueuer.epoch < EPOCHS:
            batches = iter(enqueuer)
            while take_and_log(batches, log, step, enqueuer.epoch):
                step += 1
                if rank == 0:
                    if step % SAVE_EVERY == 0:
                        save(saved, {"run": run, "steps": step, "state": enqueuer.state_dict()})
                    print("step", step, flush=True)
                    if step == hold:
                        sys.stdin.read()
            enqueuer.join_end_of_epoch()
    os.close(log)
    distributed.destroy_process_group()


def take_and_log(batches, log: int, step: int, epoch: int) -> bool:
    """One step of the training; False: no rank had a batch left."""
    batch = next(batches, None)
    if batch is not None:
        line = json.dumps({"step": step, "epoch": epoch, "samples": batch})
        os.write(log, line.encode() + b"\n")
    with_batch = torch.tensor(batch is not None, dtype=torch.int64)
    distributed.all_reduce(with_batch)
    return bool(with_batch)


def save(path: Path, content: dict) -> None:
    """Whole or not at all, whenever we are killed."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(content))
    os.replace(beside, path)


if __name__ == "__main__":
    arguments = next_rank()
    main(
        directory=Path(arguments[0]),
        run=int(arguments[1]),
        remainder=arguments[2],
        hold=int(arguments[3]) if len(arguments) > 3 else None,
    )
