"""`KerasDataset` in Keras: what the model is really given.

    KERAS_BACKEND=jax pytest tests/adapters -k keras

runs it with another backend: torch, jax or tensorflow.
"""

from __future__ import annotations

import functools

import pytest

keras = pytest.importorskip("keras", reason="Keras 3 is not installed")
from keras_batches import Plain, batch  # noqa: E402
from keras_cases import CASES, Kit, make_model  # noqa: E402

from seqloader import Sequence  # noqa: E402
from seqloader.adapters.keras import KerasDataset  # noqa: E402

pytestmark = pytest.mark.limit(180)
BACKEND = keras.config.backend()


def shared_on_tensorflow(make):
    """One model serves all who ask alike: TensorFlow traces it once, and no pass builds it. The
    other backends take a batch to build a model, so that each case has a new one."""
    return functools.cache(make) if BACKEND == "tensorflow" else make


model = shared_on_tensorflow(make_model)


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """What the models of several cases have in common, jax compiles once."""
    if BACKEND != "jax":
        yield
        return
    import jax

    options = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


class Tagged(Sequence):
    """Batch i holds i + 100 * epoch; counts its hooks."""

    def __init__(self, length, **kinds):
        self.length, self.kinds = length, kinds
        self.ends = self.begins = 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return batch(index + 100 * self.ends, **self.kinds)

    def on_epoch_begin(self):
        self.begins += 1

    def on_epoch_end(self):
        self.ends += 1


def run(name):
    """The kit of a case that has been run; `kit.sequences` are those of its datasets."""
    datasets = []

    def dataset(length, *, endless=False, **kinds):
        datasets.append(KerasDataset(Tagged(length, **kinds), workers=0, endless=endless))
        return datasets[-1]

    kit = Kit(dataset, model=model)
    try:
        CASES[name](kit)
    finally:
        for made in datasets:
            made.close()
    kit.sequences = [made.enqueuer.sequence for made in datasets]
    return kit


ran = functools.cache(run)
"""As `run`, once: what several tests look at."""


def epoch(number, *indices):
    return [100 * number + index for index in indices]


EXPECTED = {
    "fit": [epoch(e, *range(5)) for e in range(3)],
    "fit_built": [epoch(e, *range(5)) for e in range(2)],
    "fit_in_order": [epoch(e, *range(5)) for e in range(2)],
    "fit_twice": [epoch(e, *range(4)) for e in range(3)],
    "initial_epoch": [epoch(e, *range(4)) for e in range(2)],
    "one_batch": [epoch(e, 0) for e in range(3)],
    "two_batches": [epoch(e, 0, 1) for e in range(3)],
    "steps_below": [[0, 1], [2, 3], [4], [100, 101], [102, 103], [104]],
    "steps_equal": [epoch(e, *range(4)) for e in range(3)],
    "steps_below_evenly": [[0, 1], [2, 3], [100, 101], [102, 103]],
    "endless": [[0, 1, 2, 100], [101, 102, 200, 201], [202, 300, 301, 302]],
    "class_weight": [epoch(e, *range(3)) for e in range(2)],
    "sample_weights": [epoch(e, *range(3)) for e in range(2)],
    "dicts": [epoch(e, *range(3)) for e in range(2)],
    "stopped": [epoch(0, *range(5)), [100, 101], epoch(2, *range(5)), epoch(3, *range(5))],
    "stopped_at_last": [epoch(e, *range(3)) for e in range(3)],
    "broken": [epoch(0, *range(5)), [100, 101], epoch(2, *range(5)), epoch(3, *range(5))],
    "early_stopping": [epoch(e, *range(3)) for e in range(3)],
    "validation": [epoch(e, *range(4)) for e in range(3)],
    "validation_of_one": [epoch(e, 0, 1) for e in range(3)],
    "validation_steps": [epoch(e, *range(3)) for e in range(3)],
    "validation_freq": [epoch(e, *range(3)) for e in range(4)],
    "stop_evaluating_early": [epoch(e, *range(3)) for e in range(3)],
}


EXPECTED_TESTS = {
    "validation": [epoch(e, 0, 1, 2) for e in range(3)],
    "validation_of_one": [epoch(e, 0) for e in range(3)],
    "validation_steps": [epoch(e, 0, 1) for e in range(3)],
    "validation_freq": [epoch(e, 0, 1) for e in range(2)],
    "stop_evaluating_early": [epoch(e, 0, 1) for e in range(3)],
    "evaluate": [epoch(e, *range(4)) for e in range(2)],
    "evaluate_steps": [[0, 1], epoch(1, *range(4))],
}
EXPECTED_PREDICTIONS = {
    "predict": [epoch(e, *range(4)) for e in range(2)],
    "predict_one": [epoch(e, 0) for e in range(2)],
}

# What Keras itself says, and means: a walk that is short, and an order that is not its own.
quiet = pytest.mark.filterwarnings(
    "ignore:Your input ran out of data", "ignore:`shuffle=True` was passed, but will be"
)
# What numpy 2 says of how Keras' torch backend turns tensors into arrays.
predicting = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@quiet
@pytest.mark.parametrize("name", EXPECTED)
def test_fit_is_given_each_batch_once_in_order(name):
    kit = ran(name)

    assert kit.epochs() == EXPECTED[name]
    for sequence in kit.sequences:
        assert sequence.begins - sequence.ends in (0, 1)


