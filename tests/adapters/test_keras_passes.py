"""Which of Keras' passes are real: without Keras, against what it was recorded to do."""

from __future__ import annotations

import json
import sys
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloader.adapters.keras.frames import forget_gone
from seqloader.adapters.keras.passes import KEPT, Answer, Ending, Passes

CALLS = Path(__file__).parent / "keras_calls"
RECORDED = [
    pytest.param(name, calls, id=f"{path.stem}-{name}")
    for path in sorted(CALLS.glob("*.json"))
    for name, calls in json.loads(path.read_text()).items()
    if name != "keras"
]


class Dataset:
    """As KerasDataset, over epochs that are no more than (epoch, index)."""

    def __init__(self, length, *, endless=False):
        self.length, self.endless = length, endless
        self.passes = Passes()
        self.epoch, self.index = -1, 0
        self.under_way = False
        self.hooks = []

    def _is_over(self):
        over = self.under_way and self.index == self.length
        return over and not self.passes.is_pending

    def _begin(self):
        self._leave()
        self.epoch, self.index, self.under_way = self.epoch + 1, 0, True
        self.hooks.append(("begin", self.epoch))

    def _leave(self):
        if self.under_way:
            self.hooks.append(("end", self.epoch))
        self.under_way = False

    def _next(self):
        if not self.under_way or (self.endless and self.index == self.length):
            self._begin()
        assert self.index < self.length, "a batch beyond the end was asked for"
        self.index += 1
        return self.epoch, self.index - 1

    def made(self):
        self.passes.made()
        self.passes.check()

    def begin(self, walk):
        cut = self.passes.begin(walk)
        if cut or not self.under_way or self._is_over():
            self._begin()
        self.passes.check()

    def end(self, walk):
        if self.passes.end(walk) is Ending.GO_BACK:
            self.index = 0
        elif self._is_over():
            self.passes.joined()
            self._leave()
        self.passes.check()

    def ask(self, generator):
        answer, begins = self.passes.ask(generator)
        if begins:
            self._begin()
        if answer is Answer.REFUSE or answer is Answer.COMPUTE:
            batch = None
        elif answer is Answer.AGAIN:
            batch = self.passes.again()
        elif generator is None and self._is_over():
            batch = self.passes.last_kept()
        else:
            batch = self._next()
            if answer is Answer.KEEP:
                self.passes.keep(batch)
        self.passes.check()
        return batch


def replayed(calls):
    """The datasets after these calls, and what the model was given of each, in order."""
    datasets = [Dataset(n, endless=kinds.get("endless", False)) for n, kinds in calls["datasets"]]
    asked = {}  # serial: dataset, generator, batch
    used = {}  # dataset, generator: last serial that the model was given
    keys = {}  # a generator is known by what it is, not by its number
    for what, *facts in calls["events"]:
        if what == "made":
            datasets[facts[0]].made()
        elif what == "begin":
            datasets[facts[0]].begin(facts[1])
        elif what == "end":
            datasets[facts[0]].end(facts[1])
        elif what == "ask":
            number, generator, _, serial = facts
            key = None if generator is None else keys.setdefault((number, generator), object())
            asked[serial] = number, key, datasets[number].ask(key)
        elif what in ("train", "test", "predict"):
            number, key, _ = asked[facts[0]]
            used[number, key] = facts[0]
    given = [[] for _ in datasets]
    for serial, (number, key, batch) in asked.items():
        if serial <= used.get((number, key), -1):
            given[number].append(batch)
    return datasets, given


def epochs_of(given):
    """Which epochs were given and how far; each must be in order and without a gap."""
    reached = {}
    for epoch, index in given:
        assert index == reached.get(epoch, 0), f"batch {index} of epoch {epoch} is not the next"
        assert epoch == max([epoch, *reached]), "an earlier epoch goes on"
        reached[epoch] = index + 1
    return reached


LEFT_EARLY = {
    "validation_steps", "stop_evaluating_early", "evaluate_steps", "stopped", "broken",
    "endless_twice", "endless", "steps_below",
}  # fmt: skip


@pytest.mark.parametrize(("name", "calls"), RECORDED)
def test_what_keras_was_recorded_to_do_gives_each_batch_once_in_order(name, calls):
    datasets, given = replayed(calls)

    for dataset, batches in zip(datasets, given, strict=True):
        reached = epochs_of(batches)
        assert [*reached] == sorted(reached)
        if name not in LEFT_EARLY:
            assert [*reached] == [*range(len(reached))]
            assert set(reached.values()) <= {dataset.length}
        ends = [epoch for hook, epoch in dataset.hooks if hook == "end"]
        assert ends == [*range(len(ends))]
        assert len(dataset.hooks) - len(ends) - len(ends) in (0, 1)


# --- any trainer of that kind ---------------------------------------------------------------


