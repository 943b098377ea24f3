"""A Trainer whose epochs have fewer batches than it plans with, stopped and resumed."""

from __future__ import annotations

import pytest
from sequences_for_transformers import LENGTH, Shuffling

from seqloader import ResumeError

pytest.importorskip("torch", reason="torch is not installed")
hugging = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from hugging_trainings import Model, checkpoints, trainer_of  # noqa: E402

from seqloader.adapters.torch import TorchLoader  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of the frameworks' own
hugging.utils.logging.set_verbosity_error()

LEFT_OUT = (2, 3, 6, 9)
"""Of the ten batches of an epoch; the last is the last of the epoch too."""


class Empty(Shuffling):
    def __getitem__(self, index):
        return None if index in LEFT_OUT else super().__getitem__(index)


class Raising(Shuffling):
    def __getitem__(self, index):
        if index in LEFT_OUT:
            raise KeyError(index)
        return super().__getitem__(index)


class Alone(Shuffling):
    """One batch of each epoch is left."""

    def __getitem__(self, index):
        return super().__getitem__(index) if index == 4 else None


class Growing(Shuffling):
    """By one batch an epoch; the Trainer goes on to ask for ten."""

    def on_epoch_end(self):
        self.order.append(len(self.order))
        super().on_epoch_end()


class SkipsPositions(hugging.TrainerCallback):
    def on_epoch_begin(self, args, state, control, **kwargs):
        kwargs["train_dataloader"].loader.enqueuer.skip(LEFT_OUT)


class EndsEpochs(hugging.TrainerCallback):
    """After four steps."""

    def on_step_end(self, args, state, control, **kwargs):
        control.should_epoch_stop = state.global_step % 4 == 0


class NotesSteps(hugging.TrainerCallback):
    """How many batches were trained with at each update step."""

    def __init__(self, model):
        self.model, self.batches = model, {}

    def on_optimizer_step(self, args, state, control, **kwargs):
        self.batches[state.global_step + 1] = len(self.model.seen)


def train(folder, sequence, *callbacks, resume=None, told=True, loader=(), **options):
    """What it was trained with, and how many batches of it at each step."""
    model = Model()
    notes = NotesSteps(model)
    how = {"workers": 0, "seed": 1, **dict(loader)}
    with TorchLoader(sequence, **how) as batches:
        trainer = trainer_of(batches, folder, model=model, callbacks=[notes, *callbacks], **options)
        if not told:  # where to begin, as versions before 5.3 cannot be
            del trainer._init_training_state
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    return model.seen, notes.batches


WAYS = {
    "batches that are None": (Empty, (), {}),
    "errors that are skipped": (Raising, (), {"on_error": "skip"}),
    "positions that are skipped": (Shuffling, (SkipsPositions,), {}),
    "all batches but one": (Alone, (), {}),
    "epochs that a callback ends": (Shuffling, (EndsEpochs,), {}),
}
TOGETHER = [(way, 1) for way in WAYS] + [(way, 4) for way in [*WAYS][:3]]


@pytest.mark.parametrize(("way", "accumulation"), TOGETHER)
def test_every_checkpoint_goes_on_with_the_batch_after_it(way, accumulation, tmp_path):
    sequence, callbacks, loader = WAYS[way]

    def training(name, **options):
        made = [callback() for callback in callbacks]
        return train(tmp_path / name, sequence(), *made, loader=loader, **options)

    options = {"gradient_accumulation_steps": accumulation}
    whole, batches = training("run", **options)
    assert len(whole) < 3 * LENGTH
    saved = checkpoints(tmp_path / "run")
    assert len(saved) >= 3

    for step in sorted(saved)[:: max(1, len(saved) // 6)]:
        after, _ = training(f"resumed-{step}", resume=saved[step], **options)
        assert whole[: batches[step]] + after == whole, step


def test_what_grows_beyond_the_plan_goes_on_with_the_batch_after_it(tmp_path):
    whole, batches = train(tmp_path / "run", Growing())
    assert [epoch for epoch, _ in whole] == [0] * 10 + [1] * 10 + [2] * 10

    for step in (9, 10, 13, 20, 24):
        path = checkpoints(tmp_path / "run")[step]
        after, _ = train(tmp_path / f"resumed-{step}", Growing(), resume=path)
        assert whole[: batches[step]] + after == whole, step


def test_batches_that_no_step_was_made_with_are_trained_with_again(tmp_path):
    options = {"gradient_accumulation_steps": 4, "save_strategy": "epoch"}
    whole, batches = train(tmp_path / "run", Empty(), **options)  # a step, and two batches more
    assert batches == {1: 4, 2: 10, 3: 16}

    for step, path in checkpoints(tmp_path / "run").items():
        after, steps = train(tmp_path / f"resumed-{step}", Empty(), resume=path, **options)
        assert whole[: batches[step]] + after == whole
        assert [*steps] == [*range(step + 1, 4)]


def test_less_accumulation_goes_on_with_the_batch_after_it(tmp_path):
    options = {"gradient_accumulation_steps": 4}
    whole, batches = train(tmp_path / "run", Shuffling(), **options)

    for step, path in checkpoints(tmp_path / "run").items():
        after, _ = train(tmp_path / f"resumed-{step}", Shuffling(), resume=path)
        assert whole[: batches[step]] + after == whole


@pytest.mark.parametrize(
    ("before", "after"),
    [({}, {"gradient_accumulation_steps": 4}), ({"gradient_accumulation_steps": 4}, {})],
    ids=["more accumulation", "less, up to a number of steps"],
)
def test_a_trainer_that_would_end_too_early_is_refused(before, after, tmp_path):
    limit = {"max_steps": 8} if before else {}
    train(tmp_path / "run", Shuffling(), **before, **limit)
    path = checkpoints(tmp_path / "run")[7]

    with pytest.raises(ResumeError, match="end before it has trained with all that is left"):
        train(tmp_path / "resumed", Shuffling(), resume=path, **after, **limit)


def test_an_older_trainer_goes_on_where_its_count_is_right_and_else_is_refused(tmp_path):
    for name, sequence in {"whole": Shuffling, "short": Empty}.items():
        seen, batches = train(tmp_path / name, sequence(), told=False)
        saved = checkpoints(tmp_path / name)
        after, _ = train(tmp_path / "resumed", sequence(), told=False, resume=saved[4])
        assert seen[: batches[4]] + after == seen
        if sequence is Empty:
            with pytest.raises(ResumeError, match=r"stood in epoch 1, .* Transformers 5\.3"):
                train(tmp_path / "refused", sequence(), told=False, resume=saved[8])


def test_ignoring_data_skips_the_epoch_in_which_the_loader_stood_begins_anew(tmp_path):
    whole, _ = train(tmp_path / "run", Empty())
    path = checkpoints(tmp_path / "run")[8]  # two batches into the second epoch

    after, _ = train(tmp_path / "resumed", Empty(), resume=path, ignore_data_skip=True)

    assert after == whole[6:]
