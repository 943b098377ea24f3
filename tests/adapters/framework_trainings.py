"""The trainings that measure_frameworks.py measures: one of each framework, with both loaders.

Where a launcher has set `RANK`, each is one of several processes that train together, with
DistributedDataParallel; only those that can are asked to.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from seqloader import Sequence

__all__ = ["EPOCHS", "LENGTH", "STEP_S", "TRAININGS", "Numbers", "Steps"]

EPOCHS, LENGTH, WORKERS = 3, 8, 2
STEP_S, BATCH_S = 0.005, 0.002
VALUES = 1 << 18
"""float32 in a batch: 1 MB."""


class Numbers(Sequence):
    """Batch i is full of i. With a path `kill`, batch 5 kills its worker, once."""

    def __init__(self, kill: str | None) -> None:
        self.kill, self.hooks = kill, 0

    def __len__(self) -> int:
        return LENGTH

    def __getitem__(self, index: int) -> Any:
        if index == 5 and self.kill is not None and not os.path.exists(self.kill):
            Path(self.kill).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(BATCH_S)
        return np.full((1, VALUES), index, np.float32)

    def on_epoch_end(self) -> None:
        self.hooks += 1


class Steps:
    """What arrived in the training step."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.times: list[float] = []
        self.shared: list[bool] = []

    def take(self, index: float, address: int) -> None:
        """A step with this batch, which lies there."""
        self.times.append(time.perf_counter())
        self.seen.append(int(index))
        self.shared.append(_is_shared(address))
        time.sleep(STEP_S)

    def take_tensor(self, tensor: Any) -> None:
        """The same, of a tensor of torch."""
        self.take(tensor.reshape(-1)[0], tensor.data_ptr())


def _is_shared(address: int) -> bool:
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, flags = line.split()[:2]
        first, last = (int(bound, 16) for bound in span.split("-"))
        if first <= address < last:
            return flags[3] == "s"
    raise AssertionError(f"no memory is at {address:#x}")


def _is_together() -> bool:
    return "RANK" in os.environ


def _torch_loader(numbers: Numbers, own: bool, **how: Any) -> Any:
    if own:
        from torch.utils.data import DataLoader

        how = {"batch_size": None, **how}
        return DataLoader(numbers, num_workers=WORKERS, persistent_workers=True, **how)
    from seqloader.adapters.torch import TorchLoader

    return TorchLoader(numbers, workers=WORKERS, seed=0, shard="auto" if _is_together() else None)


def _close(loader: Any) -> None:
    """Where it can be closed, as an adapter can."""
    if hasattr(loader, "close"):
        loader.close()


