"""P11 where coming epochs are computed ahead: an interrupt at any place loses no batch, and none
is of another state or epoch."""

from __future__ import annotations

import os
import random
from typing import Final

import pytest
from arrivals import Arrival, Interrupt
from course import Remains, Still, Turns

from seqloader import OrderedEnqueuer

SAMPLE: Final = int(os.environ.get("SEQLOADER_SWEEP_POINTS", "32"))
"""Points, of which a default run tries half; each costs one or two starts."""


def course(arrival: Arrival) -> Turns:
    return Turns(OrderedEnqueuer(Still(), workers=2, max_queue_size=6, seed=1), arrival)


def undisturbed() -> Arrival:
    """The places of a course. The second of two: the first imports."""
    course(Arrival()).run()
    counting = Arrival()
    course(counting).run()
    return counting


def interrupted(arrival: Arrival) -> str:
    remains = Remains()
    turns = course(arrival)
    try:
        turns.run()
        remains.check()
    except BaseException as error:
        place = f"{arrival.armed} in {turns.step}, handled at {arrival.where}"
        raise AssertionError(f"at {place}: {turns.outcome}: {error!r}") from error
    return turns.outcome


def interrupted_at(sites: list[object]) -> list[str]:
    outcomes, failures = [], []
    for site in sites:
        try:
            outcomes.append(interrupted(Arrival(site=site, kind=Interrupt)))
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, f"{len(failures)} of {len(sites)}:\n" + "\n".join(failures[:40])
    return outcomes


@pytest.mark.slow
@pytest.mark.limit(240)
def test_interrupt_at_many_places_of_the_turns_loses_no_batch():
    sites = list(dict.fromkeys(undisturbed().passed))
    ours = [site for site in sites if "ahead.py" in str(site) or "epochs.py" in str(site)]

    outcomes = interrupted_at(random.Random(3).sample(ours, min(SAMPLE // 2, len(ours))))

    assert any(outcome.startswith("went on") for outcome in outcomes)


@pytest.mark.soak
@pytest.mark.limit(3600)
def test_interrupt_at_every_place_of_the_turns_loses_no_batch():
    interrupted_at(list(dict.fromkeys(undisturbed().passed)))
