"""A run recorded, resumed and killed, beside itself."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from seqloader import Sequence
from seqloader.command.check.options import Settings
from seqloader.command.check.replaying import (
    Recording,
    Setup,
    copies_of,
    recorded,
    replay,
    resumed,
)

INLINE = Setup(Settings("", workers=0, batches=8), "spawn")


class Numbers(Sequence):
    def __init__(self, length):
        self.length = length

    @property
    def num_batches(self):
        return self.length

    def __getitem__(self, index):
        return np.random.normal(size=2), index


class Sparse(Numbers):
    def __getitem__(self, index):
        return None if index % 3 else super().__getitem__(index)


class Shrinking(Numbers):
    def on_epoch_end(self):
        self.length -= 3

    def state_dict(self):
        return {"length": self.length}

    def load_state_dict(self, state):
        self.length = state["length"]


class Shuffled(Numbers):
    offset = 0

    def __getitem__(self, index):
        return index + self.offset

    def on_epoch_end(self):
        self.offset = int(np.random.randint(1, 1000))


class Unrepeatable(Shuffled):
    def on_epoch_end(self):
        self.offset = int(np.random.default_rng().integers(1, 10**9))


class Unsaved(Numbers):
    def state_dict(self):
        return {"rows": np.zeros(3)}

    def load_state_dict(self, state):
        raise KeyError("rows")


class Unloaded(Unsaved):
    def state_dict(self):
        return {}


def run_with(**settings):
    return INLINE._replace(settings=dataclasses.replace(INLINE.settings, **settings))


def run_for(length):
    most = INLINE.settings.batches
    return run_with(batches=most if length is None else min(most, length))


@pytest.mark.parametrize(
    ("kind", "length"),
    [
        *((kind, length) for kind in (Numbers, Sparse) for length in (1, 2, 3, 7, 8, 20, None)),
        *((Shrinking, length) for length in (7, 8, 20)),
    ],
)
def test_what_was_saved_goes_on_as_the_run_that_was_not_interrupted(kind, length):
    run = run_for(length)

    recording = recorded(kind(length), run)
    found = resumed(lambda: kind(length), run, recording)

    assert found.error == ""
    assert recording.epochs[0] != recording.epochs[1]
    assert found.differs_at is None
    assert found.compared > 0
    assert found.positions


def test_what_a_hook_did_is_missing_where_no_state_carries_it():
    recording = recorded(Shuffled(8), INLINE)

    found = resumed(lambda: Shuffled(8), INLINE, recording)

    assert found.differs_at == (1, 1, 2)
    assert found.differing == 6
    assert found.again_differs == -1
    assert found.hooks
    assert not found.keeps_state


def test_a_hook_that_is_random_is_told_from_one_that_is_not_saved():
    recording = recorded(Unrepeatable(8), INLINE)

    found = resumed(lambda: Unrepeatable(8), INLINE, recording)

    assert found.again_differs == 1


def test_a_sequence_that_is_made_another_each_time_is_told():
    offsets = itertools.count()

    def make():
        sequence = Shuffled(8)
        sequence.offset = next(offsets)
        return sequence

    found = resumed(make, INLINE, recorded(make(), INLINE))

    assert found.again_differs == 0


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Unsaved, "json.dumps(enqueuer.state_dict()) raised TypeError"),
        (Unloaded, "load_state_dict() raised KeyError: 'rows' (state of epoch 0, position 4)"),
    ],
)
def test_a_state_that_cannot_be_saved_or_loaded_is_said(kind, said):
    found = recorded(kind(8), INLINE)
    if isinstance(found, Recording):
        found = resumed(lambda: kind(8), INLINE, found)

    assert said in found.error


# In a module of its own: workers import what their Sequence's module does.
WRITTEN = """
    class Drawn(Sequence):
        def __init__(self):
            self.rows = np.random.default_rng().normal(size=8)

        def __len__(self):
            return 8

        def __getitem__(self, index):
            return self.rows[index]
"""


def test_what_is_made_another_each_time_is_killed_nevertheless_since_copies_are_alike(module_of):
    module = module_of(WRITTEN)
    run = run_with(target=f"{module.__name__}:Drawn", workers=1, kills=3)
    told = []

    replay(told.append, run, recorded(module.Drawn(), run))

    [resume, kills] = [each for each in told if not hasattr(each, "words")]
    assert resume.again_differs == 0
    assert (kills.kills, kills.error, kills.compared, kills.differing) == (3, "", 16, 0)


def test_a_copy_is_as_the_original_was_and_shares_mapped_files(tmp_path):
    np.arange(6.0).tofile(tmp_path / "rows")
    original = Numbers(8)
    original.rows = np.memmap(tmp_path / "rows", float, "r", shape=(3, 2))[1:]
    original.kept = [1]

    make = copies_of(original)
    original.kept.append(2)

    assert make().kept == [1]
    assert make().kept is not make().kept
    assert make().rows is original.rows