def with_keras(numbers: Numbers, own: bool, steps: Steps) -> None:
    import keras

    class Dataset(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(numbers)

        def __getitem__(self, index: int) -> Any:
            return numbers[index], np.zeros((1, 1))

        def on_epoch_end(self) -> None:
            numbers.on_epoch_end()

    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.scale = self.add_weight(shape=())

        def call(self, x: Any) -> Any:
            return x[:, :1] * self.scale

        def train_step(self, data: Any) -> Any:
            steps.take_tensor(data[0])
            return super().train_step(data)

    if own:
        data = Dataset(workers=WORKERS, use_multiprocessing=True)
    else:
        from seqloader.adapters.keras import KerasDataset

        data = KerasDataset(Dataset(), workers=WORKERS, seed=0)
    model = Model()
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(data, epochs=EPOCHS, verbose=0, shuffle=False)
    _close(data)


def with_torch(numbers: Numbers, own: bool, steps: Steps) -> None:
    import torch

    model, how = torch.nn.Linear(1, 1), {}
    if _is_together():
        torch.distributed.init_process_group("gloo")
        model = torch.nn.parallel.DistributedDataParallel(model)
        if own:
            how["sampler"] = torch.utils.data.DistributedSampler(numbers, shuffle=False)
    loader = _torch_loader(numbers, own, **how)
    for _ in range(EPOCHS):
        for batch in loader:
            steps.take_tensor(batch)
            model(batch[:, :1]).sum().backward()
    _close(loader)
    if _is_together():
        torch.distributed.destroy_process_group()


def with_accelerate(numbers: Numbers, own: bool, steps: Steps) -> None:
    import torch
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    data: Any = _Samples(numbers) if own else numbers  # its own loader deals out batches of samples
    loader = _torch_loader(data, own, **({"batch_size": 1} if own else {}))
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    model, optimizer, prepared = accelerator.prepare(model, optimizer, loader)
    for _ in range(EPOCHS):
        for batch in prepared:
            steps.take_tensor(batch)
            accelerator.backward(model(batch[:, :1]).sum())
            optimizer.step()
            optimizer.zero_grad()
    _close(loader)
    accelerator.end_training()


class _Samples(Sequence):
    """The rows of batches that have one."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        return LENGTH

    def __getitem__(self, index: int) -> Any:
        return self.numbers[index][0]


def with_lightning(numbers: Numbers, own: bool, steps: Steps) -> None:
    import lightning.pytorch as pl
    import torch

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def training_step(self, batch: Any) -> Any:
            steps.take_tensor(batch)
            return (batch[0, 0] * self.scale) ** 2

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=1e-6)

    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        devices=int(os.environ.get("WORLD_SIZE", "1")),
        strategy="ddp" if _is_together() else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = _torch_loader(numbers, own)
    trainer.fit(Module(), loader)
    _close(loader)


def with_transformers(numbers: Numbers, own: bool, steps: Steps) -> None:
    import torch
    from transformers import Trainer, TrainingArguments

    class Batches(Sequence):
        def __len__(self) -> int:
            return LENGTH

        def __getitem__(self, index: int) -> Any:
            batch = numbers[index]
            return {"x": batch[0] if own else batch}  # its own loader stacks samples

        def on_epoch_end(self) -> None:
            numbers.on_epoch_end()

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, x: Any) -> Any:
            steps.take_tensor(x)
            return {"loss": (x[0, 0] * self.scale) ** 2}

    arguments = TrainingArguments(
        tempfile.mkdtemp(),
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=1,
        dataloader_num_workers=WORKERS if own else 0,
        dataloader_persistent_workers=own,
        train_sampling_strategy="sequential",
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    if own:
        Trainer(Model(), arguments, train_dataset=Batches()).train()
    else:
        from seqloader.adapters.transformers import with_loader

        loader = _torch_loader(Batches(), False)
        with_loader(Trainer(Model(), arguments), loader).train()
        loader.close()


def with_jax(numbers: Numbers, own: bool, steps: Steps) -> None:
    from seqloader.adapters.jax import JaxLoader

    loader = JaxLoader(numbers, workers=WORKERS, seed=0)
    for _ in range(EPOCHS):
        for batch in loader:
            steps.take(batch[0, 0], batch.unsafe_buffer_pointer())
    loader.close()


def with_tensorflow(numbers: Numbers, own: bool, steps: Steps) -> None:
    import tensorflow as tf

    if own:
        spec = tf.TensorSpec([1, VALUES], tf.float32)
        data = tf.data.Dataset.from_generator(
            lambda: (numbers[index] for index in range(LENGTH)), output_signature=spec
        )
    else:
        from seqloader.adapters.tensorflow import to_tf_dataset

        data = to_tf_dataset(numbers, workers=WORKERS, seed=0)
    for _ in range(EPOCHS):
        for batch in data.prefetch(2):
            view = np.from_dlpack(batch)
            steps.take(view[0, 0], view.ctypes.data)
    _close(getattr(data, "loader", None))


TRAININGS = {
    "keras": with_keras,
    "torch": with_torch,
    "lightning": with_lightning,
    "transformers": with_transformers,
    "accelerate": with_accelerate,
    "jax": with_jax,
    "tensorflow": with_tensorflow,
}
