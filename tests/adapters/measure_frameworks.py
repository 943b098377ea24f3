"""What does a training of each framework make of its batches, by this engine and by its own?

Compared    the adapter, and what the framework loads with by itself
Measured    what arrives in the training step: in which order, how often; how often `on_epoch_end`
            ran; whether the array lies in memory that processes share; what a killed worker does;
            the median time from one step to the next, beyond the 5 ms that a step takes
Held still  3 epochs of 8 batches of 1 MB, which take 2 ms each; 2 worker processes
Method      each training in a process of its own, which has 40 s; Keras on torch, run eagerly
Not shown   resume inside trainers, several processes: see resume_matrix.py

Run         python tests/adapters/measure_frameworks.py --json benchmarks/results/frameworks.json
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from seqloader import Sequence

EPOCHS, LENGTH, WORKERS = 3, 8, 2
STEP_S, BATCH_S, LIMIT_S = 0.005, 0.002, 40
VALUES = 1 << 18
"""float32 in a batch: 1 MB."""
PACKAGES = ("keras", "torch", "lightning", "transformers", "jax", "tensorflow")
LOADERS = ("seqloader", "own")


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


def _torch_loader(numbers: Numbers, own: bool) -> Any:
    if own:
        from torch.utils.data import DataLoader

        return DataLoader(numbers, batch_size=None, num_workers=WORKERS, persistent_workers=True)
    from seqloader.adapters.torch import TorchLoader

    return TorchLoader(numbers, workers=WORKERS, seed=0)


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
    loader = _torch_loader(numbers, own)
    for _ in range(EPOCHS):
        for batch in loader:
            steps.take_tensor(batch)
    _close(loader)


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
    "jax": with_jax,
    "tensorflow": with_tensorflow,
}
NO_LOADER = ("jax",)
"""Those that have no loader of their own."""


def run(framework: str, own: bool, kill: str | None) -> dict[str, Any]:
    """One training, in this process; what arrived."""
    warnings.simplefilter("ignore")
    numbers, steps = Numbers(kill), Steps()
    try:
        TRAININGS[framework](numbers, own, steps)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".strip().splitlines()[0][:120]}
    gaps = [after - before for before, after in zip(steps.times, steps.times[1:], strict=False)]
    # Between two epochs there is more than a step.
    inside = [gap for step, gap in enumerate(gaps, start=1) if step % LENGTH]
    return {
        "seen": steps.seen,
        "hooks": numbers.hooks,
        "shared": all(steps.shared),
        "beyond_step_ms": round(1000 * (statistics.median(inside) - STEP_S), 2),
    }


def measure(framework: str, loader: str, kill: bool) -> dict[str, Any]:
    """The same in a process of its own; `error` where it did not come to its end."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--one", framework, loader, str(int(kill))]
        # TensorFlow imports Keras, and crashes where that brings torch.
        backend = "torch" if framework == "keras" else framework
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            printed, said = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            return {"error": f"hangs: no end in {LIMIT_S} s"}
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # also the workers that it left
            except ProcessLookupError:
                pass
            process.communicate()
        if process.returncode:
            return {"error": (said.strip().splitlines() or [str(process.returncode)])[-1][:200]}
        measured: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return measured


def main() -> None:
    """Measure all, print it, and write it where it is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", choices=TRAININGS, default=[*TRAININGS])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        framework, loader, kill = arguments.one
        measured = run(framework, loader == "own", "killed" if kill == "1" else None)
        print(json.dumps(measured))
        return
    cases, load = [], round(os.getloadavg()[0], 1)
    for framework in arguments.only:
        for loader in LOADERS:
            if loader == "own" and framework in NO_LOADER:
                continue
            for kill in (False, True):
                if kill and (framework, loader) == ("tensorflow", "own"):
                    continue  # it has no worker processes
                case = {"framework": framework, "loader": loader, "kill": kill}
                cases.append(case | measure(framework, loader, kill))
                print(cases[-1], flush=True)
    if arguments.json is not None:
        found = {"measured": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "load": load}
        found |= {"versions": {name: _version(name) for name in PACKAGES}, "cases": cases}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def _version(package: str) -> str:
    for name in (package, f"{package}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            pass
    return "?"


if __name__ == "__main__":
    main()
