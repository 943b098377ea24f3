"""What may stand in for a Sequence, through a real enqueuer."""

from __future__ import annotations

import copy
import importlib.util
import os
import pickle

import numpy as np
import pytest
from sequences_for_tests import LikePyDataset, Numbers

from seqloader import OrderedEnqueuer, Sequence

ARRAYS = [np.arange(3) * k for k in range(5)]


@pytest.mark.parametrize(
    "sequence",
    [ARRAYS, tuple(ARRAYS), np.stack(ARRAYS), range(5)],
    ids=["list", "tuple", "array", "range"],
)
def test_what_python_and_numpy_number_is_a_sequence_of_batches(make, sequence):
    enqueuer = make(sequence)

    for _ in range(2):
        batches = list(enqueuer)
        assert len(batches) == len(enqueuer) == 5
        assert all(np.array_equal(one, two) for one, two in zip(batches, sequence, strict=True))


def test_changes_of_a_list_are_seen_after_refresh(make):
    sequence = [1, 2, 3]
    enqueuer = make(sequence)
    assert list(enqueuer) == [1, 2, 3]

    sequence[:] = [7, 8, 9, 10]
    enqueuer.refresh()

    assert list(enqueuer) == [7, 8, 9, 10]


def test_arguments_that_a_pydataset_carries_are_ignored(make, executor):
    enqueuer = make(LikePyDataset(), max_queue_size=3, workers=2)

    epochs = [list(enqueuer), list(enqueuer)]

    for epoch, batches in enumerate(epochs):
        assert [batch[:3] for batch in batches] == [(i, epoch + 1, epoch) for i in range(5)]
    pids = {pid for batches in epochs for *_, pid in batches}
    assert (os.getpid() in pids) == (executor in ("inline", "thread"))
    assert enqueuer.max_queue_size == 3


def test_a_pydataset_is_run_by_processes_by_default(make_any, children):
    enqueuer = make_any(LikePyDataset())

    enqueuer.start()

    assert len(children()) == enqueuer.workers == 2


@pytest.mark.limit(180)
def test_a_pydataset_of_keras(make, monkeypatch):
    backends = [name for name in ("torch", "jax", "tensorflow") if importlib.util.find_spec(name)]
    if not backends or not importlib.util.find_spec("keras"):
        pytest.skip("needs keras, and torch, jax or tensorflow under it")
    monkeypatch.setenv("KERAS_BACKEND", backends[0])
    keras = pytest.importorskip("keras")

    class Dataset(keras.utils.PyDataset):
        def __init__(self):
            super().__init__(workers=1, use_multiprocessing=False, max_queue_size=10)
            self.value = 1

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return np.full(2, index * self.value)

        def on_epoch_end(self):
            self.value *= 5

    enqueuer = make(Dataset())

    assert [int(batch[0]) for batch in enqueuer] == [0, 1, 2, 3]
    assert [int(batch[0]) for batch in enqueuer] == [0, 5, 10, 15]


@pytest.mark.torch
@pytest.mark.limit(180)
def test_a_map_style_dataset_of_torch_yields_its_samples_as_they_are(make):
    torch = pytest.importorskip("torch")
    data = pytest.importorskip("torch.utils.data")
    dataset = data.TensorDataset(torch.arange(12.0).reshape(6, 2), torch.arange(6))

    samples = list(make(dataset))

    assert len(samples) == 6
    assert all(isinstance(sample, tuple) for sample in samples)
    for (x, y), (image, label) in zip(samples, dataset, strict=True):
        assert torch.equal(x, image) and torch.equal(y, label)


@pytest.mark.limit(180)
def test_the_example_of_the_classic_documentation(make, tmp_path):
    io = pytest.importorskip("skimage.io")
    from classic_example import CIFAR10Sequence

    files = []
    for number in range(5):
        files.append(str(tmp_path / f"{number}.png"))
        io.imsave(files[-1], np.full((8, 8, 3), 50 * number, np.uint8), check_contrast=False)
    enqueuer = make(CIFAR10Sequence(files, list(range(5)), batch_size=2))

    for _ in range(2):
        images, labels = zip(*enqueuer, strict=True)
        assert [batch.shape for batch in images] == [(2, 200, 200, 3)] * 2 + [(1, 200, 200, 3)]
        assert np.concatenate(labels).tolist() == [0, 1, 2, 3, 4]
        found = np.concatenate(images)[:, 100, 100, 0] * 255
        assert np.allclose(found, [0, 50, 100, 150, 200])


def test_a_class_and_a_lambda_of_the_moment(make):
    def local(scale):
        class Local(Numbers):
            def __getitem__(self, index):
                return self.call(index)

        sequence = Local(length=4)
        sequence.call = lambda index: scale * index
        return sequence

    assert list(make(local(3))) == [0, 3, 6, 9]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_enqueuer_cannot_be_copied_and_says_what_to_do(copied):
    with pytest.raises(TypeError, match=r"an enqueuer cannot be copied.*Make another one"):
        copied(OrderedEnqueuer(range(3), workers=0))


def test_enqueuer_inside_a_sequence_is_named():
    class Nested(Sequence):
        def __init__(self):
            self.inner = OrderedEnqueuer(range(3), workers=0)

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return next(self.inner.get())

    with pytest.raises(TypeError, match=r"sequence\.inner, a seqloader\.enqueuer.OrderedEnqueuer"):
        OrderedEnqueuer(Nested(), workers=1).start()
