"""P11 for jumps: an asynchronous exception at any point of one leaves the run here or there."""

from __future__ import annotations

import contextlib
import os
import random
from typing import TYPE_CHECKING, Any, Final

import pytest
from arrivals import Arrival, Interrupt
from course import Changing, Remains

from seqloader import OrderedEnqueuer

if TYPE_CHECKING:
    from collections.abc import Callable

EXECUTORS: Final[dict[str, dict[str, Any]]] = {
    "inline": {"workers": 0},
    "thread": {"workers": 2, "use_multiprocessing": False},
    "spawn": {"workers": 1},
}
SAMPLE: Final = int(os.environ.get("SEQLOADER_JUMP_POINTS", "12"))
"""Points that are tried of a jump with worker processes: each costs a start."""


class Placed(Changing):
    """With a state of its own, which a load gives it."""

    def state_dict(self) -> dict[str, int]:
        return {"ended": self.ended}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.ended = state["ended"]


def placed(executor: str) -> OrderedEnqueuer[Any]:
    """An enqueuer that stands before position 2 of epoch 0."""
    enqueuer = OrderedEnqueuer(Placed(6), max_queue_size=3, **EXECUTORS[executor])
    stream = enqueuer.get()
    assert [batch.tolist() for batch in (next(stream), next(stream))] == [[0, 0], [0, 1]]
    return enqueuer


def load(enqueuer: OrderedEnqueuer[Any]) -> None:
    state = OrderedEnqueuer(Placed(6), workers=0, seed=9).state_dict()
    enqueuer.load_state_dict({**state, "epoch": 4, "position": 1, "sequence": {"ended": 7}})


def seek(enqueuer: OrderedEnqueuer[Any]) -> None:
    enqueuer.seek(2, 3)


def skip(enqueuer: OrderedEnqueuer[Any]) -> None:
    if enqueuer.epoch:  # it was stopped
        enqueuer.seek(0, 2)
    enqueuer.skip([3])


EXPECTED: Final[dict[Callable[[OrderedEnqueuer[Any]], None], list[list[int]]]] = {
    load: [[7, index] for index in range(1, 6)],
    seek: [[0, index] for index in range(3, 6)],
    skip: [[0, 2], [0, 4], [0, 5]],
}


def where(enqueuer: OrderedEnqueuer[Any]) -> tuple[Any, ...]:
    state = enqueuer.state_dict()
    return tuple(state[key] for key in ("epoch", "position", "skipped", "sequence"))


def load_unseeded_and_not_running(enqueuer: OrderedEnqueuer[Any]) -> None:
    enqueuer.load_state_dict(
        {**enqueuer.state_dict(), "seed": 5, "seeded": True, "epoch": 2, "position": 4}
    )


def test_interrupt_of_a_load_before_the_start_leaves_seed_and_place_together():
    def fresh() -> OrderedEnqueuer[Any]:
        return OrderedEnqueuer(Placed(6), workers=0, shuffle=True)

    there = fresh()
    load_unseeded_and_not_running(there)
    expected = [batch.tolist() for batch in there]
    counting = Arrival()
    counting.call(load_unseeded_and_not_running, fresh())
    outcomes = set()

    for at in range(1, len(counting.passed) + 1):
        enqueuer = fresh()
        drawn = enqueuer.seed
        with contextlib.suppress(Interrupt):
            Arrival(at, kind=Interrupt).call(load_unseeded_and_not_running, enqueuer)
        state = enqueuer.state_dict()
        outcomes.add((state["seed"] == 5, state["epoch"]))
        assert state["seed"] in (drawn, 5)
        stream = enqueuer.get()
        if state["seed"] == 5:
            assert [next(stream).tolist() for _ in expected] == expected
        else:
            next(stream)
        assert enqueuer.seed == state["seed"]
        enqueuer.stop()
    assert outcomes == {(False, 0), (True, 2)}


def points_of(executor: str, jump: Callable[[OrderedEnqueuer[Any]], None]) -> int:
    counting = Arrival()
    for _ in range(2):  # the first imports
        counting = Arrival()
        with placed(executor) as enqueuer:
            counting.call(jump, enqueuer)
    return len(counting.passed)


@pytest.mark.slow
@pytest.mark.limit(240)
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("jump", EXPECTED, ids=lambda jump: jump.__name__)
def test_interrupt_at_any_point_of_a_jump_leaves_the_run_here_or_there(executor, jump):
    count = points_of(executor, jump)
    assert count > 10
    points = range(1, count + 1, 2 if executor == "thread" else 1)
    if executor == "spawn":
        points = sorted(random.Random(3).sample(range(1, count + 1), min(SAMPLE, count)))
    remains = Remains()
    with placed(executor) as other:
        here = where(other)
        jump(other)
        there = where(other)

    for at in points:
        enqueuer = placed(executor)
        arrival = Arrival(at, kind=Interrupt)
        try:
            arrival.call(jump, enqueuer)
        except Interrupt:
            if enqueuer.is_running():
                assert where(enqueuer) in (here, there), f"{at}: {arrival.where}"
        jump(enqueuer)
        stream = enqueuer.get()
        rest = [next(stream).tolist() for _ in EXPECTED[jump]]
        assert rest == EXPECTED[jump], f"{at}: {arrival.where}"
        enqueuer.stop()
    remains.check()
