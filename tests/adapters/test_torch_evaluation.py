"""An evaluation with TorchLoader on several shards: equal steps, one shape, the metric of one."""

from __future__ import annotations

import numpy as np
import pytest

from seqloader import ArraySequence

torch = pytest.importorskip("torch", reason="torch is not installed")

from seqloader.adapters.torch import TorchLoader  # noqa: E402

pytestmark = pytest.mark.torch

ROWS = 4


def evaluated(values, shards, model):
    """Outputs of all samples, gathered from all shards step by step."""
    sequence = ArraySequence(values, ROWS)
    parts = []
    for shard in range(shards):
        with TorchLoader(
            sequence, workers=0, mask_rows=ROWS, shard=(shard, shards), remainder="pad"
        ) as loader:
            parts.append([(model(batch), mask) for batch, mask in loader])
            assert len(parts[-1]) == len(loader) == len(parts[0])
    gathered = [
        torch.cat([part[step][which] for part in parts])
        for which in range(2)
        for step in range(len(parts[0]))
    ]
    half = len(gathered) // 2
    return torch.cat(gathered[:half])[torch.cat(gathered[half:])]


@pytest.mark.parametrize("shards", range(1, 9))
def test_the_metric_of_1_to_50_samples_is_that_of_one_process_bit_for_bit(shards):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    values = np.random.default_rng(0).normal(size=(50, 3)).astype("float32")
    with torch.no_grad():
        for samples in range(1, 51):
            alone = evaluated(values[:samples], 1, model)
            together = evaluated(values[:samples], shards, model)
            assert len(together) == samples
            assert torch.equal(together, alone)
            assert torch.equal(together.square().mean(), alone.square().mean())


def test_the_mask_is_a_tensor_beside_the_batch():
    sequence = ArraySequence({"x": np.arange(6.0).reshape(3, 2), "y": np.arange(3)}, 2)
    with TorchLoader(sequence, workers=1, mask_rows=2) as loader:
        (_, whole), (batch, mask) = loader

    assert whole.dtype == torch.bool
    assert whole.tolist() == [True, True]
    assert mask.tolist() == [True, False]
    assert batch["x"].tolist() == [[4, 5], [4, 5]]
    assert batch["y"].tolist() == [2, 2]


def test_batches_of_tensors_are_filled_up_as_well():
    class Tensors(ArraySequence):
        def __getitem__(self, index):
            return torch.from_numpy(super().__getitem__(index))

    with TorchLoader(Tensors(np.arange(3), 2), workers=0, mask_rows=2) as loader:
        assert [batch.tolist() for batch, _ in loader] == [[0, 1], [2, 2]]


def test_what_cannot_be_masked_is_refused_at_once():
    with pytest.raises(ValueError, match="mask_rows must be at least 1"):
        TorchLoader(range(3), mask_rows=0)