class Trainer:
    """Keras' way with a dataset, with every liberty that a backend takes."""

    def __init__(self, dataset, *, probe, ahead):
        self.dataset, self.probe, self.ahead = dataset, probe, ahead
        self.given = []
        self.stale = []

    def adapter(self):
        self.dataset.made()
        for _ in range(min(self.probe, self.dataset.length)):
            self.dataset.ask(None)

    def _pass(self):
        return {"key": object(), "asked": []}

    def _fill(self, under_way, count):
        wanted = len(under_way["asked"])
        length = self.dataset.length
        while wanted < count and (self.dataset.endless or wanted < length):
            under_way["asked"].append(self.dataset.ask(under_way["key"]))
            wanted += 1

    def build(self, takes):
        """A walk that is dropped, and a reset."""
        self.dataset.begin(object())
        self._fill(self._pass(), takes)
        self.dataset.end(None)

    def walk(self, under_way, start, steps):
        """Steps of one pass; what was read ahead stays with it."""
        walk = object()
        self.dataset.begin(walk)
        for step in range(start, start + steps):
            self._fill(under_way, step + 1 + self.ahead)
            self.given.append(under_way["asked"][step])
        return walk

    def epoch(self, *, steps=None, stops=False, counts=True):
        """One walk over one pass; left early, it does not end itself."""
        under_way, before = self._pass(), len(self.given)
        walk = self.walk(under_way, 0, self.dataset.length if steps is None else steps)
        if stops:
            self.stale.append(under_way)
        else:
            self.dataset.end(walk)
        if not counts:
            epochs_of(self.given[before:])
            del self.given[before:]

    def read_on(self):
        """A thread that has not heard that its pass was left."""
        for under_way in self.stale:
            assert self.dataset.ask(under_way["key"]) is None


@st.composite
def histories(draw):
    length = draw(st.integers(1, 5))
    dataset = Dataset(length)
    trainer = Trainer(dataset, probe=draw(st.sampled_from([0, 2])), ahead=draw(st.integers(0, 3)))
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["fit", "fit early", "evaluate", "predict", "cut predict"]))
        trainer.adapter()
        trainer.read_on()
        if kind != "predict" and kind != "cut predict":
            if draw(st.booleans()):
                trainer.build(draw(st.integers(1, 2 * KEPT)))
            else:
                dataset.end(None)
        repeats = draw(st.integers(1, 3))
        early = kind in ("fit early", "cut predict")
        for repeat in range(repeats):
            last = repeat == repeats - 1
            if early and last:
                # A `predict` that is left early looks like a build that failed: the next pass
                # may begin the same epoch.
                steps, counts = draw(st.integers(1, length)), kind != "cut predict"
                trainer.epoch(steps=steps, stops=True, counts=counts)
            else:
                trainer.epoch()
            if kind == "evaluate" and not last:
                dataset.end(None)  # the reset before a validation
            if kind in ("predict", "cut predict"):
                break
    return trainer


@given(histories())
def test_any_history_gives_each_batch_once_in_order(trainer):
    reached = epochs_of(trainer.given)

    assert [*reached] == sorted(reached)
    assert None not in trainer.given
    begun = [epoch for hook, epoch in trainer.dataset.hooks if hook == "begin"]
    assert begun == [*range(len(begun))]
    assert {*reached} <= {*begun}


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 8), st.sampled_from([0, 2]))
def test_walks_share_a_pass_where_steps_are_fewer_than_batches(length, steps, walks, probe):
    trainer = Trainer(Dataset(length, endless=True), probe=probe, ahead=0)
    trainer.adapter()
    trainer.dataset.end(None)
    under_way = trainer._pass()

    for number in range(walks):
        trainer.dataset.end(trainer.walk(under_way, number * steps, steps))

    flat = [divmod(number, length) for number in range(walks * steps)]
    assert trainer.given == flat


def test_a_plain_call_is_random_access_outside_of_a_probe():
    passes = Passes()
    assert passes.ask(None) == (Answer.COMPUTE, False)
    passes.made()
    assert passes.ask(None) == (Answer.KEEP, True)
    passes.keep("a")
    passes.end(None)
    assert passes.ask(None) == (Answer.COMPUTE, False)
    assert passes.ask("generator") == (Answer.AGAIN, False)
    assert passes.again() == "a"


def test_what_became_of_a_batch_is_not_known_after_a_failure():
    passes = Passes()
    passes.made()
    passes.begin("walk")
    passes.ask("generator")
    passes.keep("a")
    passes.fail()
    passes.made()

    assert passes.begin("another walk")
    assert not passes.is_pending


def test_a_place_that_was_gone_to_is_not_cut():
    passes = Passes()
    passes.made()
    passes.end(None)
    passes.begin("walk")
    passes.ask("generator")
    passes.made()
    passes.end(None)
    passes.moved()

    assert not passes.begin("another walk")
    assert passes.ask("another generator") == (Answer.NEXT, False)
    assert passes.ask("generator")[0] is Answer.REFUSE


def test_a_place_that_was_gone_to_before_a_fit_is_not_cut_by_it():
    passes = Passes()
    passes.moved()
    passes.made()
    assert passes.is_untrained
    assert not passes.begin("build")
    assert passes.ask("generator") == (Answer.KEEP, False)
    passes.keep("a")
    assert passes.end(None) is Ending.JOIN
    assert passes.is_untrained

    assert not passes.begin("walk")
    assert passes.ask("another generator") == (Answer.AGAIN, False)
    assert passes.again() == "a"
    assert not passes.is_untrained


def test_a_place_that_was_gone_to_is_left_once_a_batch_was_trained():
    passes = Passes()
    passes.moved()
    for _ in range(2):
        passes.made()
        passes.end(None)
        cut = passes.begin("walk")
        passes.ask("generator")

    assert cut
    assert not passes.is_untrained


def test_the_frames_of_generators_that_are_gone_are_let_go():
    frames = deque()

    def generate():
        frames.append(sys._getframe())
        yield

    gone, waiting = generate(), generate()
    next(gone), next(waiting)
    del gone
    forget_gone(frames)

    assert len(frames) == 1
    assert frames[0] is waiting.gi_frame
