"""Datasets, tensors and `default_collate` of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqloader import ArraySequence, BatchedSequence, OrderedEnqueuer
from seqloader.samples.collate import stack_samples

torch = pytest.importorskip("torch", reason="torch is not installed")
data = pytest.importorskip("torch.utils.data", reason="torch is not installed")

pytestmark = pytest.mark.torch


class Samples(data.Dataset):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        return torch.full((2, 3), float(index)), index


def test_dataset_becomes_batches_of_numpy_arrays() -> None:
    values, numbers = BatchedSequence(Samples(), 4)[2]

    assert type(values) is np.ndarray
    assert (values.shape, values.dtype) == ((2, 2, 3), np.float32)
    assert numbers.tolist() == [8, 9]


def test_default_collate_makes_tensors_in_workers() -> None:
    sequence = BatchedSequence(Samples(), 4, shuffle=True, collate=data.default_collate)

    with OrderedEnqueuer(sequence, workers=1, seed=0) as enqueuer:
        batches = [(values.clone(), numbers.clone()) for values, numbers in enqueuer]

    assert all(isinstance(leaf, torch.Tensor) for batch in batches for leaf in batch)
    assert sorted(torch.cat([numbers for _, numbers in batches]).tolist()) == [*range(10)]
    assert all((values[:, 0, 0] == numbers).all() for values, numbers in batches)


def test_default_stack_holds_what_default_collate_holds() -> None:
    samples = [
        {"x": torch.ones(2, dtype=torch.float16), "n": 1, "f": 0.5, "b": True, "s": "a"},
        {"x": torch.zeros(2, dtype=torch.float16), "n": 2, "f": 1.5, "b": False, "s": "b"},
    ]
    ours, theirs = stack_samples(samples, range(2)), data.default_collate(samples)

    for key in ("x", "n", "f", "b"):
        assert ours[key].dtype == theirs[key].numpy().dtype
        assert np.array_equal(ours[key], theirs[key].numpy())
    assert ours["s"] == theirs["s"]


@pytest.mark.parametrize("kind", ["subset", "concat", "tensors", "tensor"], ids=lambda kind: kind)
def test_datasets_of_torch_are_sources(kind: str) -> None:
    tensor = torch.arange(10)
    source = {
        "subset": lambda: data.Subset(Samples(), [1, 3, 5, 7]),
        "concat": lambda: data.ConcatDataset([Samples(), Samples()]),
        "tensors": lambda: data.TensorDataset(torch.zeros(10, 2), tensor),
        "tensor": lambda: [(0, value) for value in tensor],
    }[kind]()
    expected = [int(source[number][1]) for number in range(len(source))]

    numbers = np.concatenate([batch[1] for batch in BatchedSequence(source, 3)])

    assert numbers.tolist() == expected


def test_tensor_is_a_source() -> None:
    batches = [batch.tolist() for batch in BatchedSequence(torch.arange(5), 3)]

    assert batches == [[0, 1, 2], [3, 4]]


def test_tensor_that_numpy_cannot_view_is_named() -> None:
    for tensor, said in (
        (torch.zeros(2, dtype=torch.bfloat16), "torch.bfloat16"),
        (torch.eye(2).to_sparse(), "torch.sparse_coo"),
        (torch.zeros(2, device="meta"), "a tensor on meta"),
    ):
        with pytest.raises(TypeError, match=f'sample 5, leaf \\["x"\\]: .*{said}'):
            stack_samples([{"x": tensor}], [5])


def test_tensors_that_need_a_gradient_or_are_views_are_stacked() -> None:
    needs = torch.ones(2, requires_grad=True)
    conjugate = torch.tensor([1 + 1j, 2]).conj()

    assert stack_samples([needs, needs], range(2)).tolist() == [[1, 1], [1, 1]]
    assert stack_samples([conjugate], range(1)).tolist() == [[1 - 1j, 2]]


def test_iterable_dataset_is_refused() -> None:
    class Stream(data.IterableDataset):
        def __iter__(self) -> Any:
            return iter(())

    with pytest.raises(TypeError, match="iterable-style torch dataset: its samples come one after"):
        BatchedSequence(Stream(), 2)


def test_data_loader_is_refused_with_a_hint() -> None:
    with pytest.raises(TypeError, match=r"makes batches itself: pass its \.dataset"):
        BatchedSequence(data.DataLoader(Samples()), 2)


def test_tensors_in_an_array_sequence_are_viewed() -> None:
    tensor = torch.arange(8)
    sequence = ArraySequence((tensor, np.arange(8)), 4, shuffle=True)

    tensor += 10
    first, second = sequence[0]

    assert type(first) is np.ndarray
    assert (first == second + 10).all()
    with pytest.raises(TypeError, match=r"arrays: .* torch\.bfloat16"):
        ArraySequence(torch.zeros(2, dtype=torch.bfloat16), 1)
