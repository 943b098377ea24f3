"""What goes wrong in `fit`, and what stands beside it."""

from __future__ import annotations

import gc
import signal
import weakref

import numpy as np
import psutil
import pytest

keras = pytest.importorskip("keras", reason="Keras 3 is not installed")
from interpreter import run_code  # noqa: E402
from keras_batches import KillsOnce, Numbers, Plain  # noqa: E402
from keras_cases import Kit  # noqa: E402

from seqloader import OrderedEnqueuer, SeqloaderWarning, WorkerLostWarning  # noqa: E402
from seqloader.adapters.keras import KerasDataset  # noqa: E402
from seqloader.adapters.keras.steps import Steps  # noqa: E402

pytestmark = [
    pytest.mark.limit(180),
    # What numpy 2 says of how Keras' torch backend turns tensors into arrays.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
BACKEND = keras.config.backend()
keeps_generators = pytest.mark.skipif(
    BACKEND == "tensorflow", reason="TensorFlow keeps the generators it was given"
)


class Rotten(Exception):
    """A user's own."""


# --- a user's exception -----------------------------------------------------------------------


def test_a_users_exception_comes_out_of_fit_and_a_later_fit_works():
    rotten = [3]

    def at(index):
        if index in rotten:
            raise Rotten(f"batch {index} is rotten")

    kit = Kit(None)
    model = kit.model()
    with KerasDataset(Numbers(at=at), workers=0) as data:
        # TensorFlow has but errors of its own, which hold the text.
        expected = Exception if BACKEND == "tensorflow" else Rotten
        with pytest.raises(expected, match="batch 3 is rotten"):
            kit.fit(model, data)
        assert isinstance(data.last_error, Rotten)
        assert data.last_error.__traceback__ is None
        assert any("batch 3" in note for note in data.last_error.__notes__)
        rotten.clear()
        kit.seen.clear()
        kit.fit(model, data, epochs=2)
        assert data.last_error is None

    assert kit.epochs() == [[0, 1, 2, 3, 4]] * 2


def test_batches_that_are_none_are_filled_up_from_the_next_epoch_and_said_once():
    kit = Kit(None)
    with (
        KerasDataset(Plain(3, at=lambda index: index == 1), workers=0) as data,
        pytest.warns(SeqloaderWarning, match="epoch 0 has 3 batches, and some of them were None"),
    ):
        kit.fit(kit.model(), data, epochs=2)

    assert kit.epochs() == [[0, 2, 0], [2, 0, 2]]


def test_an_attribute_error_in_a_length_is_shown_as_it_is():
    class Wrong(Plain):
        def __len__(self):
            return self.not_there

    with (
        KerasDataset(Wrong(), workers=0) as data,
        pytest.raises(AttributeError, match="'Wrong' object has no attribute 'not_there'"),
    ):
        Kit(None).model().fit(data, shuffle=False, verbose=0)


def test_nothing_but_none_is_an_error():
    with (
        KerasDataset(Plain(3, at=lambda index: True), workers=0) as data,
        pytest.warns(SeqloaderWarning, match="some of them were None"),
        pytest.raises(Exception, match="epochs 0 and 1 have no batch"),
    ):
        Kit(None).model().fit(data, verbose=0)


# --- killed, interrupted ------------------------------------------------------------------------


def test_a_killed_worker_costs_a_respawn_and_no_batch(tmp_path):
    kit = Kit(None)
    with KerasDataset(KillsOnce(tmp_path), workers=2, seed=0) as data:
        with pytest.warns(WorkerLostWarning):
            kit.fit(kit.model(), data, epochs=2)
        assert data.enqueuer.stats().respawns == 1

    assert kit.epochs() == [[*range(8)]] * 2


def interrupt(model):
    signal.raise_signal(signal.SIGINT)


def test_after_a_ctrl_c_a_later_fit_trains_on_whole_epochs():
    kit = Kit(None)
    model, sequence = kit.model(), Numbers()
    with KerasDataset(sequence, workers=1) as data:
        with pytest.raises(KeyboardInterrupt):
            kit.fit(model, data, epochs=3, at=(1, 2), do=interrupt)
        kit.fit(model, data, epochs=2)

    whole = [0, 1, 2, 3, 4]
    assert kit.epochs() == [whole, [0, 1, 2], whole, whole]
    assert sequence.ends == 4


INTERRUPTED = """
    import time
    import keras
    import numpy as np
    from seqloader import Sequence
    from seqloader.adapters.keras import KerasDataset

    class Slow(Sequence):
        def __len__(self):
            return 20
        def __getitem__(self, index):
            time.sleep(0.2)  # of those taken ahead, one is waited for at the end
            return np.ones((2, 1)), np.ones((2, 1))

    class Interrupted(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)
        def call(self, x):
            return self.dense(x)
        def train_step(self, *arguments):  # those of the backend
            steps.append(1)
            if len(steps) == 5:
                raise KeyboardInterrupt
            return super().train_step(*arguments)

    steps = []

    def train():
        data = KerasDataset(Slow(), workers=1)
        model = Interrupted()
        model.compile("sgd", "mse", run_eagerly=True)
        model.fit(data, verbose=0)

    train()
"""


def test_a_program_ends_after_a_ctrl_c_in_fit():
    ended = run_code(INTERRUPTED, timeout_s=150)

    assert ended.returncode == -signal.SIGINT, ended.stderr
    assert "KeyboardInterrupt" in ended.stderr


def test_a_build_that_fails_loses_no_batch():
    kit = Kit(None)
    with KerasDataset(Numbers(), workers=0) as data:
        wrong = keras.Sequential([keras.layers.Reshape((7,))])
        wrong.compile("sgd", "mse")
        with pytest.raises(Exception):  # noqa: B017  (whatever Keras raises)
            wrong.fit(data, verbose=0)
        kit.fit(kit.model(), data)

    assert kit.epochs() == [[0, 1, 2, 3, 4]]
    assert data.enqueuer.epoch == (2 if BACKEND == "tensorflow" else 1)


def test_the_same_dataset_in_evaluate_while_fit_runs_is_an_error():
    kit = Kit(None)
    with (
        KerasDataset(Plain(9), workers=0) as data,
        pytest.raises(Exception, match="asks for a batch after it was ended"),
    ):
        kit.fit(kit.model(), data, at=(0, 1), do=lambda model: model.evaluate(data, verbose=0))


# --- what it is beside ----------------------------------------------------------------------------


def test_an_enqueuer_made_before_is_not_stopped():
    with OrderedEnqueuer(Numbers(), workers=0, shuffle=True, seed=1) as enqueuer:
        kit = Kit(None)
        with KerasDataset(enqueuer) as data:
            kit.fit(kit.model(), data)
        assert enqueuer.is_running()
        [order] = kit.epochs()
        with OrderedEnqueuer(range(5), workers=0, shuffle=True, seed=1) as other:
            assert order == [*other]


def test_a_loop_of_ones_own_and_random_access_work_beside():
    sequence = Numbers()
    with KerasDataset(sequence, workers=0) as data:
        assert len(data) == 5
        assert [int(x[0, 0]) for x, _ in data] == [0, 1, 2, 3, 4]
        assert sequence.ends == 1
        assert data[3][0].tolist() == [[3], [3]]


def test_a_place_that_was_loaded_is_where_fit_goes_on():
    kit = Kit(None)
    with KerasDataset(Plain(), workers=0) as data:
        data.enqueuer.seek(1, 3)
        kit.fit(kit.model(), data, epochs=2)

    assert kit.epochs() == [[3, 4], [0, 1, 2, 3, 4]]


# --- dropped ------------------------------------------------------------------------------------


@pytest.fixture
def without_collection():
    """No cycle is collected meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@keeps_generators
def test_a_dataset_that_is_dropped_after_fit_ends_its_workers_at_once(without_collection):
    model = Kit(None).model()
    data = KerasDataset(Numbers(), workers=1)
    model.fit(data, validation_data=KerasDataset(Plain(2), workers=0), epochs=2, verbose=0)
    workers = psutil.Process().children()
    alive = weakref.ref(data)

    del data
    assert alive() is None
    assert len(workers) == 1
    assert not psutil.wait_procs(workers, timeout=20)[1]
    assert "5" in repr(model.history.params["steps"])  # the model has kept the number


@keeps_generators
def test_a_dataset_that_is_dropped_after_an_error_ends_with_the_next_collection():
    data = KerasDataset(Numbers(at={"not": "callable"}), workers=0)
    with pytest.raises(TypeError):
        Kit(None).model().fit(data, verbose=0)
    alive = weakref.ref(data)

    del data
    gc.collect()  # what iterates in Keras refers to itself where a walk has not ended
    assert alive() is None


# --- the length -----------------------------------------------------------------------------------


def test_the_length_is_a_number_for_whoever_uses_it():
    steps = Steps(lambda: 7)

    assert [*range(steps)] == [*range(7)]
    assert (steps + 1, 2 * steps, 21 / steps, 15 // steps, -steps) == (8, 14, 3.0, 2, -7)
    assert (steps == 7, steps != 7, steps < 8, steps >= 8, bool(steps)) == (
        True, False, True, False, True,
    )  # fmt: skip
    assert (f"{steps:3d}", str(steps), "%d" % steps, min(9, steps)) == ("  7", "7", "7", 7)  # noqa: UP031
    assert np.log2(np.asarray(Steps(lambda: 8))) == 3
    assert float(steps) == 7.0


def test_the_length_is_read_anew():
    now = [2]
    steps = Steps(lambda: now[0])
    assert steps == 2
    now[0] = 0
    assert not steps
    assert steps == 0
