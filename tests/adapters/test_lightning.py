"""A TorchLoader in Lightning's Trainer: what it is trained with, and going on after a stop."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sequences_for_adapters import Endless, KillsItsWorkerOnce, Plain

from seqloader import OrderedEnqueuer, ResumeError, SeqloaderWarning, Sequence, WorkerLostWarning

torch = pytest.importorskip("torch", reason="torch is not installed")
pl = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")

from seqloader.adapters.lightning import ResumeLoader  # noqa: E402
from seqloader.adapters.torch import TorchLoader  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("error::seqloader.SeqloaderWarning"),
    pytest.mark.filterwarnings("ignore"),  # of Lightning's own
]
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Numbers(Sequence):
    """Batch i of an epoch is [what its hooks made of i, epochs ended]; notes what it computed."""

    def __init__(self, length=5):
        self.order = list(range(length))
        self.ended = 0
        self.computed = []

    def __len__(self):
        return len(self.order)

    def __getitem__(self, index):
        self.computed.append(index)
        return np.array([[self.order[index], self.ended]], np.float32)

    def on_epoch_end(self):
        self.order = self.order[1:] + self.order[:1]
        self.ended += 1

    def state_dict(self):
        return {"order": list(self.order), "ended": self.ended}

    def load_state_dict(self, state):
        self.order, self.ended = list(state["order"]), state["ended"]


class Module(pl.LightningModule):
    """Notes each batch that it was trained with; raises in place of number `fails_at`."""

    def __init__(self, fails_at=None, asks_for_steps=True):
        super().__init__()
        self.linear = torch.nn.LazyLinear(1)
        self.linear(torch.zeros(1, 2))
        self.fails_at = fails_at
        self.asks_for_steps = asks_for_steps
        self.seen, self.validated = [], []

    def training_step(self, batch, _):
        if len(self.seen) == self.fails_at:
            raise KeyError("the user's own")
        self.seen.append(tuple(int(number) for number in batch.flatten()))
        return self.linear(batch.float().expand(1, 2)).mean()

    def validation_step(self, batch, _):
        self.validated.append(int(batch.flatten()[0]))

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.001)
        if not self.asks_for_steps:
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


class SaveAfter(pl.Callback):
    """Saves a checkpoint, once, at a hook at which so many batches were trained with, and stops,
    unless something else does."""

    def __init__(self, path, hook, batches=0):
        self.path, self.batches, self.trained = path, batches, None
        setattr(self, hook, self._save)

    def _save(self, trainer, module, *args):
        if self.trained is None and len(module.seen) >= self.batches:
            self.trained = len(module.seen)
            trainer.save_checkpoint(self.path)
            if not isinstance(args[-1] if args else None, BaseException):
                raise Saved


class Saved(Exception):
    """A training was left here."""


@pytest.fixture
def loader():
    """loader(sequence): one that is closed after the test."""
    made = []

    def make(sequence=None, **options):
        made.append(
            TorchLoader(Numbers() if sequence is None else sequence, **{"workers": 0, **options})
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def fit(tmp_path, loader):
    """fit(...): train, and return what with. `Saved` and the module's KeyError stop it."""

    def fit(data=None, *, module=None, valid=None, callbacks=(), ckpt_path=None, **options):
        module = module or Module(asks_for_steps="max_steps" not in options)
        trainer = pl.Trainer(
            accelerator="cpu",
            callbacks=list(callbacks),
            default_root_dir=tmp_path,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **{"max_epochs": 3, "enable_checkpointing": False, **options},
        )
        with contextlib.suppress(Saved, KeyError):
            trainer.fit(module, loader() if data is None else data, valid, ckpt_path=ckpt_path)
        return module.seen

    return fit


WHOLE = [((index + epoch) % 5, epoch) for epoch in range(3) for index in range(5)]


# --- in a DataLoader's place ------------------------------------------------------------------


def test_each_epoch_has_each_batch_once_in_order_and_its_hook(fit):
    assert fit() == WHOLE


def test_the_sanity_check_and_each_validation_begin_with_the_first_batch(fit, loader):
    module = Module()
    assert fit(module=module, valid=loader(Plain(4))) == WHOLE
    assert module.validated == [0, 1] + 3 * [0, 1, 2, 3]


def test_validations_in_mid_epoch_leave_the_epoch_as_it_is(fit, loader):
    module = Module()
    options = {"val_check_interval": 2, "limit_val_batches": 2}
    assert fit(module=module, valid=loader(Plain(3)), **options) == WHOLE
    assert module.validated == [0, 1] * (1 + 3 * 2)


@pytest.mark.parametrize("limit", [3, 0.6])
def test_a_limit_ends_each_epoch_with_its_hook(fit, limit):
    assert fit(limit_train_batches=limit) == WHOLE[:3] + WHOLE[5:8] + WHOLE[10:13]


def test_accumulated_gradients_and_a_number_of_steps_take_batches_as_they_come(fit):
    assert fit(accumulate_grad_batches=2) == WHOLE
    assert fit(max_steps=7, max_epochs=-1) == WHOLE[:7]


