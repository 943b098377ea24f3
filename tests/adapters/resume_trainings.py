"""The trainings that resume_matrix.py stops and resumes: one small model, several trainers."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqloader import Sequence, batch_context

__all__ = ["TRAININGS", "Stopped", "batches_of", "epochs_of", "run_phase"]

LENGTH = 16
"""Batches of an epoch, on all processes together."""
LEFT_OUT = (2, 6, 7, 15)
"""Indices of the batches that are None, where epochs are short: as many as one step has."""
SEED = 5


class Stopped(Exception):
    """A training is stopped here."""


class Numbers(Sequence):
    """Batch i names its epoch and its index; each that is computed is noted in a file."""

    def __init__(self, note: Path, short: bool = False):
        self.note, self.short = note, short

    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        if self.short and index in LEFT_OUT:
            return None
        with self.note.open("a") as file:
            file.write(f"{self.epoch()} {index}\n")
        x = np.array([[self.epoch(), index]], np.float32)
        return {"x": x, "labels": np.ones((1, 1), np.float32)}

    def epoch(self):
        return batch_context().epoch


class Samples(Numbers):
    """The same for a DataLoader, which tells its samples no epoch."""

    def __getitem__(self, index):
        return {name: array[0] for name, array in super().__getitem__(int(index)).items()}

    def epoch(self):
        return -1


@dataclass
class Run:
    """One training: from its beginning up to where it is stopped, or from there to its end."""

    place: Path
    epochs: int
    own: bool
    """Whether the framework's own loader is used."""
    note: Path
    """File of the batches that were computed."""
    stop_at: int | None = None
    """Batches after which a checkpoint is saved; None: it is resumed."""
    signal: str = ""
    short: bool = False
    workers: int = 0
    trained: int = 0
    """Batches that this process trained with."""
    epoch: Callable[[], int] = int
    """The trainer's."""
    counts: Callable[[], list[int]] = list
    """How often the model at the end was trained with each batch."""

    @property
    def resumes(self) -> bool:
        """Whether a checkpoint is there to be loaded."""
        return self.stop_at is None

    def saves_now(self) -> bool:
        """Whether this is the moment for the checkpoint."""
        return self.trained == self.stop_at and self.signal != "TERM"

    @property
    def kept(self) -> list[int]:
        """Indices of the batches that an epoch has."""
        return [index for index in range(LENGTH) if not (self.short and index in LEFT_OUT)]

    def take(self) -> None:
        """Another batch is about to be trained with."""
        if self.signal == "TERM":
            if self.trained == self.stop_at:
                os.killpg(0, signal.SIGTERM)  # its workers get it too
                self.await_handler()
        elif self.stop_at is not None and self.trained > self.stop_at:
            if self.signal == "KILL":
                os.kill(os.getpid(), signal.SIGKILL)
            raise Stopped
        self.trained += 1

    @staticmethod
    def await_handler() -> None:
        """Wait for what a handler of SIGTERM has put off to a thread."""
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()


