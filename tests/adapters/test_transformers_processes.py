"""A Trainer on two processes."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
from sequences_for_transformers import Shuffling
from two_processes import as_launched, free_port, run_by_two

from seqloader import OrderedEnqueuer

pytest.importorskip("torch", reason="torch is not installed")
hugging = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from hugging_trainings import Model, checkpoints, trainer_of  # noqa: E402

from seqloader.adapters.torch import TorchLoader  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of the frameworks' own
hugging.utils.logging.set_verbosity_error()

STEPS = (1, 3, 5, 8)
"""At the checkpoints of these, training goes on; 3 is the last of an epoch."""
BATCHES = {1: 4, 3: 10, 5: 18, 8: 28}
"""That both were trained with then."""


def in_turn(told):
    """What two processes were given, in the order of one."""
    return [tuple(place) for place in chain(*zip(*told, strict=True))]


@pytest.mark.limit(120)
def test_two_processes_train_with_each_batch_once_go_on_exactly_and_evaluate_as_one(tmp_path):
    with OrderedEnqueuer(Shuffling(), workers=0, seed=1) as enqueuer:
        expected = [tuple(map(int, batch["x"][0])) for _ in range(3) for batch in enqueuer]

    trained_alone(tmp_path / "one", gradient_accumulation_steps=2, max_steps=3)
    of_one = checkpoints(tmp_path / "one")[3]

    told = run_by_two(
        Path(__file__).with_name("transformers_on_two.py"),
        tmp_path,
        lambda rank: [str(tmp_path), str(of_one), *map(str, STEPS)],
        as_launched(free_port()),
    )

    assert [each["processes"] for each in told] == [2, 2]
    assert in_turn(each["whole"] for each in told) == expected
    for step in STEPS:
        resumed = in_turn(each["resumed"][str(step)] for each in told)
        assert expected[: BATCHES[step]] + resumed == expected
    assert told[0]["weights"] == told[1]["weights"]
    for each in told:
        assert each["labels"] == [*range(20)]  # five batches of four rows, and a sixth of padding
        assert each["loss"] == told[0]["loss"]
        assert "3 update steps here, and had 5 when" in each["refused"]

    for step, path in checkpoints(tmp_path / "run").items():
        if step in STEPS:
            resumed = trained_alone(tmp_path / "alone", path, gradient_accumulation_steps=4)
            assert expected[: BATCHES[step]] + resumed == expected


def trained_alone(folder, resume=None, **options):
    """What one process is trained with."""
    model = Model()
    with TorchLoader(Shuffling(), workers=0, seed=1) as train:
        trainer = trainer_of(train, folder, model=model, **options)
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    return model.seen
