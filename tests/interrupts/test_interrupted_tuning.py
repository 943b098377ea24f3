"""P11: an asynchronous exception at any point of a look of the tuner loses no batch."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from typing import Any, Final

import pytest
from arrivals import Arrival, Interrupt
from course import Changing, Remains

from seqloader import OrderedEnqueuer
from seqloader.run.tuning import rule, tuner
from seqloader.run.tuning.facts import Size
from seqloader.run.tuning.rule import Decision

LENGTH: Final = 6
STRIDE: Final = int(os.environ.get("SEQLOADER_TUNING_STRIDE", "9"))
"""Every so manieth point is tried."""


@pytest.mark.limit(180)
def test_an_interrupt_at_many_points_of_a_look_loses_no_batch(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sizes = itertools.cycle([Size(3, 8), Size(1, 2)])
    monkeypatch.setattr(rule.Rule, "look", lambda self, facts: Decision(next(sizes), "restless"))
    monkeypatch.setattr(tuner, "LOOK_S", 0.0)
    monkeypatch.setattr(tuner, "LEAST_BATCHES", 1)
    remains = Remains()
    interrupted: set[str] = set()
    enqueuer: OrderedEnqueuer[Any]
    with OrderedEnqueuer(Changing(LENGTH), workers="auto", use_multiprocessing=False) as enqueuer:
        sequence: Any = enqueuer.sequence
        for at in itertools.count(1, STRIDE):
            arrival = Arrival(at)
            iterator = iter(enqueuer)
            state = sequence.ended
            batches = []
            for _ in range(LENGTH):
                with contextlib.suppress(Interrupt):
                    batches.append(arrival.call(next, iterator))
            batches.extend(iterator)
            place = f"{arrival.armed}, handled at {arrival.where}"
            assert [b.tolist() for b in batches] == [[state, i] for i in range(LENGTH)], place
            if arrival.armed is None:
                break
            interrupted.add(arrival.armed.function)
            enqueuer._run.check()
    remains.check()

    assert {"_look", "asked"} & interrupted
    assert os.listdir(tmp_path) == []
