from __future__ import annotations

import pickle

import numpy as np

from seqloader.command.demo.crops import cut_crops
from seqloader.command.demo.photographs import photographs_in
from seqloader.command.demo.pictures import PictureSequence


def test_batches_are_pictures_and_labels_and_the_last_is_short(tmp_path):
    crops = cut_crops(photographs_in(None), tmp_path, count=5)
    sequence = PictureSequence(crops.paths, crops.labels, batch_size=3)

    batches = [sequence[i] for i in range(len(sequence))]

    assert [images.shape for images, _ in batches] == [(3, 200, 200, 3), (2, 200, 200, 3)]
    assert np.concatenate([labels for _, labels in batches]).tolist() == crops.labels
    assert all(0 <= images.min() < images.max() <= 1 for images, _ in batches)


def test_the_end_of_an_epoch_shuffles_pictures_and_labels_together():
    paths = [f"{label}.jpg" for label in range(50)]
    sequence = PictureSequence(paths, list(range(50)), batch_size=8)

    sequence.on_epoch_end()

    assert sequence.x != paths
    assert sequence.x == [f"{label}.jpg" for label in sequence.y]
    assert sorted(sequence.y) == list(range(50))


def test_each_order_follows_from_the_one_before():
    def fresh() -> PictureSequence:
        return PictureSequence([""] * 50, list(range(50)), batch_size=8)

    twice, travelled = fresh(), fresh()
    twice.on_epoch_end()
    travelled.on_epoch_end()
    after_one_epoch = list(twice.y)
    travelled = pickle.loads(pickle.dumps(travelled))
    twice.on_epoch_end()
    travelled.on_epoch_end()

    assert twice.y == travelled.y != after_one_epoch
