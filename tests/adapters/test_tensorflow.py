"""to_tf_dataset: what a dataset yields, and what its passes are to the enqueuer behind it."""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings
import weakref
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from adapters.sequences_for_adapters import Counted, Endless, Given
from adapters.sequences_for_jax import (
    BLOCK_BYTES,
    Filled,
    Held,
    KillsItsWorker,
)
from interpreter import printed_by

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "torch" in sys.modules:  # builds of both for GPUs bring an LLVM each, and end the process
    pytest.skip("TensorFlow goes into a process without torch", allow_module_level=True)

tf: Any = pytest.importorskip("tensorflow", reason="tensorflow is not installed")

from seqloader import OrderedEnqueuer  # noqa: E402
from seqloader.adapters.tensorflow import TensorFlowLoader, to_tf_dataset  # noqa: E402
from seqloader.testing import Gate  # noqa: E402

pytestmark = pytest.mark.limit(240)

list(tf.data.Dataset.range(2).prefetch(1))  # what it opens for good is open before any test

Pair = namedtuple("Pair", "images labels")


@dataclass
class Sample:
    image: Any


@pytest.fixture
def make():
    """Makes datasets whose workers have ended when the test has."""
    loaders = []

    def make(sequence, signature=None, **options):
        dataset = to_tf_dataset(sequence, signature, **{"workers": 0, **options})
        loaders.append(dataset.loader)
        return dataset

    yield make
    while loaders:
        loaders.pop().__exit__(AssertionError, None, None)  # without hooks


def listed(dataset):
    return [batch.numpy().tolist() for batch in dataset]


# --- what it yields -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype",
    ["bool", "uint8", "int32", "int64", "uint64", "float16", "float32", "float64", "complex64"],
)
def test_arrays_keep_their_types_and_their_first_axis_is_open(make, dtype):
    given = [np.ones((rows, 3), dtype) for rows in (4, 4, 1)]

    dataset = make(Given(*given))

    assert dataset.element_spec == tf.TensorSpec([None, 3], dtype)
    for array, tensor in zip(given, dataset, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), array)


@pytest.mark.parametrize(
    "words",
    [
        np.array(["a", "bcé"]),
        np.array([b"a", "bcé".encode()]),
        np.array(["a", "bcé"], object),
    ],
    ids=["unicode", "bytes", "objects"],
)
def test_text_becomes_strings_of_tensorflow(make, words):
    dataset = make(Given({"words": words, "word": "bcé", "count": 3}))

    assert dataset.element_spec["words"] == tf.TensorSpec([None], tf.string)
    [batch] = dataset
    assert batch["words"].numpy().tolist() == [b"a", "bcé".encode()]
    assert batch["word"].numpy() == "bcé".encode()
    assert batch["count"].numpy() == 3


def test_nests_keep_their_structure_and_lists_become_tuples(make):
    one = np.arange(3)
    given = {"z": Pair([one, one + 1], (one + 2,)), "a": one + 3}

    [batch] = make(Given(given))

    assert isinstance(batch["z"], Pair)
    got = [*batch["z"].images, *batch["z"].labels, batch["a"]]
    assert [tensor.numpy().tolist() for tensor in got] == [[i, i + 1, i + 2] for i in range(4)]


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ({"a": [1, None]}, r'no type for batch\["a"\]\[1\], a NoneType'),
        ({"when": np.array(["2026-01-01"], "M8[s]")}, r'batch\["when"\], a ndarray of dtype date'),
        ((np.array([{}, 1], object),), r"batch\[0\], a ndarray of dtype object"),
        (Pair(Sample(1), 2), r"batch\.images is a Sample, .* no dataclasses"),
    ],
)
def test_what_tf_data_has_no_type_for_is_named(batch, said):
    with pytest.raises(TypeError, match=said):
        to_tf_dataset(Given(batch), workers=0)


def test_workers_that_were_started_for_the_first_batch_end_when_it_is_refused():
    with pytest.raises(TypeError, match=r"no type for batch\[1\], a NoneType"):
        to_tf_dataset(Given([{}, None]), workers=1)


def test_a_signature_that_is_given_is_used_and_nothing_begins_before_the_first_pass(make):
    sequence = Counted()
    signature = tf.TensorSpec([None], tf.int64)

    dataset = make(sequence, signature)

    assert dataset.element_spec == signature
    assert not dataset.loader.enqueuer.is_running()
    assert sequence.hooks == []
    assert len(listed(dataset)) == 6

    lists = make(Given([np.ones(2), np.ones((2, 4))]), [tf.TensorSpec(None, tf.float64)] * 2)
    [batch] = lists
    assert [tensor.shape for tensor in batch] == [[2], [2, 4]]


