"""`ArraySequence`: rows of a nest of arrays, gathered once and to where they are delivered from."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from samples_for_tests import Point

from seqloader import ArraySequence, ResumeError, arrays
from seqloader.samples import rows
from seqloader.samples.rows import take_rows

IMAGES = np.arange(20 * 3 * 4, dtype=np.float32).reshape(20, 3, 4)
LABELS = np.arange(20)


@dataclass
class Both:
    image: Any
    label: Any


class Holding:
    """Memory as a worker has it, which counts what was taken."""

    def __init__(self) -> None:
        self.taken: list[bytearray] = []

    def hold(self, nbytes: int) -> Any:
        self.taken.append(bytearray(nbytes))
        return self.taken[-1]


@pytest.fixture
def memory() -> Iterator[Holding]:
    holding = Holding()
    arrays.install(holding)
    yield holding
    arrays.install(None)


# Batches


@pytest.mark.parametrize(
    ("nest", "leaves"),
    [
        (LABELS, lambda batch: [batch]),
        ((IMAGES, LABELS), list),
        ([IMAGES, LABELS], list),
        ({"image": IMAGES, "label": LABELS}, lambda batch: [batch["image"], batch["label"]]),
        (Point(IMAGES, LABELS), lambda batch: [batch.x, batch.y]),
        (Both(IMAGES, LABELS), lambda batch: [batch.image, batch.label]),
        ({"deep": [(IMAGES,), LABELS]}, lambda batch: [batch["deep"][0][0], batch["deep"][1]]),
    ],
)
@pytest.mark.parametrize(
    "order", [{}, {"shuffle": True}, {"shuffle": "blocks", "block_length": 3}], ids=str
)
def test_batch_is_the_same_nest_with_rows_that_belong_together(
    nest: Any, leaves: Any, order: Any
) -> None:
    sequence = ArraySequence(nest, 8, seed=0, **order)
    met = []

    for batch in sequence:
        assert type(batch) is (np.ndarray if isinstance(nest, np.ndarray) else type(nest))
        *images, labels = leaves(batch)
        for image in images:
            assert image.dtype == np.float32
            assert np.array_equal(image, IMAGES[labels])
        met += labels.tolist()

    assert sorted(met) == [*range(20)]
    assert (met == [*range(20)]) == (not order)


def test_last_batch_is_smaller_or_left_out() -> None:
    assert [len(batch) for batch in ArraySequence(LABELS, 8)] == [8, 8, 4]
    assert [len(batch) for batch in ArraySequence(LABELS, 8, drop_remainder=True)] == [8, 8]


@pytest.mark.parametrize("shuffle", [False, True])
def test_batch_is_a_copy(shuffle: bool) -> None:
    held = LABELS.copy()
    ArraySequence(held, 20, shuffle=shuffle)[0][:] = -1

    assert held.tolist() == LABELS.tolist()


def test_length_counts_rows_and_passes_differ() -> None:
    sequence = ArraySequence((IMAGES, LABELS), 20, shuffle=True)

    orders = [batch[1].tolist() for _ in range(2) for batch in sequence]

    assert len(sequence) == 1
    assert orders[0] != orders[1]


# Copies


@pytest.mark.parametrize(
    "order", [{}, {"shuffle": True}, {"shuffle": "blocks", "block_length": 64}], ids=str
)
def test_rows_are_written_once_and_where_they_are_delivered_from(
    memory: Holding, order: Any
) -> None:
    images = np.arange(500 * 400, dtype=np.float32).reshape(500, 400)

    batch = ArraySequence({"image": images}, 100, seed=0, **order)[1]

    [taken] = memory.taken
    assert len(taken) == 100 * 400 * 4
    assert np.shares_memory(batch["image"], np.frombuffer(taken, np.uint8))


def test_numpy_gathers_straight_into_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def take(*args: Any, **options: Any) -> Any:
        taken.append(options)
        return original(*args, **options)

    original = np.take
    monkeypatch.setattr(rows.np, "take", take)
    batch = ArraySequence(IMAGES, 5, shuffle=True)[0]

    [options] = taken
    assert options["out"] is batch
    assert options["mode"] == "clip"  # "raise" gathers into an array of its own first


@pytest.mark.parametrize(
    "array",
    [IMAGES.T.reshape(4, -1).T, IMAGES.astype(">f4"), IMAGES[:, ::-1], IMAGES[::2]],
    ids=["transposed", "swapped", "reversed", "strided"],
)
def test_array_that_numpy_would_copy_whole_is_not_given_to_take(
    array: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows.np, "take", None)
    indices = np.array([3, 0, 3])

    assert np.array_equal(take_rows(array, indices, np.empty), array[indices])


def test_array_that_has_shrunk_is_noticed_and_not_clipped() -> None:
    nest = [np.arange(10), np.arange(10)]
    sequence = ArraySequence(nest, 5, shuffle=True)

    sequence.arrays[1] = np.arange(4)

    with pytest.raises(ValueError, match=r"arrays\[1\] has 4 rows now, and had 10"):
        sequence[0]


def test_other_arrays_may_be_set_between_epochs() -> None:
    sequence = ArraySequence(np.arange(4), 2)

    sequence.arrays = np.arange(10, 16)

    assert [batch.tolist() for batch in sequence] == [[10, 11], [12, 13], [14, 15]]
    with pytest.raises(TypeError, match="arrays is str"):
        sequence.arrays = "abc"


# State and arguments


def test_state_survives_pickling_and_is_checked() -> None:
    sequence = ArraySequence((IMAGES, LABELS), 8, shuffle=True, seed=4)
    travelled = pickle.loads(pickle.dumps(sequence))

    travelled.load_state_dict(sequence.state_dict())

    assert travelled[1][1].tolist() == sequence[1][1].tolist()
    with pytest.raises(ResumeError, match="does not fit this ArraySequence") as caught:
        ArraySequence(LABELS[:-1], 8, shuffle=True, seed=5).load_state_dict(sequence.state_dict())
    assert caught.value.differences == (
        "samples is 19, and was 20 when it was saved",
        "seed is 5, and was 4 when it was saved",
    )


class Frame:
    def to_numpy(self) -> Any:
        return LABELS


@pytest.mark.parametrize(
    ("nest", "error", "said"),
    [
        (
            {"image": IMAGES, "label": LABELS[:-1]},
            ValueError,
            r'as many rows: arrays\["image"\] has 20, arrays\["label"\] has 19',
        ),
        ((LABELS, [1, 2]), TypeError, r"arrays\[1\]\[0\] is int, not an array: pass numpy.asarray"),
        ((LABELS, np.array(1)), TypeError, r"arrays\[1\] is an array without dimensions"),
        ((LABELS, "x"), TypeError, r"arrays\[1\] is str, not an array"),
        ((Frame(),), TypeError, r"arrays\[0\] is Frame, not an array: pass frame.to_numpy\(\)"),
        (SimpleNamespace(chunks=()), TypeError, r"pass BatchedSequence\(function that opens it"),
        (np.ma.masked_array(LABELS), TypeError, "arrays: a masked array is two arrays"),
        ((), ValueError, "arrays holds no array"),
        ({"a": []}, ValueError, "arrays holds no array"),
    ],
)
def test_what_are_no_arrays_of_one_length_is_refused(
    nest: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        ArraySequence(nest, 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"shuffle": "blocks"}, "needs a block_length"),
        ({"seed": -1}, "seed must be an int >= 0"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ArraySequence(LABELS, **{"batch_size": 2, **arguments})


def test_a_length_beyond_the_rows_is_an_error_and_no_empty_batch():
    class Longer(ArraySequence):
        def __len__(self):
            return super().__len__() + 1

    longer = Longer(np.arange(4), 2)

    with pytest.raises(IndexError, match="batch 2 would begin at sample 4, and there are 4"):
        longer[2]