def epochs_of(trainer: str, short: bool) -> int:
    """Epochs that a training takes batches of: it is as many batches long as was planned."""
    batches = TRAININGS[trainer].epochs * LENGTH
    return -(-batches // (LENGTH - len(LEFT_OUT) * short))


def batches_of(trainer: str, processes: int, short: bool = False) -> int:
    """How many one process trains with in all, the last step of an epoch counted as a whole one."""
    training, length = TRAININGS[trainer], LENGTH - short * len(LEFT_OUT)
    return training.epochs * -(-length // processes // training.every) * training.every


def run_phase(trial: Any, place: Path, phase: str) -> None:
    """Stop a training at each point of the trial; or resume those that were, and note their end."""
    rank = os.environ.get("RANK", "0")
    training = TRAININGS[trial.trainer]
    for point in trial.points:
        folder = place / str(point)
        folder.mkdir(exist_ok=True)
        note = folder / f"computed-{phase}-{rank}"
        note.touch()
        run = Run(folder, training.epochs, trial.loader == "own", note)
        run.signal, run.short, run.workers = trial.signal, trial.short, trial.workers
        if phase == "stop":
            run.stop_at = point
            try:
                training.run(run)
            except Stopped:
                continue
            last = batches_of(trial.trainer, trial.before, trial.short)
            if trial.signal == "TERM" and point < run.trained < last:
                continue
            raise AssertionError(f"it was not stopped after {point} batches")
        try:
            training.run(run)
        except Exception as error:
            (folder / "error.txt").write_text(f"{type(error).__name__}: {error}"[:300])
        else:
            ended = {"counts": run.counts(), "trained": run.trained}
            (folder / f"ended-{rank}.json").write_text(json.dumps(ended))


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


# --- with torch -------------------------------------------------------------------------------


def _model(run: Run) -> Any:
    """A model that counts, in a buffer, what its optimizer has made steps with; and the optimizer.

    What no step was made with is not in a checkpoint either, so it is kept beside.
    """
    import torch

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(2, 1)
            self.register_buffer("counts", torch.zeros(run.epochs, LENGTH, dtype=torch.long))
            self.pending = torch.zeros_like(self.counts)

        def forward(self, x: Any, labels: Any = None) -> Any:
            run.take()
            epoch, index = (int(number) for number in x[0])
            self.pending[run.epoch() if run.own else epoch, index] += 1
            return {"loss": ((self.linear(x / 100) - labels) ** 2).mean()}

        def note_step(self, *_: Any) -> None:
            if torch.distributed.is_initialized():
                torch.distributed.all_reduce(self.pending)
            self.counts += self.pending
            self.pending.zero_()

    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    optimizer.register_step_post_hook(model.note_step)
    run.counts = lambda: model.counts[:, run.kept].flatten().tolist()
    return model, optimizer


def _torch_loader(run: Run) -> Any:
    from seqloader.adapters.torch import TorchLoader

    numbers = Numbers(run.note, run.short)
    return TorchLoader(numbers, workers=run.workers, seed=SEED, shuffle=True, shard="auto")


def _data_loader(run: Run) -> Any:
    import torch

    torch.manual_seed(SEED)
    return torch.utils.data.DataLoader(Samples(run.note), batch_size=1, shuffle=True)


def train_with_lightning(run: Run) -> None:
    """With a scheduler that asks how many steps there will be; a checkpoint after a batch."""
    import lightning.pytorch as pl
    import torch

    from seqloader.adapters.lightning import ResumeLoader

    model, optimizer = _model(run)
    path = run.place / "saved.ckpt"

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, _: int) -> Any:
            return self.model(**batch)["loss"]

        def configure_optimizers(self) -> Any:
            steps = self.trainer.estimated_stepping_batches
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    class Save(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if run.saves_now():
                trainer.save_checkpoint(path)

    trainer = pl.Trainer(
        accelerator="cpu",
        devices=_processes(),
        strategy="ddp" if _processes() > 1 else "auto",
        max_epochs=run.epochs,
        callbacks=[Save(), *([] if run.own else [ResumeLoader()])],
        default_root_dir=run.place,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    run.epoch = lambda: trainer.current_epoch
    loader = _data_loader(run) if run.own else _torch_loader(run)
    trainer.fit(Module(), loader, ckpt_path=path if run.resumes else None)


def train_with_transformers(run: Run) -> None:
    """With four batches a step."""
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.utils import logging as hugging_logging

    from seqloader.adapters.transformers import with_loader

    hugging_logging.set_verbosity_error()
    model, optimizer = _model(run)

    class Save(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            control.should_save = run.saves_now()
            return control

    arguments = TrainingArguments(
        str(run.place),
        gradient_accumulation_steps=TRAININGS["transformers"].every,
        per_device_train_batch_size=1,
        num_train_epochs=run.epochs,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        enable_jit_checkpoint=run.signal == "TERM",
    )
    dataset: Any = Samples(run.note) if run.own else None
    if run.own and run.short:
        dataset = _shorter_than_it_says(run, dataset)
    trainer = Trainer(
        model,
        arguments,
        train_dataset=dataset,
        optimizers=(optimizer, None),
        callbacks=[Save()],
    )
    if not run.own:
        trainer = with_loader(trainer, _torch_loader(run))
    for callback in trainer.callback_handler.callbacks:
        if getattr(callback, "jit_manager", None) is not None:
            callback.jit_manager.kill_wait = 0  # seconds for which it puts a SIGTERM off
    run.epoch = lambda: int(trainer.state.epoch)
    trainer.train(resume_from_checkpoint=run.resumes)


def _shorter_than_it_says(run: Run, samples: Samples) -> Any:
    """What the Trainer's own loader has of batches that are left out."""
    from torch.utils.data import IterableDataset

    class Short(IterableDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return LENGTH

        def __iter__(self) -> Any:
            return (samples[index] for index in run.kept)

    return Short()


def train_with_accelerate(run: Run) -> None:
    """A loop of one's own; what Accelerate's documentation says of resuming it, for its loader."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state()
    GradientState._reset_state()
    accelerator = Accelerator(cpu=True)
    model, optimizer = _model(run)
    loader = _data_loader(run) if run.own else _torch_loader(run)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    if not run.own:
        accelerator.register_for_checkpointing(loader)
    first, done, path = 0, 0, run.place / "where.json"
    if run.resumes:
        accelerator.load_state(run.place / "saved")
        first, done = json.loads(path.read_text())
    for epoch in range(first, run.epochs):
        run.epoch = lambda epoch=epoch: epoch
        loader.set_epoch(epoch)
        begun = done if epoch == first else 0
        batches = accelerator.skip_first_batches(loader, begun) if run.own else loader
        for batch_number, batch in enumerate(batches, begun + 1):
            accelerator.backward(model(**batch)["loss"])
            optimizer.step()
            optimizer.zero_grad()
            if run.saves_now():
                accelerator.save_state(run.place / "saved")
                path.write_text(json.dumps([epoch, batch_number]))


# --- with Keras -------------------------------------------------------------------------------


def train_with_keras(run: Run) -> None:
    """With BackupAndRestore, whose model counts in a weight of a layer."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    from seqloader.adapters.keras import KerasDataset, ResumeKeras

    class Pairs(Numbers):
        def __getitem__(self, index: int) -> Any:
            return tuple(super().__getitem__(index).values())

    class OwnPairs(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__()
            self.numbers = Samples(run.note)

        def __len__(self) -> int:
            return LENGTH

        def __getitem__(self, index: int) -> Any:
            x, wanted = (array[None] for array in self.numbers[index].values())
            x[0, 0] = run.epoch()
            return x, wanted

    class Counting(keras.layers.Layer):
        def build(self, _: Any) -> None:
            self.counts = self.add_weight(
                shape=(run.epochs * LENGTH,), initializer="zeros", trainable=False
            )

        def call(self, x: Any) -> Any:
            number = keras.ops.cast(x[:, 0] * LENGTH + x[:, 1], "int32")
            self.counts.assign_add(keras.ops.one_hot(number, run.epochs * LENGTH)[0])
            return x / 100

    class Progress(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            run.epoch = lambda: epoch

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            run.take()

    counting = Counting()
    model = keras.Sequential([keras.Input((2,)), counting, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    folder = run.place / "backup"
    backup = keras.callbacks.BackupAndRestore(folder, save_freq=run.stop_at or 10_000)
    run.counts = lambda: [int(number) for number in counting.counts.numpy()]
    if run.own:
        model.fit(OwnPairs(), epochs=run.epochs, callbacks=[backup, Progress()], verbose=0)
        return
    with KerasDataset(Pairs(run.note), workers=run.workers, seed=SEED, shuffle=True) as train:
        callbacks = [backup, ResumeKeras(folder, train), Progress()]
        model.fit(train, epochs=run.epochs, callbacks=callbacks, verbose=0)


@dataclass(frozen=True)
class Training:
    """How one trainer trains."""

    run: Callable[[Run], None]
    epochs: int
    every: int = 1
    """Batches of an optimizer step."""


TRAININGS = {
    "lightning": Training(train_with_lightning, epochs=6),
    "transformers": Training(train_with_transformers, epochs=11, every=4),
    "accelerate": Training(train_with_accelerate, epochs=6),
    "keras": Training(train_with_keras, epochs=6),
}
