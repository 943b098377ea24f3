"""What a script has registered with Python's own registries is known in its workers."""

from __future__ import annotations

import copyreg
import sys
import threading

import pytest

from seqloader import OrderedEnqueuer, Sequence


class Reading:
    """It can be pickled as `copyreg` is told only."""

    def __init__(self, value):
        self.value = value
        self.lock = threading.Lock()


@pytest.fixture
def of_a_script(monkeypatch):
    """`Reading` and its reduction, as if this file were the script."""
    main = sys.modules["__main__"]

    def reduce_reading(reading):
        return main.Reading, (reading.value,)

    monkeypatch.setattr(Reading, "__module__", "__main__")
    monkeypatch.setattr(main, "Reading", Reading, raising=False)
    monkeypatch.setitem(copyreg.dispatch_table, Reading, reduce_reading)
    reduce_reading.__module__ = "__main__"
    return Reading


class Readings(Sequence):
    def __init__(self, kind):
        self.kind = kind
        self.first = kind(7)

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.first if index == 0 else self.kind(index)


def test_a_batch_is_reduced_as_the_script_has_registered_it(of_a_script):
    with OrderedEnqueuer(Readings(of_a_script), workers=1) as enqueuer:
        batches = list(enqueuer)

    assert [type(batch) for batch in batches] == [of_a_script] * 2
    assert [batch.value for batch in batches] == [7, 1]
