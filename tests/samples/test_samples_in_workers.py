"""Batches of samples through the enqueuer: the same from every executor, and with any workers."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import pytest
from samples_for_tests import Hooked, Numbers, Pictures, Unpicklable, noisy, with_pid

from seqloader import (
    ArraySequence,
    BatchedSequence,
    OrderedEnqueuer,
    ResumeError,
    WeightedMix,
    batch_context,
    share,
)

RUNS = [("inline", 0), ("thread", 3), ("process", 3)]


def sequences() -> dict[str, Any]:
    return {
        "samples": BatchedSequence(Numbers(50), 8, shuffle=True, transform=noisy),
        "blocks": BatchedSequence(np.arange(50), 8, shuffle="blocks", block_length=12),
        "arrays": ArraySequence((np.arange(50), np.arange(100).reshape(50, 2)), 8, shuffle=True),
        "mix of batches": WeightedMix(
            [
                BatchedSequence(Numbers(20), 4, shuffle=True, transform=noisy),
                BatchedSequence(range(100, 140), 4, shuffle=True, transform=noisy),
            ],
            [1, 2],
        ),
        "mix of samples": BatchedSequence(
            WeightedMix([range(20), range(100, 140)], [1, 2]), 8, shuffle=True, transform=noisy
        ),
    }


def plain(batch: Any) -> Any:
    """As lists, which can be compared."""
    return batch.tolist() if isinstance(batch, np.ndarray) else [plain(leaf) for leaf in batch]


def epochs_of(sequence: Any, count: int = 2, **options: Any) -> list[list[Any]]:
    with OrderedEnqueuer(sequence, **options) as enqueuer:
        return [[plain(batch) for batch in enqueuer] for _ in range(count)]


@pytest.mark.parametrize("name", sequences())
def test_batches_are_the_same_for_all_executors_and_workers(name: str) -> None:
    sequence = sequences()[name]

    first, *others = [
        epochs_of(sequence, executor=executor, workers=workers, seed=3)
        for executor, workers in RUNS
    ]

    assert all(other == first for other in others)
    assert first[0] != first[1]


@pytest.mark.parametrize("name", sequences())
def test_batches_are_those_of_a_plain_loop_with_the_same_seed(name: str) -> None:
    sequence = sequences()[name]
    sequence.seed = 3

    looped = [[plain(batch) for batch in sequence] for _ in range(2)]

    assert epochs_of(sequence, workers=0, seed=3) == looped


def test_order_needs_no_seed_of_ones_own() -> None:
    sequence = BatchedSequence(Numbers(50), 8, shuffle=True, collate=list)

    with OrderedEnqueuer(sequence, workers=2) as enqueuer:
        epochs = [[sample for batch in enqueuer for sample in batch] for _ in range(2)]

    assert [sorted(samples) for samples in epochs] == [[*range(50)]] * 2
    assert epochs[0] != epochs[1]


def test_transform_does_not_depend_on_batch_size_order_or_worker() -> None:
    def noise_of(batch_size: int, **options: Any) -> dict[int, float]:
        sequence = BatchedSequence(Numbers(60), batch_size, transform=noisy, **options)
        [batches] = epochs_of(sequence, 1, workers=2, seed=9)
        return {n: x for numbers, noise in batches for n, x in zip(numbers, noise, strict=True)}

    first = noise_of(4)

    assert len({*first.values()}) == 60
    assert noise_of(7, shuffle=True) == first
    assert noise_of(60, shuffle="blocks", block_length=9) == first


def test_workers_transform_in_their_own_processes() -> None:
    sequence = BatchedSequence(Numbers(12), 2, transform=with_pid)

    [batches] = epochs_of(sequence, 1, workers=1)

    pids = {pid for _, row in batches for pid in row}
    assert len(pids) == 1
    assert os.getpid() not in pids


@pytest.mark.parametrize("start_method", ["spawn", "fork"])
def test_source_that_cannot_be_pickled_is_opened_in_each_worker(start_method: str) -> None:
    sequence = BatchedSequence(lambda: Unpicklable(20), 2, collate=list)

    with OrderedEnqueuer(sequence, workers=2, start_method=start_method) as enqueuer:
        samples = [sample for batch in enqueuer for sample in batch]

    assert [sample for sample, _ in samples] == [*range(20)]
    assert sequence.source.pid not in {pid for _, pid in samples}


VALUES = np.arange(3000, dtype="f4").reshape(1000, 3)


def test_array_of_h5py_is_opened_and_read_in_workers(tmp_path: Any) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(tmp_path / "rows", "w") as file:
        file.create_dataset("rows", data=VALUES, chunks=(100, 3))

    sequence = check_all_rows(lambda: h5py.File(tmp_path / "rows")["rows"])

    sequence.source.file.close()


@pytest.mark.leaks_ok(reason="zarr keeps threads of its own")
def test_array_of_zarr_is_opened_and_read_in_workers(tmp_path: Any) -> None:
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    path = str(tmp_path / "rows")
    zarr.open(path, mode="w", shape=VALUES.shape, chunks=(100, 3), dtype="f4")[:] = VALUES

    check_all_rows(lambda: zarr.open(path, mode="r"))


def check_all_rows(open_rows: Any) -> BatchedSequence:
    sequence = BatchedSequence(open_rows, 64, shuffle="blocks", block_length=100, seed=1)
    with OrderedEnqueuer(sequence, workers=2) as enqueuer:
        delivered = np.concatenate([batch.copy() for batch in enqueuer])

    assert np.array_equal(delivered, VALUES[delivered[:, 0].astype(int) // 3])
    assert sorted(delivered[:, 0].tolist()) == VALUES[:, 0].tolist()
    return sequence


class Watched(ArraySequence):
    """Says whether its batch was built where it is delivered from."""

    def __getitem__(self, index: int, /) -> Any:
        batch = super().__getitem__(index)
        return batch, np.array([batch["image"].base is not None, batch["label"].base is None])


@pytest.mark.parametrize("shuffle", [False, True])
def test_large_arrays_of_a_batch_are_built_in_the_arena(shuffle: bool) -> None:
    nest = {"image": np.zeros((64, 100, 100), np.float32), "label": np.arange(64)}

    with OrderedEnqueuer(Watched(nest, 16, shuffle=shuffle), workers=1) as enqueuer:
        assert all(built.all() for _, built in enqueuer)


def test_stacked_samples_are_built_in_the_arena() -> None:
    def collate_large(samples: list[Any]) -> Any:
        from seqloader.samples.collate import stack_samples

        batch = stack_samples(samples, range(len(samples)))
        return np.array([batch["image"].base is not None, batch["label"].base is None])

    with OrderedEnqueuer(
        BatchedSequence(Pictures(128), 64, collate=collate_large), workers=1
    ) as enqueuer:
        assert all(built.all() for built in enqueuer)


def test_shared_arrays_are_sent_without_their_elements() -> None:
    rows = share(np.arange(2_000_000).reshape(-1, 2))
    sequence = ArraySequence(rows, 1000, shuffle=True)

    with OrderedEnqueuer(sequence, workers=2) as enqueuer:
        batches = iter(enqueuer)
        first = next(batches).copy()
        rows[:] = -1  # seen by workers: it is one memory
        *_, last = [batch.copy() for batch in batches]
        del batches

    assert (first[:, 1] == first[:, 0] + 1).all()
    assert (last == -1).all()


def test_plain_source_costs_nothing_between_epochs_and_a_hooked_one_is_sent_anew() -> None:
    class Growing(Hooked):
        def on_epoch_end(self) -> None:
            self.length += 2

    with OrderedEnqueuer(BatchedSequence(Growing(4), 2), workers=1) as enqueuer:
        assert [[batch.tolist() for batch in enqueuer] for _ in range(2)] == [
            [[0, 1], [2, 3]],
            [[0, 1], [2, 3], [4, 5]],
        ]


def test_samples_that_differ_are_named_by_the_worker() -> None:
    ragged = [{"image": np.zeros(3)}] * 9 + [{"image": np.zeros(4)}]

    with (
        OrderedEnqueuer(BatchedSequence(ragged, 4), workers=1) as enqueuer,
        pytest.raises(ValueError, match=r'sample 9, leaf \["image"\]: shape \(4,\); sample 8 has'),
    ):
        for batch in enqueuer:
            assert len(batch["image"]) == 4


def test_computed_batch_is_the_delivered_one() -> None:
    sequence = BatchedSequence(Numbers(20), 4, shuffle=True, transform=noisy)
    enqueuer = OrderedEnqueuer(sequence, workers=0, seed=1)

    [_, epoch] = epochs_of(sequence, workers=0, seed=1)

    assert plain(enqueuer.compute(3, epoch=1)) == epoch[3]


def test_a_billion_samples_start_at_once() -> None:
    sequence = BatchedSequence(range(10**9), 64, shuffle=True)

    with OrderedEnqueuer(sequence, workers=1, seed=0) as enqueuer:
        batches = iter(enqueuer)
        first = next(batches).copy()
        del batches

    expected = OrderedEnqueuer(sequence, workers=0, seed=0).compute(0)
    assert first.tolist() == expected.tolist()


@pytest.mark.parametrize("name", sequences())
def test_epoch_that_was_saved_in_its_middle_goes_on_with_other_workers(name: str) -> None:
    [_, epoch] = epochs_of(sequences()[name], workers=0, seed=3)
    with OrderedEnqueuer(sequences()[name], workers=0, seed=3) as enqueuer:
        assert len([*enqueuer]) == len(epoch)
        batches = iter(enqueuer)
        begun = [plain(next(batches)) for _ in range(2)]
        state = json.loads(json.dumps(enqueuer.state_dict()))
        del batches

    with OrderedEnqueuer(sequences()[name], workers=2, seed=3) as enqueuer:
        enqueuer.load_state_dict(state)
        rest = [plain(batch) for batch in enqueuer]

    assert begun + rest == epoch


def test_saved_run_of_another_batch_size_is_refused() -> None:
    saved = OrderedEnqueuer(BatchedSequence(Numbers(50), 8), workers=0, seed=3).state_dict()
    other = OrderedEnqueuer(BatchedSequence(Numbers(55), 8), workers=0, seed=3)

    with pytest.raises(ResumeError) as caught:
        other.load_state_dict(saved)

    assert "samples is 55, and was 50 when it was saved" in caught.value.differences


def test_context_of_a_transform_is_the_batchs() -> None:
    def place(sample: Any, rng: Any) -> Any:
        return batch_context().epoch, batch_context().index

    [_, epoch] = epochs_of(BatchedSequence(Numbers(4), 2, transform=place), workers=1)

    assert epoch == [[[1, 1], [0, 0]], [[1, 1], [1, 1]]]