def test_a_batch_that_does_not_fit_the_signature_says_what_came_and_what_was_expected(make):
    dataset = make(Given(np.ones((2, 3)), np.ones((2, 4))))

    with pytest.raises(tf.errors.OpError, match=r"shape \(2, 4\) where .* \(None, 3\) was expect"):
        list(dataset)


# --- passes and epochs --------------------------------------------------------------------


def test_each_pass_is_an_epoch_and_the_batch_that_was_looked_at_is_not_lost(make):
    sequence = Counted(3)
    dataset = make(sequence)

    assert listed(dataset) == [[0, 0], [1, 0], [2, 0]]
    assert listed(dataset) == [[0, 1], [1, 1], [2, 1]]
    assert listed(dataset.repeat(2).prefetch(2)) == [[i, e] for e in (2, 3) for i in range(3)]
    assert sequence.hooks == ["begin", "end"] * 4


def test_nothing_is_taken_ahead_unless_the_user_says_so(make):
    dataset = make(Counted())
    for number, _ in enumerate(dataset, start=1):
        assert dataset.loader.enqueuer.state_dict()["position"] == number
        assert dataset.loader.enqueuer.sequence.hooks == ["begin"]
    assert dataset.loader.enqueuer.sequence.hooks == ["begin", "end"]


def test_a_pass_goes_on_where_a_saved_state_says(make):
    state = {**make(Counted()).loader.enqueuer.state_dict(), "position": 3}
    enqueuer = OrderedEnqueuer(Counted(), workers=0)
    enqueuer.load_state_dict(state)

    dataset = to_tf_dataset(enqueuer)

    assert listed(dataset) == [[3, 0], [4, 0], [5, 0]]
    assert len(listed(dataset)) == 6


def test_an_endless_sequence_makes_an_endless_dataset_that_goes_on(make):
    dataset = make(Endless())

    assert [index for [index] in listed(dataset.take(4))] == [0, 1, 2, 3]
    assert [index for [index] in listed(dataset.take(3))] == [4, 5, 6]


@pytest.mark.parametrize("prefetch", [0, 3])
def test_a_pass_that_is_left_early_ends_its_epoch_when_the_next_begins(make, prefetch):
    sequence = Counted()
    dataset = make(sequence, workers=1)
    ahead = dataset.prefetch(prefetch) if prefetch else dataset

    for epoch in range(4):
        left = iter(ahead)
        assert next(left).numpy().tolist() == [0, 2 * epoch]
        assert listed(ahead) == [[i, 2 * epoch + 1] for i in range(6)]
    assert sequence.hooks == ["begin", "end"] * 8


def test_two_passes_at_a_time_are_refused(make):
    dataset = make(Counted())
    earlier, later = iter(dataset), iter(dataset)
    next(earlier), next(later)

    with pytest.raises(tf.errors.OpError, match="a later pass over this dataset has begun"):
        next(earlier)
    assert dataset.loader.last_error is None
    assert [batch.numpy().tolist() for batch in later] == [[i, 1] for i in range(1, 6)]


def test_a_pass_never_begins_after_a_later_one():
    """tf.data makes a pass and asks it for a batch in two steps, in any of its threads."""
    with TensorFlowLoader(Counted(3), workers=0) as loader:
        earlier, later = loader.begin_pass(), loader.begin_pass()
        first = next(later)
        with pytest.raises(RuntimeError, match="a later pass"):
            next(earlier)
        assert [batch.tolist() for batch in (first, *later)] == [[0, 0], [1, 0], [2, 0]]


def test_a_thread_that_still_prefetches_for_a_pass_that_was_left_disturbs_none(make, tmp_path):
    gate = Gate(tmp_path)
    dataset = make(Held(tmp_path), workers=1)
    left = iter(dataset.prefetch(4))
    assert next(left).numpy().tolist() == [0, 0]
    gate.wait_arrived(1)

    with ThreadPoolExecutor(1) as other:
        whole = other.submit(listed, dataset.prefetch(4))
        gate.open()
        assert whole.result() == [[i, 1] for i in range(6)]
    assert dataset.loader.last_error is None


# --- lifetimes ----------------------------------------------------------------------------