@pytest.mark.parametrize("name", EXPECTED_TESTS)
def test_validation_and_evaluate_are_given_each_batch_once_in_order(name):
    kit = ran(name)

    assert kit.of("test") == [number for each in EXPECTED_TESTS[name] for number in each]


@predicting
@pytest.mark.parametrize("name", EXPECTED_PREDICTIONS)
def test_predict_is_given_each_batch_once_in_order(name):
    kit = ran(name)

    assert kit.of("predict") == [number for each in EXPECTED_PREDICTIONS[name] for number in each]


@predicting
def test_one_dataset_serves_fit_evaluate_and_predict_in_turn():
    kit = ran("all_three")

    assert kit.of("predict") == [0, 1, 2, 400, 401, 402]
    assert kit.epochs() == [[100, 101, 102], [200, 201, 202], [500, 501, 502]]
    assert kit.of("test") == [300, 301, 302]


@quiet
def test_an_endless_dataset_begins_another_epoch_with_the_next_fit():
    kit = ran("endless_twice")

    assert kit.epochs()[:2] == [[0, 1, 2, 100], [101, 102, 200, 201]]
    assert kit.epochs()[2] in ([300, 301, 302, 400], [400, 401, 402, 500])  # TensorFlow reads ahead


@pytest.mark.parametrize("name", ["fit", "validation", "one_batch", "steps_below_evenly"])
def test_hooks_run_once_an_epoch(name):
    kit = ran(name)

    expected = 2 if name == "steps_below_evenly" else 3
    # Where TensorFlow reads ahead of a walk that is one of several, an epoch is over before Keras
    # says so, and another is begun, for which `fit` may have no steps left.
    further = BACKEND == "tensorflow" and name == "steps_below_evenly"
    for sequence in kit.sequences:
        assert sequence.ends == expected
        assert sequence.begins - expected in ((0, 1) if further else (0,))


@pytest.mark.skipif(BACKEND != "jax", reason="jax looks ahead")
@pytest.mark.parametrize("name", ["fit", "one_batch", "two_batches", "stopped", "validation"])
def test_jax_off_the_cpu_looks_a_batch_ahead_and_loses_none(name, monkeypatch):
    import jax

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")  # what Keras asks for it
    kit = run(name)

    assert kit.epochs() == EXPECTED[name]


# --- several steps at once ----------------------------------------------------------------


class Sums(keras.metrics.Metric):
    """How many batches were seen, and the sum of 2 ** i over their indices."""

    def __init__(self):
        super().__init__(name="sums")
        self.total = self.add_weight(name="total", shape=(2,), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        power = 2.0 ** keras.ops.mean(y_true)
        self.total.assign_add(keras.ops.stack([keras.ops.ones(()), power]))

    def result(self):
        return {"batches": self.total[0], "mask": self.total[1]}


@shared_on_tensorflow
def counting_model(at_once):
    model = make_model()
    model.compile("sgd", "mse", metrics=[Sums()], steps_per_execution=at_once)
    return model


@pytest.mark.skipif(BACKEND == "torch", reason="Keras refuses steps_per_execution > 1 on torch")
@pytest.mark.parametrize(("length", "at_once"), [(4, 2), (5, 2), (1, 2), (5, 3), (2, 3)])
def test_several_steps_per_execution_see_each_batch_once(length, at_once):
    model = counting_model(at_once)
    with (
        KerasDataset(Plain(length), workers=0) as train,
        KerasDataset(Plain(3), workers=0) as valid,
    ):
        found = model.fit(train, validation_data=valid, epochs=3, verbose=0).history

    assert found["batches"] == [length] * 3
    assert found["mask"] == [2**length - 1] * 3
    assert (found["val_batches"], found["val_mask"]) == ([3] * 3, [7] * 3)


# --- lengths that change ------------------------------------------------------------------


class Changing(Tagged):
    """Epoch e has lengths[e] batches."""

    def __init__(self, lengths, hook):
        super().__init__(lengths[0])
        self.lengths, self.hook = lengths, hook

    def on_epoch_begin(self):
        super().on_epoch_begin()
        if self.hook == "begin":
            self.length = self.lengths[self.ends]

    def on_epoch_end(self):
        super().on_epoch_end()
        if self.hook == "end":
            self.length = self.lengths[min(self.ends, len(self.lengths) - 1)]


@pytest.mark.parametrize("hook", ["begin", "end"])
@pytest.mark.parametrize("lengths", [(4, 2, 3), (2, 5, 1), (1, 3, 2)])
def test_a_length_that_changes_between_epochs_is_that_of_each(lengths, hook):
    kit = Kit(None, model=model)
    with KerasDataset(Changing(lengths, hook), workers=0) as data:
        kit.fit(kit.model(), data, epochs=3)

    assert kit.epochs() == [epoch(e, *range(length)) for e, length in enumerate(lengths)]


@predicting
def test_the_progress_bar_takes_the_length(capsys):
    model = make_model()
    model.compile("sgd", "mse")
    with KerasDataset(Plain(3), workers=0) as data:
        model.fit(data, verbose=1)

    assert "3/3" in capsys.readouterr().out
