"""What is refused or said in Keras, once, in words that name the cure."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest
from two_processes import free_port, run_by_two

keras = pytest.importorskip("keras", reason="Keras 3 is not installed")
from keras_batches import Numbers, Plain  # noqa: E402
from keras_cases import Kit  # noqa: E402

from seqloader import SeqloaderWarning  # noqa: E402
from seqloader.adapters.keras import KerasDataset, remarks, resume  # noqa: E402
from seqloader.order import Shard  # noqa: E402

pytestmark = [
    pytest.mark.limit(180),
    # What numpy 2 says of how Keras' torch backend turns tensors into arrays.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
PROGRAM = Path(__file__).with_name("train_keras_on_two.py")


def made(data):
    """As an adapter of Keras in the making."""
    return data.workers, data.use_multiprocessing


def test_the_order_of_fit_is_said_to_have_no_effect_once(caplog):
    kit = Kit(None)
    with caplog.at_level(logging.INFO, "seqloader"), KerasDataset(Numbers(12), workers=0) as data:
        kit.fit(kit.model(), data, epochs=3)
        said = [record for record in caplog.records if "fit(shuffle=True)" in record.message]
        assert len(said) == 1
        assert said[0].levelno == logging.INFO

        caplog.clear()
        kit.fit(kit.model(), KerasDataset(data.enqueuer), shuffle=False)
        assert "fit(shuffle=True)" not in caplog.text
    assert kit.epochs() == [[*range(12)]] * 4


def test_an_older_keras_is_refused(monkeypatch):
    monkeypatch.setattr(keras, "__version__", "3.7.0")
    for module in (remarks, resume):
        with pytest.raises(ImportError, match=r"needs keras 3.8 or later, and this is keras 3.7.0"):
            module.framework("keras", extra="keras", at_least="3.8")


def test_workers_are_no_argument_of_fit():
    model = Kit(None).model()
    with KerasDataset(Plain(), workers=0) as data, pytest.raises(TypeError, match="workers"):
        model.fit(data, workers=2, verbose=0)


# --- several processes ----------------------------------------------------------------------


def test_sharding_by_keras_itself_is_said_and_refused_with_its_cure(monkeypatch):
    distribution = types.SimpleNamespace(auto_shard_dataset=True, num_processes=4)
    monkeypatch.setattr(keras.distribution, "distribution", lambda: distribution)
    cure = r'over 4 processes .* shard="auto".*auto_shard_dataset = False'
    with pytest.warns(SeqloaderWarning, match=cure):
        data = KerasDataset(Numbers(), workers=0)
    with data:
        with pytest.raises(ValueError, match=cure):
            made(data)

        distribution.auto_shard_dataset = False
        made(data)


def test_a_keras_that_takes_no_dataset_on_several_processes_is_to_be_replaced(monkeypatch):
    distribution = types.SimpleNamespace()  # of Keras 3.8
    monkeypatch.setattr(keras.distribution, "distribution", lambda: distribution)
    monkeypatch.setattr(remarks, "shard_of_group", lambda: Shard(1, 2))
    with pytest.warns(SeqloaderWarning, match=r'2 processes .* shard="auto".* a later Keras'):
        KerasDataset(Numbers(), workers=0)

    monkeypatch.setattr(remarks, "shard_of_group", lambda: None)
    KerasDataset(Numbers(), workers=0)


def test_processes_that_train_on_the_same_batches_are_told_once(monkeypatch):
    monkeypatch.setattr(remarks, "shard_of_group", lambda: Shard(1, 2))
    with KerasDataset(Numbers(), workers=0) as data:
        with pytest.warns(SeqloaderWarning, match=r'all of the batches.* shard="auto"'):
            made(data)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made(data)

    for shard in ((0, 1), (1, 2)):
        with KerasDataset(Plain(4), workers=0, shard=shard) as data, warnings.catch_warnings():
            warnings.simplefilter("error")
            made(data)


def test_a_launcher_that_says_nonsense_is_heeded_only_where_it_is_asked(monkeypatch):
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with KerasDataset(Numbers(), workers=0) as data:
        made(data)


def on_two(backend, directory, **environment):
    """What each of two processes says and trains on."""
    address = f"127.0.0.1:{free_port()}"
    alone = {
        name: value for name, value in os.environ.items() if name not in {"RANK", "WORLD_SIZE"}
    }
    devices = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    everywhere = alone | devices | {"KERAS_BACKEND": backend}
    return run_by_two(
        PROGRAM,
        directory,
        lambda rank: [backend, str(rank), address],
        lambda rank: everywhere | {name: of(rank) for name, of in environment.items()},
    )


@pytest.mark.slow
def test_data_parallel_keras_on_two_processes_is_told_and_each_trains_on_its_part(tmp_path):
    pytest.importorskip("jax", reason="Keras runs on several processes with jax")
    for told in on_two("jax", tmp_path):
        by_keras = told["sharded by keras"]
        assert by_keras["error"]
        if hasattr(keras.distribution.DataParallel, "auto_shard_dataset"):
            assert "auto_shard_dataset = False" in by_keras["said"][0]
        else:
            assert "a later Keras" in by_keras["said"][0]
            continue
        assert len(by_keras["said"]) == 1

        [sentence] = told["whole"]["said"]
        assert 'Give the loader shard="auto"' in sentence
        # A batch of the model is made of one of each process.
        assert told["whole"]["rows"] == ["44444444"] * 2
        assert told["whole on purpose"]["said"] == []
        assert told["parts"] == {"said": [], "error": None, "rows": ["22222222"] * 2}


@pytest.mark.slow
def test_torch_on_two_processes_is_told_and_each_trains_on_its_part(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    told = on_two("torch", tmp_path)

    for each in told:
        [sentence] = each["whole"]["said"]
        assert 'Give the loader shard="auto"' in sentence
        assert each["whole"]["rows"] == ["22222222"] * 2
        assert each["parts"]["said"] == []
    assert [each["parts"]["rows"] for each in told] == [["2020202"] * 2, ["20202020"] * 2]
    # A Keras model in DistributedDataParallel, in a loop of one's own.
    assert [each["loop"]["given"] for each in told] == [[0, 2, 4, 6] * 2, [1, 3, 5, 7] * 2]
    assert told[0]["loop"]["weights"] == told[1]["loop"]["weights"]


@pytest.mark.slow
def test_keras_cannot_train_under_a_strategy_of_several_tensorflow_processes(tmp_path):
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    workers = [f"127.0.0.1:{free_port()}" for _ in range(2)]

    def place_of(rank):
        task = {"type": "worker", "index": rank}
        return json.dumps({"cluster": {"worker": workers}, "task": task})

    for told in on_two("tensorflow", tmp_path, TF_CONFIG=place_of):
        assert "PerReplica" in told["arrays"]  # Keras' own
        assert "PerReplica" in told["dataset"]


# --- Keras 2 --------------------------------------------------------------------------------


def test_tf_keras_is_refused_where_it_looks_for_a_data_adapter():
    # As its adapters look, each time that one of them is asked whether it can handle the data.
    asks = types.ModuleType("tf_keras.src.engine.data_adapter")
    exec("def is_array_like(v):\n    return hasattr(v, 'shape')", asks.__dict__)
    with KerasDataset(Plain(), workers=0) as data:
        with pytest.raises(TypeError, match=r"is Keras 2.*fit\(KerasDataset\(sequence, workers=4"):
            asks.is_array_like(data)
        assert not hasattr(data, "shape")  # to anybody else
        with pytest.raises(AttributeError, match="'KerasDataset' object has no attribute 'shape'"):
            data.shape  # noqa: B018


TRAIN_WITH_KERAS_2 = """
import tf_keras
from keras_batches import Plain
from seqloader.adapters.keras import KerasDataset

model = tf_keras.Sequential([tf_keras.layers.Dense(1)])
model.compile("sgd", "mse")
with KerasDataset(Plain(), workers=0) as data:
    for call, options in ((model.fit, {}), (model.fit, {"workers": 2}), (model.predict, {})):
        try:
            call(data, verbose=0, **options)
        except TypeError as error:
            print(error)
"""


@pytest.mark.slow
def test_the_real_tf_keras_is_refused_in_fit_and_in_fit_with_workers():
    pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    done = subprocess.run(
        [sys.executable, "-c", TRAIN_WITH_KERAS_2],
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )

    said = done.stdout.splitlines()
    assert len(said) == 3
    assert all("make the model with that" in each for each in said)