def test_a_loader_that_is_made_anew_for_an_epoch_begins_with_that_epoch(fit, loader):
    made = []

    class Data(pl.LightningDataModule):
        def train_dataloader(self):
            made.append(loader(Plain(8), seed=4, shuffle=True))
            return made[-1]

    with OrderedEnqueuer(Plain(8), workers=0, seed=4, shuffle=True) as expected:
        wanted = [(int(batch[0]),) for _ in range(2) for batch in expected]

    assert fit(Data(), max_epochs=2, reload_dataloaders_every_n_epochs=1) == wanted
    assert len(made) == 2


def test_an_endless_sequence_is_trained_with_up_to_a_number_of_steps(fit, loader):
    seen = fit(loader(Endless()), max_steps=7, max_epochs=-1)
    assert seen == [(index,) for index in range(7)]


# --- going on after a stop --------------------------------------------------------------------


def stopped_and_resumed(fit, path, hook, batches, **options):
    """What a training was trained with up to the checkpoint, and what after it was resumed."""
    save = SaveAfter(path, hook, batches)
    module = Module(asks_for_steps="max_steps" not in options)
    before = fit(module=module, callbacks=[save, ResumeLoader()], **options)[: save.trained]
    sequence = Numbers()
    with TorchLoader(sequence, workers=0) as loader:
        after = fit(loader, callbacks=[ResumeLoader()], ckpt_path=path, **options)
    assert len(sequence.computed) == len(after), "batches were computed for nothing"
    return before + after


SCHEDULES = {
    "epochs": {},
    "limit": {"limit_train_batches": 3},
    "accumulation": {"accumulate_grad_batches": 2},
    "steps": {"max_steps": 12, "max_epochs": -1},
    "steps, limit": {"max_steps": 8, "max_epochs": -1, "limit_train_batches": 3},
}


@pytest.mark.parametrize("batches", [1, 4, 5, 7])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_checkpoint_of_mid_epoch_goes_on_with_the_next_batch(fit, tmp_path, schedule, batches):
    options = SCHEDULES[schedule]
    whole = fit(**options)
    path = tmp_path / "saved.ckpt"
    assert stopped_and_resumed(fit, path, "on_train_batch_end", batches, **options) == whole


