"""Generators and orders of libraries that people augment with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import INLINE, PROCESSES, THREADS, batches_of, epochs

from seqloader import OrderedEnqueuer, Sequence

# Importing these libraries takes half a minute where it is busy.
pytestmark = pytest.mark.limit(180)

TWO = [PROCESSES["2"], PROCESSES["fork"]]
ITERATOR_WAYS = {"inline": INLINE, "fork": PROCESSES["fork"], "thread": THREADS}


class Transformed(Sequence):
    """Twelve batches that differ by what a transform draws, and by nothing else."""

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        return self.transform(np.full((8, 8, 3), 127, np.uint8))


# --- albumentations -------------------------------------------------------------------------------


class Albumented(Transformed):
    def __init__(self) -> None:
        albumentations: Any = pytest.importorskip(
            "albumentations", reason="albumentations is not installed"
        )
        one_of = albumentations.OneOf(
            [albumentations.GaussNoise(p=1.0), albumentations.MultiplicativeNoise(p=1.0)], p=0.5
        )
        noise = albumentations.GaussNoise(std_range=(0.2, 0.9), p=1.0)
        super().__init__(albumentations.Compose([one_of, noise], seed=0))

    def __getitem__(self, index: int) -> bytes:
        image = np.full((8, 8, 3), 127, np.uint8)
        return bytes(self.transform(image=image)["image"].tobytes())


@pytest.mark.parametrize("options", TWO, ids=str)
@pytest.mark.parametrize("seed", [None, 0])
def test_no_batch_of_albumentations_comes_twice(seed: int | None, options: dict[str, Any]) -> None:
    batches = batches_of(Albumented(), 4, seed=seed, **options)

    assert len(set(batches)) == 48


@pytest.mark.parametrize("options", [*TWO, THREADS], ids=str)
def test_albumentations_is_under_the_seed(options: dict[str, Any]) -> None:
    assert epochs(Albumented(), 4, seed=0, **options) == epochs(Albumented(), 4, seed=0, workers=0)


# --- torch ----------------------------------------------------------------------------------------


class TorchNoise(Transformed):
    """As torchvision's transforms with a generator argument are written."""

    def __init__(self) -> None:
        self.torch: Any = pytest.importorskip("torch", reason="torch is not installed")
        super().__init__([self.torch.Generator().manual_seed(0) for _ in range(2)])
        del self.torch

    def __getitem__(self, index: int) -> list[float]:
        import torch

        return [torch.rand((), generator=generator).item() for generator in self.transform]


@pytest.mark.parametrize("options", [*TWO, THREADS], ids=str)
def test_generators_of_torch_are_under_the_seed(options: dict[str, Any]) -> None:
    expected = epochs(TorchNoise(), 4, seed=0, workers=0)

    assert len({number for epoch in expected for batch in epoch for number in batch}) == 96
    assert epochs(TorchNoise(), 4, seed=0, **options) == expected


class Permuted(Sequence):
    """Its order is drawn by torch when an epoch ends."""

    def __init__(self) -> None:
        self.order = list(range(12))

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> list[int]:
        return self.order[2 * index : 2 * index + 2]

    def on_epoch_end(self) -> None:
        import torch

        self.order = torch.randperm(12).tolist()


def test_hooks_that_draw_by_torch_are_replayed() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    with OrderedEnqueuer(Permuted(), workers=0, seed=1) as whole:
        earlier = [list(whole) for _ in range(2)]
        batches = iter(whole)
        next(batches)
        state = whole.state_dict()
        expected = [*batches, *whole]
    resumed = OrderedEnqueuer(Permuted(), workers=0)

    resumed.load_state_dict(state, replay_hooks=True)

    with resumed:
        assert [batch for _ in range(2) for batch in resumed] == expected
    assert earlier[0] != earlier[1]


# --- Keras' image iterators -----------------------------------------------------------------------

SAMPLES = 96


