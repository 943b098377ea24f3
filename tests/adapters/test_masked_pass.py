"""Batches of as many rows, with a mask: an evaluation on several shards is that of one."""

from __future__ import annotations

import collections

import numpy as np
import pytest
from sequences_for_adapters import Given

from seqloader import ArraySequence, BatchedSequence, OrderedEnqueuer
from seqloader.adapters.masked import checked_rows, rows_of
from seqloader.adapters.masked import masked as with_mask
from seqloader.adapters.prefetch import Prefetched

ROWS = 4


def masked_pass(enqueuer, rows):
    return Prefetched(enqueuer, 0, lambda batch, padding: with_mask(batch, rows, padding=padding))


def masked(sequence, rows=ROWS, **options):
    with OrderedEnqueuer(sequence, workers=0, **options) as enqueuer:
        batches = masked_pass(enqueuer, rows)
        found = []
        while batches.has_next():
            found.append(next(batches))
        return found


# --- exact on any number of shards --------------------------------------------------------


def evaluated(values, shards, weights):
    """Predictions of every sample, as they are gathered, step by step, from all shards."""
    sequence = ArraySequence(values, ROWS)
    parts = [masked(sequence, shard=(shard, shards), remainder="pad") for shard in range(shards)]
    assert len({len(part) for part in parts}) == 1, "each shard makes as many steps"
    predicted = []
    for step in zip(*parts, strict=True):
        assert {batch.shape for batch, _ in step} == {(ROWS, 3)}
        outputs = np.concatenate([np.tanh(batch @ weights) for batch, _ in step])
        predicted.append(outputs[np.concatenate([mask for _, mask in step])])
    return np.concatenate(predicted)


@pytest.mark.parametrize("samples", range(1, 51))
def test_a_metric_on_1_to_8_shards_is_that_of_one_bit_for_bit(samples):
    rng = np.random.default_rng(samples)
    values = rng.normal(size=(samples, 3)).astype("float32")
    weights = rng.normal(size=3).astype("float32")
    alone = evaluated(values, 1, weights)
    assert len(alone) == samples

    for shards in range(2, 9):
        together = evaluated(values, shards, weights)
        assert together.tobytes() == alone.tobytes(), f"{samples} samples on {shards} shards"
        assert np.mean(together, dtype="float32") == np.mean(alone, dtype="float32")


def test_an_epoch_that_goes_on_with_other_shards_counts_each_sample_once():
    sequence = ArraySequence(np.arange(26), ROWS)

    def parts(shards, state=None):
        made = [
            OrderedEnqueuer(sequence, workers=0, shard=(shard, shards), remainder="pad")
            for shard in range(shards)
        ]
        for enqueuer in made if state else ():
            enqueuer.load_state_dict(state)
        return made, [masked_pass(enqueuer, ROWS) for enqueuer in made]

    def real(passes):
        return [int(v) for one in passes for batch, mask in [next(one)] for v in batch[mask]]

    first, passes = parts(2)
    seen = real(passes)
    rest, passes = parts(3, first[0].state_dict())
    while passes[0].has_next():
        seen += real(passes)
    for enqueuer in (*first, *rest):
        enqueuer.stop()

    assert seen == [*range(26)]


# --- rows ---------------------------------------------------------------------------------


def test_a_short_batch_is_filled_up_with_its_last_row_and_a_whole_one_is_not_touched():
    whole = {"x": np.arange(8.0).reshape(4, 2), "y": np.arange(4)}
    short = {"x": np.arange(4.0).reshape(2, 2), "y": np.arange(2)}
    (first, all_count), (second, mask) = masked(Given(whole, short))

    assert first["x"] is whole["x"]
    assert all_count.tolist() == [True] * 4
    assert second["x"].tolist() == [[0, 1], [2, 3], [2, 3], [2, 3]]
    assert (second["y"].tolist(), second["y"].dtype) == ([0, 1, 1, 1], np.int64)
    assert (mask.tolist(), mask.dtype) == ([True, True, False, False], bool)
    assert short["y"].tolist() == [0, 1]


def test_what_has_no_rows_stays_as_it_is_and_containers_keep_their_types():
    batch = collections.OrderedDict(x=np.arange(3), n=7, names=["a", "b", "c"], scale=np.array(0.5))
    [(made, mask)] = masked(Given(batch))

    assert type(made) is collections.OrderedDict
    assert made["x"].tolist() == [0, 1, 2, 2]
    assert (made["n"], made["names"], made["scale"]) == (7, ["a", "b", "c"], np.array(0.5))
    assert mask.tolist() == [True, True, True, False]


def test_no_row_of_padding_counts():
    sequence = BatchedSequence(list(range(6)), 2)
    whole, padded = masked(sequence, 2, shard=(1, 2), remainder="pad")

    assert (whole[0].tolist(), whole[1].tolist()) == ([2, 3], [True, True])
    assert (padded[0].tolist(), padded[1].tolist()) == ([0, 1], [False, False])


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (np.zeros(5), "a batch has 5 rows, and mask_rows=4"),
        ({"x": np.zeros(4), "y": [np.zeros(3)]}, 'batch["x"] has 4, batch["y"][0] has 3'),
        ({"n": 1, "x": np.array(2.0)}, "holds no array with rows"),
        (np.zeros((0, 3)), "without rows cannot be filled up"),
    ],
    ids=["too many", "different", "none", "empty"],
)
def test_batches_that_cannot_be_filled_up_are_refused(batch, said):
    with pytest.raises(ValueError) as raised:
        masked(Given(batch))
    assert said in str(raised.value)


def test_rows_are_counted_wherever_they_lie():
    assert rows_of((np.zeros((3, 2)), {"a": [np.zeros(3), "text"], "b": np.float32(1)})) == 3


@pytest.mark.parametrize(
    ("rows", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_mask_rows_is_a_whole_number_above_0(rows, error):
    with pytest.raises(error, match="mask_rows"):
        checked_rows(rows)
    assert checked_rows(None) is None
    assert checked_rows(np.int64(3)) == 3
