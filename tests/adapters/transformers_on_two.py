"""Two processes train and evaluate together, in a Trainer; each tells what it was given.

They save a checkpoint after each step, and go on from some of them, each with another Trainer. They
try to go on from one that a process alone has saved.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from hugging_trainings import Model, checkpoints, trainer_of
from sequences_for_transformers import Shuffling

from seqloader import ResumeError, Sequence
from seqloader.adapters.torch import TorchLoader

ROWS, EVALUATED = 4, 5
OPTIONS = {"gradient_accumulation_steps": 2, "per_device_eval_batch_size": ROWS}


class Rows(Sequence):
    """Row i of all is labelled i."""

    def __len__(self):
        return EVALUATED

    def __getitem__(self, index):
        labels = np.arange(ROWS * index, ROWS * (index + 1), dtype=np.float32)[:, None]
        return {"x": np.repeat(labels, 2, axis=1), "labels": labels}


def training(folder, resume=None):
    """A Trainer that has trained, and what with."""
    train = TorchLoader(Shuffling(), workers=0, seed=1, shard="auto", remainder="drop")
    model = Model()
    with train:
        trainer = trainer_of(train, folder, model=model, **OPTIONS)
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    return trainer, model


def main():
    folder, of_one = map(Path, sys.argv[1:3])
    trainer, model = training(folder / "run")
    told = {"processes": trainer.args.world_size, "whole": model.seen, "resumed": {}}
    with TorchLoader(Rows(), workers=0, shard="auto", remainder="pad") as rows:
        predicted = trainer.predict(rows)
    told["labels"] = predicted.label_ids.ravel().tolist()
    told["loss"] = predicted.metrics["test_loss"]
    saved = checkpoints(folder / "run")
    for step in map(int, sys.argv[3:]):
        _, model = training(folder / f"resumed-{step}", saved[step])
        told["resumed"][step] = model.seen
    told["weights"] = [weight.tolist() for weight in model.parameters()]
    try:
        training(folder / "refused", of_one)
    except ResumeError as error:
        told["refused"] = str(error)
    trainer.accelerator.end_training()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