@pytest.fixture
def generator_of_images(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("torch", reason="torch, which Keras computes with here, is not installed")
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "torch")
    image: Any = pytest.importorskip(
        "keras.src.legacy.preprocessing.image", reason="Keras 3 is not installed"
    )
    return image.ImageDataGenerator


def flow(generator_of_images: Any, **options: Any) -> Any:
    images = np.arange(SAMPLES, dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones((1, 4, 4, 1))
    return generator_of_images().flow(images, np.arange(SAMPLES), batch_size=8, **options)


def samples(batches: list[Any]) -> list[int]:
    return [int(label) for batch in batches for label in batch[1]]


@pytest.mark.parametrize("own_seed", [None, 5])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("way", ITERATOR_WAYS)
def test_each_sample_of_flow_comes_once_an_epoch(
    way: str, shuffle: bool, own_seed: int | None, generator_of_images: Any
) -> None:
    iterator = flow(generator_of_images, shuffle=shuffle, seed=own_seed)

    orders = [samples(batches) for batches in epochs(iterator, 3, **ITERATOR_WAYS[way])]

    assert [sorted(order) for order in orders] == [list(range(SAMPLES))] * 3
    assert (orders[0] != orders[1]) == shuffle


@pytest.mark.parametrize("way", ["fork", "thread"])
def test_the_order_of_flow_is_under_the_seed(way: str, generator_of_images: Any) -> None:
    orders = [
        [samples(batches) for batches in epochs(flow(generator_of_images), 3, seed=1, **options)]
        for options in (ITERATOR_WAYS["inline"], ITERATOR_WAYS[way])
    ]

    assert orders[0] == orders[1]


@pytest.mark.parametrize("way", ITERATOR_WAYS)
def test_images_and_masks_with_one_seed_agree(way: str, generator_of_images: Any) -> None:
    images, masks = (
        [samples(batches) for batches in epochs(iterator, 3, **ITERATOR_WAYS[way])]
        for iterator in (flow(generator_of_images, seed=5), flow(generator_of_images, seed=5))
    )

    assert images == masks


def test_augmentations_of_an_iterator_with_a_seed_do_not_repeat(generator_of_images: Any) -> None:
    class Drawing(generator_of_images):  # type: ignore[misc]
        def apply_transform(self, x: Any, transform_parameters: Any) -> Any:
            return x * 0 + np.random.random()

    images = np.ones((SAMPLES, 2, 2, 1), np.float64)
    drawn = [
        [float(batch[0, 0, 0, 0]) for each in epochs(iterator, 2, **options) for batch in each]
        for options in (ITERATOR_WAYS["fork"], ITERATOR_WAYS["inline"])
        for iterator in [Drawing().flow(images, batch_size=8, shuffle=False, seed=5)]
    ]

    assert len(set(drawn[0])) == 24
    assert drawn[0] == drawn[1]


def test_each_file_of_a_directory_comes_once_an_epoch(
    generator_of_images: Any, tmp_path: Path
) -> None:
    image: Any = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for number in range(40):
        folder = tmp_path / f"class{number % 2}"
        folder.mkdir(exist_ok=True)
        image.new("L", (4, 4), number).save(folder / f"{number}.png")
    iterator = generator_of_images().flow_from_directory(
        tmp_path, target_size=(4, 4), color_mode="grayscale", batch_size=4, shuffle=True
    )

    for batches in epochs(iterator, 2, **ITERATOR_WAYS["fork"]):
        seen = sorted(int(one[0, 0, 0]) for images, _ in batches for one in images)
        assert seen == list(range(40))


def test_by_spawn_an_iterator_is_refused_and_what_is_advised_works(
    generator_of_images: Any,
) -> None:
    iterator = flow(generator_of_images)

    with pytest.raises(TypeError, match=r"sequence\.lock, a _thread\.lock, .*start_method='fork'"):
        epochs(iterator, workers=1)

    assert sorted(samples(epochs(iterator, 1, workers=2, start_method="fork")[0])) == list(
        range(SAMPLES)
    )
