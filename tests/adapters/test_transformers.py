"""A TorchLoader in Hugging Face's Trainer: what it trains with, and going on after a stop."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from sequences_for_transformers import LENGTH, KillsItsWorkerOnce, Numbers, Shuffling

from seqloader import SeqloaderWarning, WorkerLostWarning

torch = pytest.importorskip("torch", reason="torch is not installed")
hugging = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from hugging_trainings import Model, checkpoints, trainer_of  # noqa: E402

from seqloader.adapters.torch import TorchLoader  # noqa: E402
from seqloader.adapters.transformers import LoaderPlace, with_loader  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("error::seqloader.SeqloaderWarning"),
    pytest.mark.filterwarnings("ignore"),  # of the frameworks' own
]
hugging.utils.logging.set_verbosity_error()


class InArrays(Shuffling):
    def state_dict(self):
        return {"order": np.array(self.order), "ended": self.ended}


class Endless(Numbers):
    num_batches = None
    __len__ = None

    def __getitem__(self, index):
        return super().__getitem__(index % LENGTH) | {"x": np.array([[0, index]], np.float32)}


@pytest.fixture
def loader():
    """loader(sequence): one that is closed after the test."""
    made = []

    def make(sequence=None, **options):
        sequence = Shuffling() if sequence is None else sequence
        made.append(TorchLoader(sequence, **{"workers": 0, "seed": 1, **options}))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def make_trainer(tmp_path, loader):
    """make_trainer(...): one that saves a checkpoint after each step."""

    def make(train=None, *, folder="run", **options):
        return trainer_of(loader() if train is None else train, tmp_path / folder, **options)

    return make


@pytest.fixture
def trained(make_trainer):
    """trained(...): what a training is trained with, up to its end or a KeyError."""

    def train(train=None, resume=None, **options):
        trainer = make_trainer(train, **options)
        with contextlib.suppress(KeyError):
            trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
        return trainer.model.seen

    return train


def batches_of(step, every=1):
    """How many batches that many steps were made with."""
    steps = -(-LENGTH // every)
    return step // steps * LENGTH + min(LENGTH, step % steps * every)


# --- in a DataLoader's place ------------------------------------------------------------------


def test_each_epoch_has_each_batch_once_in_order_and_its_hook(trained):
    seen = trained(save_strategy="no")
    assert seen[:LENGTH] == [(0, index) for index in range(LENGTH)]
    for epoch in range(3):
        assert sorted(seen[epoch * LENGTH :][:LENGTH]) == [(epoch, i) for i in range(LENGTH)]


def test_every_training_without_a_checkpoint_begins_at_the_beginning(make_trainer, loader):
    trainer = make_trainer(loader(Numbers()), save_strategy="no", max_steps=7)
    trainer.train()
    trainer.train()
    assert trainer.model.seen == [(0, index) for index in range(7)] * 2


def test_a_trainer_that_is_given_another_loader_leaves_the_first_alone(
    make_trainer, loader, tmp_path
):
    first, second = loader(Numbers()), loader(Numbers())
    trainer = make_trainer(first, max_steps=4)
    trainer.train()
    left = first.state_dict()

    with_loader(trainer, second)
    trainer.train(resume_from_checkpoint=str(checkpoints(tmp_path / "run")[3]))

    assert trainer.model.seen == [(0, index) for index in (0, 1, 2, 3, 3)]
    assert first.state_dict() == left


def test_loaders_are_taken_where_a_trainer_takes_datasets_to_evaluate(make_trainer, loader):
    trainer = make_trainer(
        eval_dataset=loader(Numbers()), eval_strategy="epoch", save_strategy="no"
    )
    trainer.train()
    assert trainer.model.evaluated == [(0, index) for index in range(LENGTH)] * 3

    trainer.model.evaluated.clear()
    trainer.evaluate({"one": loader(Numbers()), "two": loader(Numbers())})
    assert trainer.predict(loader(Numbers())).predictions.shape == (LENGTH, 1)
    assert trainer.model.evaluated == [(0, index) for index in range(LENGTH)] * 3


def test_named_evaluations_and_datasets_of_its_own_still_work(make_trainer, loader):
    own = [{"x": torch.tensor([7.0, index]), "labels": torch.zeros(1)} for index in range(3)]
    trainer = make_trainer(eval_dataset={"a": loader(Numbers()), "b": own})
    assert {"eval_a_loss", "eval_b_loss"} <= trainer.evaluate().keys()
    assert trainer.model.evaluated == [*((0, index) for index in range(LENGTH)), (7, 0)]


def test_an_endless_sequence_is_trained_with_up_to_a_number_of_steps(trained, loader, tmp_path):
    whole = [(0, index) for index in range(12)]
    options = {"max_steps": 6, "gradient_accumulation_steps": 2}
    assert trained(loader(Endless()), **options) == whole

    resume = checkpoints(tmp_path / "run")[2]
    sequence = Endless()
    after = trained(loader(sequence), resume=resume, folder="resumed", **options)
    assert whole[:4] + after == whole


# --- going on after a stop --------------------------------------------------------------------

SCHEDULES = {
    "steps": {},
    "accumulation": {"gradient_accumulation_steps": 4},
    "evaluation": {"gradient_accumulation_steps": 3, "eval_strategy": "steps", "eval_steps": 2},
    "epochs": {"gradient_accumulation_steps": 4, "save_strategy": "epoch"},
    "callbacks": {"restore_callback_states_from_checkpoint": True},
    "some steps": {"max_steps": 23},
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_checkpoint_goes_on_with_the_batch_after_it(trained, loader, tmp_path, schedule):
    options = SCHEDULES[schedule]
    if "eval_strategy" in options:
        options = options | {"eval_dataset": loader(Numbers())}
    whole = trained(**options)

    saved = checkpoints(tmp_path / "run")
    last = 30 if "max_steps" not in options else 22  # after 23 the Trainer makes one more, of 23
    for step in [step for step in sorted(saved) if step <= last][1::5]:
        path = saved[step]
        sequence = Shuffling()
        after = trained(loader(sequence), resume=path, folder=f"resumed-{step}", **options)
        done = batches_of(step, options.get("gradient_accumulation_steps", 1))
        assert whole[:done] + after == whole, step
        assert sequence.computed == len(after), "batches were computed for nothing"


def test_the_batches_of_a_step_that_failed_are_trained_with_again(trained, tmp_path):
    options = {"gradient_accumulation_steps": 4}
    whole = trained(folder="whole", **options)
    before = trained(model=Model(fails_at=6), **options)
    assert len(before) == 6

    last = checkpoints(tmp_path / "run")[1]
    assert before[:4] + trained(resume=last, **options) == whole


@pytest.mark.parametrize(
    "event", ["on_step_begin", "on_substep_end", "on_pre_optimizer_step", "on_step_end"]
)
def test_a_checkpoint_that_sigterm_asked_for_holds_the_place(
    make_trainer, trained, tmp_path, event
):
    options = {"gradient_accumulation_steps": 4, "save_strategy": "no"}
    whole = trained(**options)
    trainer = make_trainer(folder="killed", enable_jit_checkpoint=True, **options)
    _ask_at(trainer, event, occasion=5)
    trainer.train()

    ((step, path),) = checkpoints(tmp_path / "killed").items()
    assert whole[: batches_of(step, 4)] + trained(resume=path, **options) == whole


def _ask_at(trainer, event, occasion):
    """Ask for what the handler of SIGTERM asks for, some seconds after the signal."""
    (jit,) = (each for each in trainer.callback_handler.callbacks if "JIT" in type(each).__name__)
    occasions = []

    class Asks(hugging.TrainerCallback):
        pass

    def ask(self, *args, **kwargs):
        occasions.append(event)
        if len(occasions) == occasion:
            jit.jit_manager.is_checkpoint_requested = True

    setattr(Asks, event, ask)
    trainer.callback_handler.callbacks.insert(0, Asks())


def test_an_epoch_that_a_callback_ends_early_is_ended_with_its_hook(trained, tmp_path):
    class Ends(hugging.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_epoch_stop = state.global_step % 4 == 0

    options = {"callbacks": [Ends()], "save_strategy": "epoch"}
    seen = trained(**options)
    assert [epoch for epoch, _ in seen] == [0] * 4 + [1] * 4 + [2] * 4


def test_a_seed_that_was_drawn_is_that_of_the_resumed_training_too(trained, loader, tmp_path):
    whole = trained(loader(Numbers(), seed=None, shuffle=True))
    path = checkpoints(tmp_path / "run")[13]
    assert whole[:13] + trained(loader(Numbers(), seed=None, shuffle=True), resume=path) == whole


def test_a_checkpoint_without_a_place_goes_on_by_its_step_and_is_said_to_have_none(
    make_trainer, trained, loader, tmp_path
):
    whole = trained(loader(Numbers(), shuffle=True), folder="whole")
    trainer = make_trainer(loader(Numbers(), shuffle=True))
    trainer.pop_callback(LoaderPlace)
    trainer.train()
    path = checkpoints(tmp_path / "run")[13]

    with pytest.warns(SeqloaderWarning, match="does not say where the loader stood"):
        after = trained(loader(Numbers(), shuffle=True), resume=path)
    assert whole[:13] + after == whole


def test_a_state_that_json_cannot_write_is_said_once_and_left_out(trained, loader, tmp_path):
    with pytest.warns(SeqloaderWarning, match="lists, not arrays") as said:
        trained(loader(InArrays()), num_train_epochs=1)
    assert len(said) == 1


def test_ignore_data_skip_begins_the_epoch_anew_as_it_says(trained, loader, tmp_path):
    whole = trained(loader(Numbers(), shuffle=True))
    path = checkpoints(tmp_path / "run")[13]
    after = trained(loader(Numbers(), shuffle=True), resume=path, ignore_data_skip=True)
    assert after == whole[10 : 10 + 30 - 13]  # which takes steps that the Trainer does not make up


# --- when something breaks --------------------------------------------------------------------


def test_a_killed_worker_costs_no_batch(trained, loader, tmp_path):
    sequence = KillsItsWorkerOnce(tmp_path / "killed")
    with pytest.warns(WorkerLostWarning):
        seen = trained(loader(sequence, workers=2), save_strategy="no", num_train_epochs=2)
    assert seen == [(0, index) for _ in range(2) for index in range(LENGTH)]


def test_after_ctrl_c_the_same_loader_goes_on_behind_the_last_step(
    make_trainer, trained, loader, tmp_path
):
    train = loader(Numbers(), workers=2)
    trainer = make_trainer(train, model=Model(fails_at=7, error=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        trainer.train()

    last = checkpoints(tmp_path / "run")[7]
    after = trained(train, resume=last, num_train_epochs=1)
    assert trainer.model.seen + after == [(0, index) for index in range(LENGTH)]


def test_a_loader_that_does_not_know_the_other_processes_is_told_of(make_trainer, monkeypatch):
    trainer = make_trainer(save_strategy="no")
    handler = trainer.callback_handler
    handler.train_dataloader = trainer.get_train_dataloader()
    monkeypatch.setattr(type(trainer.args), "world_size", 2)
    with pytest.warns(SeqloaderWarning, match=r"2 processes train, .* all of the batches"):
        handler.on_train_begin(trainer.args, trainer.state, trainer.control)
