"""What goes wrong in `fit`, and what is refused or said."""

from __future__ import annotations

import gc
import logging
import signal
import types

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="Keras 3 is not installed")
from interpreter import run_code  # noqa: E402
from keras_batches import KillsOnce, Numbers, Plain  # noqa: E402
from keras_cases import Kit  # noqa: E402

from seqloader import OrderedEnqueuer, SeqloaderWarning, WorkerLostWarning  # noqa: E402
from seqloader.adapters.keras import KerasDataset, dataset, resume  # noqa: E402
from seqloader.adapters.keras.steps import Steps  # noqa: E402

pytestmark = [
    pytest.mark.limit(180),
    # What numpy 2 says of how Keras' torch backend turns tensors into arrays.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
BACKEND = keras.config.backend()


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
        def train_step(self, data):
            if int(self.optimizer.iterations) == 4:
                raise KeyboardInterrupt
            return super().train_step(data)

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


# --- refused, said ------------------------------------------------------------------------------


def test_the_order_of_fit_is_said_to_have_no_effect_once(caplog):
    kit = Kit(None)
    with caplog.at_level(logging.INFO, "seqloader"), KerasDataset(Numbers(12), workers=0) as data:
        kit.fit(kit.model(), data, epochs=3)
        said = [record for record in caplog.records if "fit(shuffle=True)" in record.message]
        assert len(said) == 1
        assert said[0].levelno == logging.INFO

        caplog.clear()
        kit.fit(kit.model(), KerasDataset(data.enqueuer), shuffle=False)
        assert not caplog.records
    assert kit.epochs() == [[*range(12)]] * 4


def test_sharding_by_keras_itself_is_refused_with_its_cure(monkeypatch):
    distribution = types.SimpleNamespace(auto_shard_dataset=True, num_processes=4)
    monkeypatch.setattr(keras.distribution, "distribution", lambda: distribution)
    with KerasDataset(Numbers(), workers=0) as data:
        with pytest.raises(ValueError, match=r'over 4 processes .* shard="auto"') as raised:
            Kit(None).model().fit(data, verbose=0)
        assert "auto_shard_dataset = False" in str(raised.value)

        distribution.auto_shard_dataset = False
        data.workers, data.use_multiprocessing  # noqa: B018  (as an adapter in the making)


def test_an_older_keras_is_refused(monkeypatch):
    monkeypatch.setattr(keras, "__version__", "3.7.0")
    for module in (dataset, resume):
        with pytest.raises(ImportError, match=r"needs keras 3.8 or later, and this is keras 3.7.0"):
            module.framework("keras", extra="keras", at_least="3.8")


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


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow keeps the generators it was given")
def test_a_dataset_that_is_dropped_after_fit_is_collected():
    data = KerasDataset(Numbers(), workers=0)
    Kit(None).model().fit(data, verbose=0)
    enqueuer = data.enqueuer
    data.close()
    del data
    gc.collect()
    assert not any(isinstance(found, KerasDataset) for found in gc.get_referrers(enqueuer))


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
