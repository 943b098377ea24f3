"""What Keras users do with a dataset, once: recorded with a bare `PyDataset`, tested with ours.

A case is given a `Kit`: it makes datasets by `kit.dataset(...)`, trains `kit.model()`, and
`kit.seen` lists what the model was really given, as (what, batch number), where "what" is train,
test or predict. Batch number i is made of arrays that hold i, so the number survives any trainer.
"""

from __future__ import annotations

import keras
import numpy as np
from keras_batches import SAMPLES


class LastTag(keras.metrics.Metric):
    """The number of the batch that was seen last."""

    def __init__(self):
        super().__init__(name="tag")
        self.tag = self.add_weight(name="tag", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.tag.assign(keras.ops.cast(keras.ops.mean(y_true), "float32"))

    def result(self):
        return self.tag.value if hasattr(self.tag, "value") else self.tag

    def reset_state(self):
        self.tag.assign(keras.ops.zeros(()))


class Watch(keras.callbacks.Callback):
    """Notes what the model was given, and does what a case wants at a step of an epoch."""

    def __init__(self, kit, at=None, do=None):
        super().__init__()
        self.kit, self.at, self.do = kit, at, do
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.kit.note("epoch", epoch)

    def on_train_batch_end(self, step, logs=None):
        self.kit.note("train", round(float(logs["tag"])))
        if (self.epoch, step) == self.at:
            self.do(self.model)

    def on_test_batch_end(self, step, logs=None):
        self.kit.note("test", round(float(logs["tag"])))
        if ("test", step) == self.at:
            self.do(self.model)

    def on_predict_batch_end(self, step, logs=None):
        outputs = logs["outputs"]
        outputs = outputs.numpy() if hasattr(outputs, "numpy") else np.asarray(outputs)
        for number in outputs[::SAMPLES, 0]:
            self.kit.note("predict", round(float(number)))


def make_model(*, built=False, as_dict=False, steps_per_execution=1):
    """The identity, which learns nothing."""
    if as_dict:
        one, other = (keras.Input((1,), name=name) for name in ("one", "other"))
        half = keras.layers.Add()([one, other])
        output = keras.layers.Dense(
            1, use_bias=False, kernel_initializer=keras.initializers.Constant(0.5)
        )(half)
        model = keras.Model({"one": one, "other": other}, output)
    else:
        layers = [keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")]
        model = keras.Sequential([keras.Input((1,)), *layers] if built else layers)
    model.compile(
        keras.optimizers.SGD(0.0),
        "mse",
        metrics=[LastTag()],
        steps_per_execution=steps_per_execution,
    )
    return model


class Kit:
    """What a case needs; `dataset(length, **kinds)` is what is recorded or tested."""

    def __init__(self, dataset, note=None, model=make_model):
        self.dataset = dataset
        self.model = model
        self.seen = []
        self._note = note

    def note(self, what, number):
        self.seen.append((what, number))
        if self._note is not None:
            self._note(what, number)

    def of(self, what):
        """The numbers of the batches that were seen there."""
        return [number for kind, number in self.seen if kind == what]

    def epochs(self):
        """The batches trained, epoch by epoch."""
        found = []
        for what, number in self.seen:
            if what == "epoch":
                found.append([])
            elif what == "train":
                found[-1].append(number)
        return found

    def fit(self, model, data, *, at=None, do=None, callbacks=(), **options):
        watch = Watch(self, at, do)
        return model.fit(data, verbose=0, callbacks=[watch, *callbacks], **options)

    def evaluate(self, model, data, **options):
        return model.evaluate(data, verbose=0, callbacks=[Watch(self)], **options)

    def predict(self, model, data, **options):
        return model.predict(data, verbose=0, callbacks=[Watch(self)], **options)


def stop(model):
    model.stop_training = True


def stop_evaluating(model):
    model.stop_evaluating = True


class Boom(Exception):
    """A user's own."""


def boom(model):
    raise Boom("a callback's")


# --- the cases ----------------------------------------------------------------------------


def fit(kit):
    kit.fit(kit.model(), kit.dataset(5), epochs=3)


def fit_built(kit):
    kit.fit(kit.model(built=True), kit.dataset(5), epochs=2)


def fit_in_order(kit):
    kit.fit(kit.model(), kit.dataset(5), epochs=2, shuffle=False)


def fit_twice(kit):
    model, data = kit.model(), kit.dataset(4)
    kit.fit(model, data, epochs=2)
    kit.fit(model, data, epochs=1)


def initial_epoch(kit):
    kit.fit(kit.model(), kit.dataset(4), epochs=4, initial_epoch=2)


def one_batch(kit):
    kit.fit(kit.model(), kit.dataset(1), epochs=3)


def two_batches(kit):
    kit.fit(kit.model(), kit.dataset(2), epochs=3)


def validation(kit):
    kit.fit(kit.model(), kit.dataset(4), validation_data=kit.dataset(3), epochs=3)


def validation_of_one(kit):
    kit.fit(kit.model(), kit.dataset(2), validation_data=kit.dataset(1), epochs=3)


def validation_steps(kit):
    data, valid = kit.dataset(3), kit.dataset(5)
    kit.fit(kit.model(), data, validation_data=valid, validation_steps=2, epochs=3)


def validation_freq(kit):
    data, valid = kit.dataset(3), kit.dataset(2)
    kit.fit(kit.model(), data, validation_data=valid, validation_freq=2, epochs=4)


def stop_evaluating_early(kit):
    data, valid = kit.dataset(3), kit.dataset(4)
    kit.fit(kit.model(), data, validation_data=valid, epochs=3, at=("test", 1), do=stop_evaluating)


def evaluate(kit):
    model, data = kit.model(), kit.dataset(4)
    kit.evaluate(model, data)
    kit.evaluate(model, data)


def evaluate_steps(kit):
    model, data = kit.model(), kit.dataset(4)
    kit.evaluate(model, data, steps=2)
    kit.evaluate(model, data)


def predict(kit):
    model, data = kit.model(), kit.dataset(4)
    kit.predict(model, data)
    kit.predict(model, data)


def predict_one(kit):
    model, data = kit.model(), kit.dataset(1)
    kit.predict(model, data)
    kit.predict(model, data)


def all_three(kit):
    model, data = kit.model(), kit.dataset(3)
    kit.predict(model, data)
    kit.fit(model, data, epochs=2)
    kit.evaluate(model, data)
    kit.predict(model, data)
    kit.fit(model, data, epochs=1)


def steps_below(kit):
    kit.fit(kit.model(), kit.dataset(5), steps_per_epoch=2, epochs=6)


def steps_equal(kit):
    kit.fit(kit.model(), kit.dataset(4), steps_per_epoch=4, epochs=3)


def steps_below_evenly(kit):
    kit.fit(kit.model(), kit.dataset(4), steps_per_epoch=2, epochs=4)


def endless(kit):
    kit.fit(kit.model(), kit.dataset(3, endless=True), steps_per_epoch=4, epochs=3)


def endless_twice(kit):
    model, data = kit.model(), kit.dataset(3, endless=True)
    kit.fit(model, data, steps_per_epoch=4, epochs=2)
    kit.fit(model, data, steps_per_epoch=4, epochs=1)


def stopped(kit):
    model, data = kit.model(), kit.dataset(5)
    kit.fit(model, data, epochs=3, at=(1, 1), do=stop)
    kit.fit(model, data, epochs=2)


def stopped_at_last(kit):
    model, data = kit.model(), kit.dataset(3)
    kit.fit(model, data, epochs=3, at=(0, 2), do=stop)
    kit.fit(model, data, epochs=2)


def broken(kit):
    model, data = kit.model(), kit.dataset(5)
    try:
        kit.fit(model, data, epochs=3, at=(1, 1), do=boom)
    except Boom:
        pass
    kit.fit(model, data, epochs=2)


def several_at_once(kit):
    kit.fit(kit.model(steps_per_execution=2), kit.dataset(4), epochs=3)


def several_at_once_unevenly(kit):
    kit.fit(kit.model(steps_per_execution=2), kit.dataset(5), epochs=3)


def several_at_once_with_validation(kit):
    model = kit.model(steps_per_execution=3)
    kit.fit(model, kit.dataset(4), validation_data=kit.dataset(5), epochs=2)


def class_weight(kit):
    kit.fit(kit.model(), kit.dataset(3), epochs=2, class_weight={0: 1.0, 1: 2.0, 2: 3.0})


def sample_weights(kit):
    kit.fit(kit.model(), kit.dataset(3, weights=True), epochs=2)


def dicts(kit):
    kit.fit(kit.model(as_dict=True), kit.dataset(3, as_dict=True), epochs=2)


def early_stopping(kit):
    stopping = keras.callbacks.EarlyStopping("loss", patience=1, min_delta=1.0)
    model, data = kit.model(), kit.dataset(3)
    kit.fit(model, data, epochs=5, callbacks=[stopping])
    kit.fit(model, data, epochs=1)


CASES = {
    case.__name__: case
    for case in (
        fit, fit_built, fit_in_order, fit_twice, initial_epoch, one_batch, two_batches,
        validation, validation_of_one, validation_steps, validation_freq, stop_evaluating_early,
        evaluate, evaluate_steps, predict, predict_one, all_three, steps_below, steps_equal,
        steps_below_evenly, endless, endless_twice, stopped, stopped_at_last, broken,
        several_at_once, several_at_once_unevenly, several_at_once_with_validation,
        class_weight, sample_weights, dicts, early_stopping,
    )
}  # fmt: skip