def test_the_end_of_the_dataset_and_of_all_made_of_it_is_that_of_the_enqueuer():
    dataset = to_tf_dataset(Counted(), workers=0)
    enqueuer = weakref.ref(dataset.loader.enqueuer)
    prefetched = dataset.prefetch(2)
    del dataset
    assert len(listed(prefetched)) == 6

    del prefetched
    gc.collect()
    assert enqueuer() is None


def test_a_program_ends_while_a_thread_of_tensorflow_waits_for_a_batch():
    printed = printed_by("""
        from adapters.sequences_for_jax import Endlessly
        from seqloader.adapters.tensorflow import to_tf_dataset

        kept = iter(to_tf_dataset(Endlessly(), workers=1).prefetch(4))
        print(int(next(kept)[0]), int(next(kept)[0]))
    """)
    assert printed == "0 1\n"


def test_an_enqueuer_that_was_made_before_is_used_and_left_running():
    with OrderedEnqueuer(Counted(), workers=0) as enqueuer:
        dataset = to_tf_dataset(enqueuer)
        dataset.loader.close()
        assert len(listed(dataset)) == 6
        assert enqueuer.is_running()


# --- memory -------------------------------------------------------------------------------


def test_a_loop_that_waits_for_nothing_reads_every_element_right_and_holds_few_batches(make):
    length, ahead = 2000, 4

    @tf.function
    def right(batch, index):
        found = [tf.reduce_all(array == tf.cast(index, array.dtype)) for array in batch.values()]
        return tf.cast(found[0] & found[1], tf.int32)

    dataset = make(Filled(length), workers=2)
    seen, most, kept = tf.constant(0), 0, []
    for index, batch in enumerate(dataset.prefetch(ahead)):
        seen += right(batch, tf.constant(index))
        if index % 300 == 0:
            kept.append((index, batch))
        most = max(most, dataset.loader.enqueuer.stats().held_bytes)

    assert int(seen) == length
    for index, batch in kept:
        assert all((array.numpy() == index).all() for array in batch.values())
    assert most <= (ahead + 4 + len(kept)) * BLOCK_BYTES


# --- when something breaks ----------------------------------------------------------------


class Raises(Counted):
    def __getitem__(self, index):
        if index == 2 and self.hooks.count("end") == 1:
            raise LookupError("the user's own")
        return super().__getitem__(index)


def test_the_exception_of_the_user_is_kept_where_tensorflow_hides_it(make):
    dataset = make(Raises())
    assert len(listed(dataset.prefetch(2))) == 6
    assert dataset.loader.last_error is None

    with pytest.raises(tf.errors.OpError, match="the user's own"):
        listed(dataset.prefetch(2))
    assert isinstance(dataset.loader.last_error, LookupError)
    assert "position 2" in "".join(dataset.loader.last_error.__notes__)


@pytest.mark.filterwarnings("ignore::seqloader.WorkerLostWarning")
def test_a_killed_worker_costs_no_batch(make, tmp_path):
    dataset = make(KillsItsWorker(tmp_path), workers=1)

    assert [index for index, _ in listed(dataset)] == list(range(12))
    assert dataset.loader.enqueuer.stats().respawns == 1


def test_after_a_ctrl_c_the_pass_goes_on_or_another_begins(make):
    dataset = make(Counted(12), workers=1, max_queue_size=2)
    batches, got = iter(dataset), []
    with pytest.raises(KeyboardInterrupt):
        for batch in batches:
            got.append(int(batch.numpy()[0]))
            if len(got) == 5:
                # Here: one that arrives inside TensorFlow may be lost there, or end the process.
                signal.raise_signal(signal.SIGINT)

    got += [int(batch.numpy()[0]) for batch in batches]
    assert got == list(range(12))
    assert dataset.loader.last_error is None
    assert [index for index, _ in listed(dataset)] == list(range(12))


# --- in fit -------------------------------------------------------------------------------


def test_fit_of_keras_makes_one_pass_an_epoch(make):
    keras = pytest.importorskip("keras", reason="keras is not installed")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("keras computes with another backend here")

    class Rows(Counted):
        def __getitem__(self, index):
            x = np.full((2, 3), index, np.float32)
            return x, x[:, :1]

    train, valid = make(Rows(3)), make(Rows(2))
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")

    with warnings.catch_warnings():
        # Of a dataset whose length it does not know, Keras says so at the end of the first epoch.
        warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
        model.fit(train, validation_data=valid, epochs=3, shuffle=False, verbose=0)

    assert train.loader.enqueuer.sequence.hooks == ["begin", "end"] * 3
    assert valid.loader.enqueuer.sequence.hooks == ["begin", "end"] * 3
    assert train.loader.enqueuer.stats().delivered == 9
