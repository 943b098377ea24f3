"""Sequences that Keras' users have: their own `PyDataset`s, and Keras' image iterators."""

from __future__ import annotations

import importlib.util
import os
import pickle

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="Keras 3 is not installed")
from seqloader import OrderedEnqueuer  # noqa: E402
from seqloader.adapters.keras import KerasDataset  # noqa: E402

pytestmark = pytest.mark.limit(180)
SAMPLES, FILES = 24, 10
LIGHT = {"KERAS_BACKEND": "numpy"} if importlib.util.find_spec("jax") else {}
"""A backend that is imported in half the time, and needs jax."""


@pytest.fixture
def image():
    return pytest.importorskip("keras.src.legacy.preprocessing.image", reason="moved elsewhere")


def flow(image, **options):
    images = np.arange(SAMPLES, dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones((1, 4, 4, 1))
    generator = image.ImageDataGenerator(preprocessing_function=lambda picture: picture + 0)
    return generator.flow(images, np.arange(SAMPLES), batch_size=5, **options)


def labels(data):
    return [int(label) for _, batch in data for label in batch]


def sum_model():
    """The sum of its targets is in the metric."""

    class Total(keras.metrics.Metric):
        def __init__(self):
            super().__init__(name="total")
            self.total = self.add_weight(name="total", shape=(2,), initializer="zeros")

        def update_state(self, y_true, y_pred, sample_weight=None):
            y_true = keras.ops.cast(y_true, "float32")
            sums = [keras.ops.sum(y_true), keras.ops.sum(y_true**2)]
            self.total.assign_add(keras.ops.stack(sums))

        def result(self):
            return {"sum": self.total[0], "squares": self.total[1]}

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=[Total()])
    return model


SUM, SQUARES = sum(range(SAMPLES)), sum(number**2 for number in range(SAMPLES))


def test_each_sample_of_flow_is_trained_on_once_an_epoch(image):
    iterator = flow(image, shuffle=True, seed=3)
    with KerasDataset(iterator, workers=2, start_method="fork") as data:
        history = sum_model().fit(data, epochs=2, verbose=0).history
        third = labels(data)

    assert history["sum"] == [SUM] * 2
    assert history["squares"] == [SQUARES] * 2
    assert sorted(third) == [*range(SAMPLES)]
    assert third != [*range(SAMPLES)]


# --- spawned workers, which import Keras: that takes long, so all is sent to one ------------------


@pytest.fixture
def folder(tmp_path):
    """FILES pictures of two classes; the pixels of number i are i."""
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for number in range(FILES):
        folder = tmp_path / f"class{number % 2}"
        folder.mkdir(exist_ok=True)
        pillow.new("L", (4, 4), number).save(folder / f"{number}.png")
    return tmp_path


def flow_from(image, folder, **options):
    return image.ImageDataGenerator().flow_from_directory(
        folder, target_size=(4, 4), color_mode="grayscale", batch_size=2, **options
    )


class Trio(keras.utils.PyDataset):
    """Pictures and masks from two iterators with one seed, as for segmentation, and files."""

    def __init__(self, pictures, masks, files, **options):
        super().__init__(**options)
        self.pictures, self.masks, self.files = pictures, masks, files

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, index):
        return self.pictures[index][1], self.masks[index][1], self.files[index][0], os.getpid()

    def on_epoch_end(self):
        for iterator in (self.pictures, self.masks):
            np.random.seed(0)
            iterator.on_epoch_end()
        self.files.on_epoch_end()


def test_each_sample_of_iterators_in_a_pydataset_is_delivered_once_an_epoch_by_spawned_workers(
    image, folder
):
    iterators = flow(image, seed=5), flow(image, seed=5), flow_from(image, folder)
    trio = Trio(*iterators, workers=1, use_multiprocessing=True)
    with KerasDataset(trio, start_method="spawn", worker_env=LIGHT) as data:
        for _ in range(2):
            batches = [*data]
            pictures, masks, files, workers = zip(*batches, strict=True)
            assert all((one == other).all() for one, other in zip(pictures, masks, strict=True))
            assert sorted(int(i) for one in pictures for i in one) == [*range(SAMPLES)]
            assert sorted(pixels(files)) == [*range(FILES)]
            assert os.getpid() not in workers


# --- iterators in an enqueuer, without a dataset --------------------------------------------------


def pixels(batches):
    return [int(picture[0, 0, 0]) for pictures in batches for picture in pictures]


def test_each_sample_of_flow_comes_once_an_epoch_from_workers_of_an_enqueuer(image):
    with OrderedEnqueuer(flow(image, shuffle=True), workers=2, start_method="fork") as enqueuer:
        epochs = [labels(enqueuer) for _ in range(3)]

    assert [sorted(epoch) for epoch in epochs] == [[*range(SAMPLES)]] * 3
    assert epochs[0] != epochs[1] != epochs[2]


def test_each_file_of_a_directory_comes_once_an_epoch_from_workers_of_an_enqueuer(image, folder):
    files = flow_from(image, folder, shuffle=True)
    with OrderedEnqueuer(files, workers=2, start_method="fork") as enqueuer:
        epochs = [pixels(pictures for pictures, _ in enqueuer) for _ in range(3)]

    assert [sorted(epoch) for epoch in epochs] == [[*range(FILES)]] * 3
    assert epochs[0] != epochs[1] != epochs[2]


def test_an_enqueuer_that_cannot_send_an_iterator_says_what_is_in_the_way_and_what_to_do(image):
    enqueuer = OrderedEnqueuer(flow(image), workers=1)
    with pytest.raises(
        TypeError, match=r"sequence\.lock.* cannot be pickled.* start_method='fork'"
    ):
        enqueuer.start()


def test_an_iterator_goes_on_here_as_it_was(image):
    iterator, untouched = flow(image, shuffle=False), flow(image, shuffle=False)
    next(iterator), next(untouched)
    KerasDataset(iterator, workers=0)

    for _ in range(7):
        assert (next(iterator)[1] == next(untouched)[1]).all()
    iterator.image_data_generator.preprocessing_function = None
    copied = pickle.loads(pickle.dumps(iterator))
    assert next(copied)[1].tolist() == [0, 1, 2, 3, 4]
    assert copied.lock is not iterator.lock