@pytest.mark.parametrize("hook", ["on_train_epoch_end", "on_validation_end"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_checkpoint_of_an_epochs_end_goes_on_with_the_next_epoch(
    fit, loader, tmp_path, schedule, hook
):
    options = {**SCHEDULES[schedule], "valid": loader(Plain(2)), "num_sanity_val_steps": 0}
    whole = fit(**options)
    assert stopped_and_resumed(fit, tmp_path / "saved.ckpt", hook, 1, **options) == whole


@pytest.mark.parametrize("batches", [0, 3, 4, 5])
def test_the_batch_in_work_when_an_error_came_is_trained_with_again(fit, tmp_path, batches):
    path = tmp_path / "saved.ckpt"
    module = Module(fails_at=batches)
    save = SaveAfter(path, "on_exception")
    before = fit(module=module, callbacks=[save, ResumeLoader()])

    assert before + fit(callbacks=[ResumeLoader()], ckpt_path=path) == WHOLE


def test_a_checkpoint_of_after_fit_goes_on_with_the_next_epoch(fit, loader, tmp_path):
    path = tmp_path / "saved.ckpt"
    save = SaveAfter(path, "on_train_end")
    module = Module(asks_for_steps=False)
    before = fit(module=module, callbacks=[save, ResumeLoader()], max_epochs=1)
    module = Module(asks_for_steps=False)

    assert before + fit(module=module, callbacks=[ResumeLoader()], ckpt_path=path) == WHOLE


def test_an_endless_sequence_goes_on_behind_what_was_trained_with(fit, loader, tmp_path):
    path = tmp_path / "saved.ckpt"  # Lightning takes one batch ahead where there is no length
    options = {"max_steps": 7, "max_epochs": -1}
    save = SaveAfter(path, "on_train_batch_end", 3)
    before = fit(loader(Endless()), callbacks=[save, ResumeLoader()], **options)
    after = fit(loader(Endless()), callbacks=[ResumeLoader()], ckpt_path=path, **options)
    assert before + after == [(index,) for index in range(7)]


@pytest.mark.parametrize("lightning_loads", [True, False])
def test_it_does_not_matter_whether_lightning_loads_the_loader_too(
    fit, tmp_path, monkeypatch, lightning_loads
):
    loads = []
    load = TorchLoader.load_state_dict

    def counted(self, state):
        loads.append(state)
        load(self, state)

    monkeypatch.setattr(TorchLoader, "load_state_dict", counted)
    path = tmp_path / "saved.ckpt"
    save = SaveAfter(path, "on_train_batch_end", 7)
    before = fit(module=Module(asks_for_steps=False), callbacks=[save, ResumeLoader()])
    module = Module(asks_for_steps=not lightning_loads)

    assert before + fit(module=module, callbacks=[ResumeLoader()], ckpt_path=path) == WHOLE
    assert len(loads) == 1 + lightning_loads


def test_several_loaders_are_brought_to_their_places_each(fit, loader, tmp_path):
    class Both(Module):
        def training_step(self, batches, number):
            return super().training_step(torch.cat([batches["a"], batches["b"]]), number)

    def both():
        return {"a": loader(Plain(5)), "b": loader(Plain(3))}  # b begins anew when it is over

    whole = fit(both(), module=Both(), max_epochs=2)
    path = tmp_path / "saved.ckpt"
    save = SaveAfter(path, "on_train_batch_end", 4)
    before = fit(both(), module=Both(), callbacks=[save, ResumeLoader()], max_epochs=2)
    resume = {"callbacks": [ResumeLoader()], "ckpt_path": path, "max_epochs": 2}

    assert whole[3:5] == [(3, 0), (4, 1)]
    assert before + fit(both(), module=Both(), **resume) == whole
    with pytest.raises(ResumeError, match=r"saved with 2 TorchLoaders, and .* trains with 1"):
        fit(**resume)


def test_the_regular_checkpoints_of_lightning_hold_the_place(fit, tmp_path):
    folder = tmp_path / "checkpoints"
    regular = pl.callbacks.ModelCheckpoint(folder, every_n_train_steps=3, save_top_k=-1)
    module = Module(fails_at=8)
    fit(module=module, callbacks=[ResumeLoader(), regular], enable_checkpointing=True)
    last = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)

    assert module.seen[:6] + fit(callbacks=[ResumeLoader()], ckpt_path=last) == WHOLE


def test_a_checkpoint_without_a_place_is_said_to_have_none(fit, tmp_path):
    path = tmp_path / "saved.ckpt"
    fit(callbacks=[SaveAfter(path, "on_train_batch_end", 2)])

    with pytest.warns(SeqloaderWarning, match=r"Save checkpoints with ResumeLoader\(\)"):
        fit(callbacks=[ResumeLoader()], ckpt_path=path)


# --- when something breaks --------------------------------------------------------------------


def test_a_killed_worker_costs_no_batch(fit, loader, tmp_path):
    with pytest.warns(WorkerLostWarning):
        seen = fit(loader(KillsItsWorkerOnce(tmp_path / "killed"), workers=2), max_epochs=2)
    assert seen == [(index,) for _ in range(2) for index in range(8)]


def test_after_ctrl_c_the_same_loader_goes_on_with_the_batch_that_was_in_work(
    fit, loader, tmp_path
):
    class Interrupted(Module):
        def training_step(self, batch, number):
            if len(self.seen) == 3:
                signal.raise_signal(signal.SIGINT)
            return super().training_step(batch, number)

    path = tmp_path / "saved.ckpt"
    data = loader(Plain(8), workers=2)
    save = SaveAfter(path, "on_exception")
    module = Interrupted()
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(data, module=module, callbacks=[save, ResumeLoader()], max_epochs=1)

    after = fit(data, callbacks=[ResumeLoader()], ckpt_path=path, max_epochs=1)
    assert module.seen + after == [(index,) for index in range(8)]


# --- several processes ------------------------------------------------------------------------


def test_a_loader_that_does_not_know_the_other_processes_is_told_of(fit, monkeypatch):
    monkeypatch.setattr(
        pl.Trainer, "distributed_sampler_kwargs", {"num_replicas": 2, "rank": 1}, raising=True
    )
    with pytest.warns(SeqloaderWarning, match=r"2 processes train, .* all of the batches") as said:
        fit(callbacks=[ResumeLoader()], max_epochs=1)
    assert "train_dataloader()" in str(said[-1].message)


PROGRAM = """
import json, logging, sys, warnings
from pathlib import Path

import lightning.pytorch as pl

sys.path.insert(0, {tests!r})
from sequences_for_adapters import Plain
from test_lightning import Module
from seqloader.adapters.torch import TorchLoader
from seqloader.adapters.lightning import ResumeLoader

warnings.simplefilter("ignore")
if __name__ == "__main__":
    class Data(pl.LightningDataModule):
        def train_dataloader(self):
            return TorchLoader(Plain(8), workers=1, seed=2, shuffle=True, shard="auto")

    module = Module()
    trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, callbacks=[ResumeLoader()],
        logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir={folder!r},
    )
    trainer.fit(module, datamodule=Data())
    Path({folder!r}, f"rank-{{trainer.global_rank}}.json").write_text(json.dumps(module.seen))
"""


@pytest.mark.slow
def test_two_processes_get_half_of_the_batches_each(tmp_path):
    script = tmp_path / "train.py"
    tests = str(Path(__file__).parent)
    script.write_text(PROGRAM.format(tests=tests, folder=str(tmp_path)))
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script], env=environment, check=True, capture_output=True)

    ranks = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2)]

    with OrderedEnqueuer(Plain(8), workers=0, seed=2, shuffle=True) as whole:
        wanted = [[int(batch[0])] for _ in range(2) for batch in whole]
    assert [batch for pair in zip(*ranks, strict=True) for batch in pair] == wanted
