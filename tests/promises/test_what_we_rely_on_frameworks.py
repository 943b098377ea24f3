"""What we rely on of frameworks (docs/architecture/beyond-promises.md): the behaviour alone."""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from multiprocessing import reduction
from typing import Any

import numpy as np
import pytest


def test_torch_has_ways_to_pickle_memory_that_is_shared():
    torch = pytest.importorskip("torch")
    importlib.import_module("torch.multiprocessing")
    reducers: Any = reduction.ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    typed = torch.zeros(2)._typed_storage()

    assert reducers[type(typed)].__name__ == "reduce_typed_storage"
    assert reducers[type(typed._untyped_storage)].__name__ == "reduce_storage"
    assert not typed._untyped_storage.is_shared()


@pytest.mark.torch
def test_arrays_of_torch_have_that_type():
    torch = pytest.importorskip("torch")

    assert type(torch.zeros(1)).__name__ == "Tensor"


def test_arrays_of_jax_have_that_type():
    numpy = pytest.importorskip("jax.numpy")

    assert type(numpy.zeros(1)).__name__ == "ArrayImpl"


def test_arrays_of_tensorflow_have_that_type():
    tensorflow = pytest.importorskip("tensorflow")

    assert type(tensorflow.zeros(1)).__name__ == "EagerTensor"


@pytest.mark.torch
def test_a_typed_storage_of_torch_has_an_untyped_one():
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        typed = torch.zeros(1).storage()

    assert not typed._untyped_storage.is_shared()


def test_image_iterators_of_keras_draw_their_order_by_that_method():
    image = pytest.importorskip("keras.src.legacy.preprocessing.image", exc_type=ImportError)
    pictures = np.zeros((6, 2, 2, 3), "f4")
    iterator = image.ImageDataGenerator().flow(pictures, batch_size=2, shuffle=True)
    assert iterator.index_array is None

    iterator._set_index_array()

    assert sorted(iterator.index_array) == list(range(6))


def test_image_iterators_of_keras_make_their_indices_by_that_method():
    image = pytest.importorskip("keras.src.legacy.preprocessing.image", exc_type=ImportError)
    iterator = image.ImageDataGenerator().flow(
        np.zeros((6, 2, 2, 3), "f4"), batch_size=2, shuffle=False
    )
    next(iterator.index_generator)

    iterator.index_generator = iterator._flow_index()

    assert [list(next(iterator.index_generator)) for _ in range(2)] == [[0, 1], [2, 3]]


def test_the_epoch_that_fit_of_keras_begins_with_is_set_so():
    keras = pytest.importorskip("keras", reason="Keras 3 is not installed")
    epochs = []

    class Begins(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model._initial_epoch = 2

        def on_epoch_begin(self, epoch, logs=None):
            epochs.append(epoch)

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.zeros((2, 1)), np.zeros((2, 1)), epochs=4, callbacks=[Begins()], verbose=0)

    assert epochs == [2, 3]


def test_tf_keras_asks_for_the_shape_of_its_data():
    tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    asked = []

    class Data:
        def __getitem__(self, index):
            raise AssertionError("it is asked for no batch")

        def __getattr__(self, name):
            asked.append((name, sys._getframe(1).f_globals["__name__"].partition(".")[0]))
            raise AttributeError(name)

    model = tf_keras.Sequential([tf_keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="data adapter"):
        model.fit(Data())

    assert ("shape", "tf_keras") in asked


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")  # of Lightning's own
def test_the_loops_of_lightning_count_batches_so(tmp_path):
    torch = pytest.importorskip("torch")
    pl = pytest.importorskip("lightning.pytorch")
    counted = []

    class Counts(pl.Callback):
        def on_train_batch_start(self, trainer, *_):
            self.note(trainer)

        def on_train_batch_end(self, trainer, *_):
            self.note(trainer)

        def note(self, trainer):
            loop = trainer.fit_loop
            batches = loop.epoch_loop.batch_progress
            epochs = loop.epoch_progress.current
            place = (loop._data_fetcher.fetched, batches.current.ready, batches.current.processed)
            counted.append((*place, batches.is_last_batch, epochs.started - epochs.processed))
            assert not loop.epoch_loop.restarting
            assert not loop.restarted_on_epoch_end

    class Module(pl.LightningModule):
        def training_step(self, batch, _):
            return None

        def configure_optimizers(self):
            return None

    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[Counts()],
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), torch.utils.data.DataLoader([torch.zeros(1)] * 2))

    first, second = (
        [(1, 1, 0, False, 1), (1, 1, 1, False, 1)],
        [(2, 2, 1, True, 1), (2, 2, 2, True, 1)],
    )
    assert counted == first + second


@pytest.mark.torch
def test_accelerate_asks_the_loader_that_it_names_last():
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
    from accelerate.state import AcceleratorState, GradientState, is_initialized

    class Loader:
        end_of_dataloader = False
        remainder = 3

    loader = Loader()
    assert not is_initialized()
    try:
        accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=4)
        assert is_initialized()
        state = GradientState()
        assert state.dataloader_references == [None]
        state.dataloader_references = [None, loader]
        assert (state.in_dataloader, state.end_of_dataloader, state.remainder) == (True, False, 3)

        model = torch_model()
        for loader.end_of_dataloader in (False, True):
            with accelerator.accumulate(model):
                assert accelerator.sync_gradients is loader.end_of_dataloader
        assert accelerator.gather_for_metrics(model.weight).shape == (3, 1)

        del loader
        assert state.dataloader_references == [None, None]
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()


def torch_model():
    import torch

    return torch.nn.Linear(1, 5)


@pytest.mark.torch
def test_torch_has_the_calls_that_page_lock_memory():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if not torch.backends.cuda.is_built():
        pytest.skip("this torch was built without CUDA")
    calls = torch.cuda._cudart  # what `cudart()` returns where there is a device

    assert calls.cudaGetErrorString(calls.cudaError.success) == "no error"
    assert int(calls.cudaError.success) == 0
    if not torch.cuda.is_available():  # and they answer with an error that has words
        status = calls.cudaHostRegister(4096, 4096, 1)
        assert status != calls.cudaError.success
        assert int(status) > 0
        assert calls.cudaGetErrorString(status)
        assert calls.cudaHostUnregister(4096) != calls.cudaError.success


def test_a_trainer_is_told_by_that_method_where_it_begins():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("torch", reason="torch is not installed")

    method = transformers.Trainer._init_training_state

    assert [*inspect.signature(method).parameters] == [
        "self", "max_steps", "num_update_steps_per_epoch", "num_train_epochs",
        "resume_from_checkpoint", "trial",
    ]  # fmt: skip
    assert inspect.signature(method).return_annotation in ("tuple[int, int]", tuple[int, int])
