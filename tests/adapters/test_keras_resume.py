"""`ResumeKeras`: a training that is killed anywhere goes on with the next batch."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="Keras 3 is not installed")
from keras_batches import Plain  # noqa: E402
from keras_cases import Boom, Kit, boom  # noqa: E402
from resume_matrix import Trial, count, stops  # noqa: E402
from resume_trainings import run_phase  # noqa: E402

from seqloader import OrderedEnqueuer, ResumeError  # noqa: E402
from seqloader.adapters.keras import KerasDataset, ResumeKeras  # noqa: E402

pytestmark = [
    pytest.mark.limit(300),
    # What numpy 2 says of how Keras' torch backend turns tensors into arrays.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

PROGRAM = '''
import json, os, signal, sys
from pathlib import Path

import keras, numpy as np
from keras_cases import LastTag
from seqloader import Sequence
from seqloader.adapters.keras import KerasDataset, ResumeKeras

while True:  # each training in a fork: importing Keras takes longer than all of them
    line = sys.stdin.readline()
    if not line:
        sys.exit()
    child = os.fork()
    if not child:
        break
    print(os.waitpid(child, 0)[1], flush=True)
folder, options = json.loads(line)
folder = Path(folder)


class Numbers(Sequence):
    """Batch i of epoch e holds 100 * e + i; its own state is the number of the epoch."""

    def __init__(self):
        self.epoch = 0

    def __len__(self):
        return options.get("length", 5) + self.epoch * options.get("grows", 0)

    def __getitem__(self, index):
        tag = np.full((2, 1), 100 * self.epoch + index, "float32")
        return tag, tag

    def on_epoch_end(self):
        self.epoch += 1

    def state_dict(self):
        return {"epoch": self.epoch}

    def load_state_dict(self, state):
        self.epoch = state["epoch"]


def die(when):
    if options.get("die") == when:
        os.kill(os.getpid(), signal.SIGKILL)


class Watch(keras.callbacks.Callback):
    """Writes down (updates before it, batch) for each batch trained; dies where it is told to."""

    def on_epoch_begin(self, epoch, logs=None):
        self.done = int(self.model.optimizer.iterations)
        self.epoch = epoch
        die(["epoch", epoch])

    def on_train_batch_end(self, step, logs=None):
        with open(folder / "trained", "a") as file:
            print(json.dumps([self.done, self.epoch, round(float(logs["tag"]))]), file=file)
        self.done += 1
        die(["trained", self.done])


class Backup(keras.callbacks.BackupAndRestore):
    """Dies in the middle of a save, or right after it."""

    def _save_model(self):
        saves = int(self.model.optimizer.iterations)
        super()._save_model()
        die(["saved", saves])


model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
model.compile(keras.optimizers.SGD(0.0), "mse", metrics=[LastTag()])
with KerasDataset(Numbers(), workers=0, seed=0, shuffle=options.get("shuffle", False)) as train:
    backup = Backup(folder / "backup", save_freq=options["save"])
    resume = ResumeKeras(folder / "backup", train)
    model.fit(train, epochs=3, verbose=0, callbacks=[Watch(), backup, resume])
'''


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A process that has imported Keras, and runs one training after another."""
    path = tmp_path_factory.mktemp("program") / "program.py"
    path.write_text(PROGRAM)
    importable = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    with subprocess.Popen(
        [sys.executable, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": importable},
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def run(program, tmp_path):
    """Train, in a process of its own; how it ended."""

    def run(**options):
        print(json.dumps([str(tmp_path), options]), file=program.stdin, flush=True)
        return os.waitstatus_to_exitcode(int(program.stdout.readline()))

    return run


def trained(folder: Path) -> list[list[int]]:
    """[Keras' epoch, batch] of each update of the model as it is: what came later counts."""
    found = {}
    for line in (folder / "trained").read_text().splitlines():
        done, epoch, tag = json.loads(line)
        for later in [number for number in found if number >= done]:
            del found[later]
        found[done] = [epoch, tag]
    assert [*found] == [*range(len(found))]
    return [*found.values()]


DEATHS = [
    ("every batch", {"save": 1}, [["trained", 3]]),
    ("every second batch, twice", {"save": 2}, [["trained", 3], ["trained", 5]]),
    ("between a save and its record", {"save": 2}, [["saved", 4]]),
    ("so, over the end of an epoch", {"save": 3}, [["saved", 6]]),
    ("at the last batch of an epoch", {"save": 5}, [["trained", 7]]),
    ("at an epoch", {"save": "epoch"}, [["trained", 8], ["epoch", 2]]),
    ("shuffled", {"save": 2, "shuffle": True}, [["trained", 7]]),
    ("lengths that grow", {"save": 2, "grows": 1}, [["trained", 5], ["saved", 8]]),
]


def uninterrupted(*, shuffle=False, grows=0, **_) -> list[list[int]]:
    """[epoch, batch] of a training that nobody kills."""
    lengths = [5 + epoch * grows for epoch in range(3)]
    if not shuffle:
        return [[e, 100 * e + i] for e, length in enumerate(lengths) for i in range(length)]
    with OrderedEnqueuer(range(5), shuffle=True, seed=0, workers=0) as enqueuer:
        return [[e, 100 * e + i] for e in range(3) for i in enqueuer]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options", "deaths"), DEATHS, ids=[name for name, *_ in DEATHS])
def test_what_was_killed_goes_on_with_the_next_batch(run, tmp_path, name, options, deaths):
    for death in deaths:
        assert run(die=death, **options) == -signal.SIGKILL
    assert run(**options) == 0

    assert trained(tmp_path) == uninterrupted(**options)
    assert not (tmp_path / "backup").exists()


@pytest.mark.slow
def test_a_save_that_is_gone_counts_for_nothing_and_training_begins_anew(run, tmp_path):
    assert run(save=2, die=["trained", 8]) == -signal.SIGKILL
    for name in ("latest.weights.h5", "training_metadata.json"):
        (tmp_path / "backup" / name).unlink()
    (tmp_path / "backup" / "notes").touch()  # something is there, so that a save is believed in
    assert run(save=2) == 0

    assert trained(tmp_path) == uninterrupted()


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_after_a_resume_no_batch_is_computed_for_nothing(tmp_path, workers):
    trial = Trial("keras", "seqloader", 1, 1, stops("keras", 3, 1, 1), workers=workers)

    run_phase(trial, tmp_path, "stop")
    run_phase(trial, tmp_path, "resume")

    tally = count(trial, tmp_path)
    assert (tally.points, tally.lost, tally.doubled, tally.for_nothing) == (3, 0, 0, 0)
    assert not tally.failed, tally.why


def interrupted(kit, model, data, folder, **options):
    """Train up to batch 1 of epoch 1, which is not saved any more."""
    with pytest.raises(Boom):
        fit(kit, model, data, folder, at=(1, 1), do=boom, **options)
    kit.seen.clear()


def fit(kit, model, data, folder, resume=None, **options):
    backup = keras.callbacks.BackupAndRestore(folder, save_freq=1)
    callbacks = [backup, resume or ResumeKeras(folder, data)]
    kit.fit(model, data, epochs=3, callbacks=callbacks, **options)


BETWEEN = {
    "nothing": lambda kit, model, data: None,
    "an evaluation": lambda kit, model, data: kit.evaluate(model, data),
    "an iterator": lambda kit, model, data: next(iter(data)),
    "an iterator that is not read": lambda kit, model, data: iter(data.enqueuer),
}


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN)
def test_a_fit_goes_on_in_the_same_program_whatever_was_done_with_the_dataset(tmp_path, between):
    kit = Kit(None)
    model = kit.model(built=True)
    with KerasDataset(Plain(5), workers=0) as data:
        interrupted(kit, model, data, tmp_path)
        resume = ResumeKeras(tmp_path, data)
        between(kit, model, data)
        fit(kit, model, data, tmp_path, resume)

    assert kit.epochs() == [[1, 2, 3, 4], [0, 1, 2, 3, 4]]


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed, but will be ignored")
@pytest.mark.parametrize("length", [5, 4], ids=["in the middle of an epoch", "at its end"])
def test_an_endless_dataset_goes_on_with_the_next_batch(tmp_path, length):
    def endless():
        return KerasDataset(Plain(length), endless=True, workers=0, shuffle=True, seed=3)

    kit = Kit(None)
    with endless() as data:
        interrupted(kit, kit.model(built=True), data, tmp_path, steps_per_epoch=7)
    with endless() as data:
        fit(kit, kit.model(built=True), data, tmp_path, steps_per_epoch=7)

    with OrderedEnqueuer(range(length), workers=0, shuffle=True, seed=3) as enqueuer:
        whole = [index for _ in range(6) for index in enqueuer]
    # 8 were saved. The epoch of Keras has all its steps once more, with the next batches.
    assert kit.epochs() == [whole[8:15], whole[15:22]]


def test_a_save_of_another_dataset_is_an_error_of_fit_and_not_before(tmp_path):
    kit = Kit(None)
    model = kit.model(built=True)
    with KerasDataset(Plain(5), workers=0) as data:
        interrupted(kit, model, data, tmp_path)

    with KerasDataset(Plain(6), workers=0) as other:
        resume = ResumeKeras(tmp_path, other)
        with pytest.raises(ResumeError, match="6"):
            fit(kit, model, other, tmp_path, resume)


def test_records_that_cannot_be_read_begin_anew(tmp_path, caplog):
    (tmp_path / "seqloader-resume.json").write_text("")
    with KerasDataset([(1.0,), (2.0,)], workers=0) as dataset:
        ResumeKeras(tmp_path, dataset)

    assert "cannot be read" in caplog.text


@pytest.mark.parametrize("state", [{"order": np.arange(2)}, {"weights": {0: 1.0}}, {"at": (1, 2)}])
def test_a_state_that_json_cannot_give_back_is_an_error_that_says_so(tmp_path, state):
    class Kept(list):
        def state_dict(self):
            return state

        def load_state_dict(self, state):
            raise NotImplementedError

    (tmp_path / "a_backup").write_text("")
    with KerasDataset(Kept([(1.0,), (2.0,)]), workers=0) as dataset:
        resume = ResumeKeras(tmp_path, dataset)
        resume.set_model(keras.Sequential())
        resume.on_train_begin()
        (tmp_path / "a_backup").write_text("another")

        with pytest.raises(TypeError, match=r"cannot write the state of .*Kept as JSON"):
            resume.on_epoch_end(0)


def test_the_number_of_steps_is_counted_with_like_an_integer():
    from seqloader.adapters.keras.steps import Steps

    steps = Steps(lambda: 7)

    assert (divmod(steps, 2), divmod(15, steps), round(steps), math.ceil(steps)) == (
        (3, 1),
        (2, 1),
        7,
        7,
    )
    assert (steps << 1, 1 << steps, math.trunc(steps), math.floor(steps)) == (14, 128, 7, 7)
