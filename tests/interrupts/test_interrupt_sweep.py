"""P11: an asynchronous exception at any point of any call loses no batch and leaves nothing."""

from __future__ import annotations

import contextlib
import os
import random
from typing import Any, Final

import pytest
from arrivals import Arrival, Interrupt
from course import Changing, Course, Remains

from seqloader import OrderedEnqueuer

KINDS: Final = (Interrupt, KeyboardInterrupt, TimeoutError)
"""What no code of ours names, what a terminal sends, and what handlers of alarms raise."""
SAMPLE: Final = int(os.environ.get("SEQLOADER_SWEEP_POINTS", "32"))
"""Points of the process executor that a default run tries; each costs one or two starts."""

EXECUTORS: Final[dict[str, dict[str, Any]]] = {
    "inline": {"workers": 0},
    "inline-seeded": {"workers": 0, "seed": 3},
    "thread": {"workers": 2, "use_multiprocessing": False},
    "spawn": {"workers": 2},
    "zygote": {"workers": 2, "start_method": "zygote"},
    "fork": {"workers": 2, "start_method": "fork"},
}


def enqueuer(executor: str) -> OrderedEnqueuer[Any]:
    return OrderedEnqueuer(Changing(), max_queue_size=3, **EXECUTORS[executor])


def undisturbed(executor: str) -> Arrival:
    """The points of a course. The second of two: the first imports."""
    Course(enqueuer(executor), Arrival()).run()
    counting = Arrival()
    Course(enqueuer(executor), counting).run()
    return counting


def interrupted(executor: str, arrival: Arrival) -> str:
    """Walk the course under the arrival; the failure says where it was."""
    remains = Remains()
    course = Course(enqueuer(executor), arrival)
    try:
        course.run()
        remains.check()
    except BaseException as error:
        place = f"{arrival.armed} in {course.step}, handled at {arrival.where}"
        raise AssertionError(
            f"{executor}, {arrival.kind.__name__} at {place}: {course.outcome}: {error!r}"
        ) from error
    return course.outcome


def in_all(executor: str, arrivals: list[Arrival]) -> list[str]:
    """The outcomes; one failure that lists every point that failed."""
    outcomes, failures = [], []
    for arrival in arrivals:
        try:
            outcomes.append(interrupted(executor, arrival))
        except AssertionError as failure:
            failures.append(str(failure))
    listing = "\n".join(failures[:40])
    assert not failures, f"{len(failures)} of {len(arrivals)} points:\n{listing}"
    return outcomes


@pytest.mark.slow
@pytest.mark.limit(300)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("executor", ["inline", "inline-seeded", "thread"])
def test_interrupt_at_every_point_loses_no_batch(executor, kind):
    points = undisturbed(executor).points()
    # The points are the same for all kinds, and a seed adds many to those of the inline executor:
    # its search for generators only looks at things.
    step = 11 if executor == "inline-seeded" else 1 if kind is Interrupt else 5

    arrivals = [Arrival(at, within=call, kind=kind) for call, at in points[::step]]
    outcomes = in_all(executor, arrivals)

    assert any(outcome.startswith("went on after next") for outcome in outcomes)
    assert "stopped" in outcomes


@pytest.mark.slow
@pytest.mark.limit(240)
@pytest.mark.parametrize("executor", ["fork", "spawn", "zygote"])
def test_interrupt_at_many_places_of_the_process_executor_loses_no_batch(executor):
    sites = list(dict.fromkeys(undisturbed(executor).passed))
    # A zygote is started and ended for each; the soak walks all of its places.
    count = SAMPLE // 2 if executor == "zygote" else SAMPLE
    chosen = random.Random(2).sample(sites, min(count, len(sites)))

    outcomes = in_all(executor, [Arrival(site=site) for site in chosen])

    assert "stopped" in outcomes


@pytest.mark.soak
@pytest.mark.limit(3600)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("executor", ["fork", "spawn", "zygote"])
def test_interrupt_at_every_place_of_the_process_executor_loses_no_batch(executor, kind):
    sites = dict.fromkeys(undisturbed(executor).passed)

    in_all(executor, [Arrival(site=site, kind=kind) for site in sites])


@pytest.mark.slow
@pytest.mark.limit(300)
@pytest.mark.parametrize(("given", "step"), [(1, 1), (3, 4)], ids=["next", "end of epoch"])
def test_interrupt_at_points_of_a_warm_call_loses_no_batch(given, step):
    at, delivered, whole = 1 - step, [], []
    sequence = Changing(3)

    # One enqueuer for all, whose workers are warm: an epoch for each point of the call.
    with OrderedEnqueuer(sequence, workers=2, max_queue_size=2) as warm:
        while True:
            at += step
            arrival = Arrival(at)
            iterator = iter(warm)
            whole.append([[sequence.ended, index] for index in range(3)])
            batches = [next(iterator) for _ in range(given)]
            with contextlib.suppress(Interrupt, StopIteration):
                batches.append(arrival.call(next, iterator))
            if given < 3:
                assert warm.is_running()
                batches.extend(iterator)
            delivered.append([batch.tolist() for batch in batches])
            if arrival.armed is None:
                break

    assert delivered == whole
    assert at > 20
