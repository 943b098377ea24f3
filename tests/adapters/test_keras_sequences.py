"""Sequences that Keras' users have: their own `PyDataset`s, and Keras' image iterators."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="Keras 3 is not installed")
from seqloader.adapters.keras import KerasDataset  # noqa: E402

pytestmark = pytest.mark.limit(180)
SAMPLES = 24


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


def test_each_sample_of_flow_is_trained_on_once_an_epoch_by_spawned_workers(image):
    iterator = flow(image, shuffle=True, seed=3)
    with KerasDataset(iterator, workers=1, start_method="spawn") as data:
        history = sum_model().fit(data, epochs=2, verbose=0).history
        third = labels(data)

    assert history["sum"] == [SUM] * 2
    assert history["squares"] == [SQUARES] * 2
    assert sorted(third) == [*range(SAMPLES)]
    assert third != [*range(SAMPLES)]


def test_each_file_of_a_directory_is_delivered_once_an_epoch_by_spawned_workers(image, tmp_path):
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for number in range(10):
        folder = tmp_path / f"class{number % 2}"
        folder.mkdir(exist_ok=True)
        pillow.new("L", (4, 4), number).save(folder / f"{number}.png")
    iterator = image.ImageDataGenerator().flow_from_directory(
        tmp_path, target_size=(4, 4), color_mode="grayscale", batch_size=3
    )
    with KerasDataset(iterator, workers=1, start_method="spawn") as data:
        for _ in range(2):
            seen = [int(one[0, 0, 0]) for pictures, _ in data for one in pictures]
            assert sorted(seen) == [*range(10)]


class Pairs(keras.utils.PyDataset):
    """Pictures and masks from two iterators with one seed, as for segmentation."""

    def __init__(self, pictures, masks, **options):
        super().__init__(**options)
        self.pictures, self.masks = pictures, masks

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, index):
        return self.pictures[index][1], self.masks[index][1]

    def on_epoch_end(self):
        for iterator in (self.pictures, self.masks):
            np.random.seed(0)
            iterator.on_epoch_end()


def test_a_pydataset_that_holds_iterators_is_sent_to_workers(image):
    pairs = Pairs(flow(image, seed=5), flow(image, seed=5), workers=1, use_multiprocessing=True)
    with KerasDataset(pairs, start_method="spawn") as data:
        for _ in range(2):
            batches = [*data]
            assert all((one == other).all() for one, other in batches)
            assert sorted(int(i) for one, _ in batches for i in one) == [*range(SAMPLES)]


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
