"""A few points of the matrix of stopped trainings; all of it takes a quarter of an hour.

python tests/adapters/resume_matrix.py
"""

from __future__ import annotations

import importlib.util

import pytest
from resume_matrix import Trial, count, launch, run, stops
from resume_trainings import run_phase

EXACT = {"lost": 0, "doubled": 0, "for_nothing": 0, "failed": 0}

pytestmark = [
    pytest.mark.filterwarnings("error::seqloader.SeqloaderWarning"),
    pytest.mark.filterwarnings("ignore"),  # of the frameworks' own
]


def needs(trainer):
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec(trainer) is None:
        pytest.skip(f"{trainer} is not installed")


def outcome(tally):
    return {name: getattr(tally, name) for name in EXACT}


@pytest.mark.parametrize("trainer", ["lightning", "transformers", "accelerate"])
def test_a_stopped_training_goes_on_with_each_batch_once(trainer, tmp_path):
    needs(trainer)
    trial = Trial(trainer, "seqloader", 1, 1, stops(trainer, 3, 1, 1))

    run_phase(trial, tmp_path, "stop")
    run_phase(trial, tmp_path, "resume")

    tally = count(trial, tmp_path)
    assert (tally.points, outcome(tally)) == (3, EXACT)


def test_the_matrix_sees_what_a_loader_without_a_place_loses(tmp_path):
    needs("lightning")
    trial = Trial("lightning", "own", 1, 1, (5, 20, 41))

    run_phase(trial, tmp_path, "stop")
    run_phase(trial, tmp_path, "resume")

    tally = count(trial, tmp_path)
    assert tally.lost > 0
    assert tally.doubled > 0


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["lightning", "transformers", "accelerate"])
def test_a_training_that_was_killed_goes_on_with_each_batch_once(trainer):
    needs(trainer)
    tally = run(Trial(trainer, "seqloader", 1, 1, stops(trainer, 1, 1, 1), signal="KILL"))
    assert outcome(tally) == EXACT


@pytest.mark.slow
def test_a_training_with_short_epochs_that_was_killed_goes_on_with_each_batch_once():
    needs("transformers")
    points = (100,)  # its steps point to the seventh epoch, and it is in the ninth
    tally = run(Trial("transformers", "seqloader", 1, 1, points, signal="KILL", short=True))
    assert outcome(tally) == EXACT


@pytest.mark.limit(100)
def test_a_training_that_a_sigterm_stopped_goes_on_with_each_batch_once(tmp_path):
    needs("transformers")
    (point,) = stops("transformers", 1, 1, 1)
    trial = Trial("transformers", "seqloader", 1, 1, (point + 2,), signal="TERM", workers=2)

    launch(trial, tmp_path, 1, "stop")
    run_phase(trial, tmp_path, "resume")

    assert outcome(count(trial, tmp_path)) == EXACT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trainer", "before", "after"),
    [
        ("lightning", 2, 1),
        ("lightning", 1, 2),
        ("accelerate", 2, 1),
        ("accelerate", 1, 2),
        ("transformers", 2, 1),
    ],
)
def test_a_training_goes_on_with_another_number_of_processes(trainer, before, after):
    needs(trainer)
    tally = run(Trial(trainer, "seqloader", before, after, stops(trainer, 3, before, after)))
    assert outcome(tally) == EXACT
