"""Writes down what Keras calls on a `PyDataset`, in which order: keras_calls/<backend>.json.

    KERAS_BACKEND=jax python tests/adapters/record_keras_calls.py

For each case of keras_cases.py, the events of its datasets and what the model was given:

    ["made", d]            an adapter was made for dataset d (it reads `workers`)
    ["begin", d, w]        on_epoch_begin; w numbers the generator that walks over the steps
    ["end", d, w]          on_epoch_end; by walk w itself, or null: by somebody else
    ["ask", d, g, i, k]    __getitem__(i) by generator g (null: by a plain call); k-th ask of all
    ["train", k] ...       the model was given what the k-th ask returned

With "--ahead" jax looks one batch ahead, as it does off the CPU.
"""

from __future__ import annotations

import inspect
import json
import sys
import warnings
from pathlib import Path

import keras

sys.path.insert(0, str(Path(__file__).parent))
import keras_cases
from keras_batches import batch

warnings.simplefilter("ignore")


class Recorder(keras.utils.PyDataset):
    """Notes each call, and returns a batch whose number is that of the ask."""

    def __init__(self, number, length, events, **kinds):
        self._events = events
        self._number = number
        self._length = length
        self._endless = kinds.pop("endless", False)
        self._kinds = kinds
        self._walks = {}
        self._generators = []
        super().__init__()

    def _log(self, *event):
        self._events.append(list(event))

    @property
    def workers(self):
        self._log("made", self._number)
        return 1

    @property
    def num_batches(self):
        return None if self._endless else self._length

    def on_epoch_begin(self):
        walk = len(self._events)
        self._walks[id(walking(sys._getframe(1)))] = walk
        self._log("begin", self._number, walk)

    def on_epoch_end(self):
        self._log("end", self._number, self._walks.get(id(walking(sys._getframe(1)))))

    def __getitem__(self, index):
        frame = sys._getframe(1)
        generator = None
        if frame.f_code.co_flags & inspect.CO_GENERATOR:
            if frame not in self._generators:
                self._generators.append(frame)
            generator = self._generators.index(frame)
        serial = sum(event[0] == "ask" for event in self._events)
        self._log("ask", self._number, generator, index, serial)
        return batch(serial, **self._kinds)


def walking(frame):
    """The nearest generator on the stack."""
    while frame is not None and not frame.f_code.co_flags & inspect.CO_GENERATOR:
        frame = frame.f_back
    return frame


def record(case):
    events = []
    made = []

    def dataset(length, **kinds):
        made.append([length, kinds])
        return Recorder(len(made) - 1, length, events, **kinds)

    kit = keras_cases.Kit(dataset, lambda what, number: events.append([what, number]))
    try:
        case(kit)
    except Exception as error:
        events.append(["error", type(error).__name__, str(error)[:80]])
    return {"datasets": made, "events": events}


def main():
    backend = keras.config.backend()
    if "--ahead" in sys.argv:
        import jax

        jax.default_backend = lambda: "gpu"
        backend += "_ahead"
    found = {}
    for name, case in keras_cases.CASES.items():
        found[name] = record(case)
        print(name, [e[0][0] + "".join(str(x) for x in e[1:]) for e in found[name]["events"]])
    path = Path(__file__).parent / "keras_calls" / f"{backend}.json"
    path.parent.mkdir(exist_ok=True)
    found["keras"] = keras.__version__
    lines = ",\n".join(f'"{name}": {json.dumps(value)}' for name, value in found.items())
    path.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
