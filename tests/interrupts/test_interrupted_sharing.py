"""An exception that arrives anywhere in `share` leaves neither memory nor a descriptor."""

from __future__ import annotations

import contextlib
import gc

import numpy as np
import pytest
from arrivals import Arrival, Interrupt
from course import Remains

from seqloader import share
from seqloader.memory.shared_arrays import live_memories


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("step", [1, 2])
def test_an_interrupt_at_every_point_of_share_leaves_nothing(step):
    array = np.arange(10_000)[::step]
    Arrival().call(share, array)  # imports; and Python 3.12 traces nothing the first time
    at, arrival = 0, None

    while arrival is None or arrival.armed is not None:
        at += 1
        remains = Remains()
        arrival = Arrival(at)
        with contextlib.suppress(Interrupt):
            assert (arrival.call(share, array) == array).all()
        if live_memories():
            gc.collect()
        assert not live_memories(), arrival.armed
        remains.check()

    assert at > 20
