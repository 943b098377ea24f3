"""The shell of tuning, with stand-ins for the session, the executor and the clock."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace

import pytest

from seqloader.memory.usage import Usage
from seqloader.run.tuning import tuner as module
from seqloader.run.tuning.budget import Budget, Claim, Share
from seqloader.run.tuning.tuner import Tuner
from seqloader.stats import Counters

MB = 1_000_000


class Session:
    """Is of the size that it is told; its workers have all started and compute all the time."""

    def __init__(self) -> None:
        self.workers, self.max_queue_size = 2, 10
        self.executor = self

    def tune(self, workers: int, max_queue_size: int) -> None:
        self.workers, self.max_queue_size = workers, max_queue_size

    def usage(self) -> dict[int, Usage | None]:
        return {number: Usage(0.0, 0.0, 20 * MB) for number in range(self.workers)}


class Rationed(Budget):
    """Of so much room, and never a file."""

    def __init__(self, room_bytes: float = 1e12) -> None:
        self.room_bytes = room_bytes
        self.claims: list[Claim] = []
        self.is_busy = False
        self._noted = False

    def renew(self, decide) -> bool:
        if not self.is_busy:
            self.claims.append(decide(Share(self.room_bytes, 0.0)))
        return not self.is_busy

    def release(self) -> None:
        self.claims.append(Claim(0, 0, 0.0, hungry=False))


class Course:
    """Steps of a consumer, on a clock of their own."""

    def __init__(self, budget: Budget | None = None, **options) -> None:
        self.now_s = 100.0
        self.counters = Counters()
        self.session = Session()
        window = SimpleNamespace(largest_bytes=None, ahead=0)
        self.epoch = SimpleNamespace(counters=self.counters, window=window)
        self.steps: deque = deque()
        usual = {"workers": True, "queue": True, "bounded": False}
        self.tuner = Tuner(self.steps, budget=budget or Rationed(), **(usual | options))
        self.begin()

    def begin(self) -> None:
        """The session starts."""
        session = self.session
        session.tune(*self.tuner.begin(session.workers, session.max_queue_size))

    def pass_(self, batches: int, *, work_s: float = 0.02, step_s: float = 0.0) -> None:
        """Batches of so much work each, shared by the workers, and a consumer of so long steps."""
        for _ in range(batches):
            self.tuner.asked(self.session, self.epoch)
            wait_s = max(0.0, work_s / self.session.workers - step_s)
            self.now_s += wait_s + step_s
            self.counters.waited_s += wait_s
            self.counters.busy_s[0] += work_s
            self.counters.delivered += 1
            self.epoch.window.largest_bytes = self.epoch.window.largest_bytes or MB


@pytest.fixture
def course(monkeypatch) -> Course:
    course = Course()
    monkeypatch.setattr(module, "monotonic", lambda: course.now_s)
    return course


def with_clock(monkeypatch, course: Course) -> Course:
    monkeypatch.setattr(module, "monotonic", lambda: course.now_s)
    return course


def test_one_batch_for_each_worker_until_the_size_of_a_batch_is_known(course):
    assert course.session.max_queue_size == 2

    course.pass_(2)

    assert course.session.max_queue_size == 10
    assert "room for 10 batches of 1 MB" in course.steps[-1].reason


def test_a_consumer_that_waits_gets_more_workers_and_a_line_says_why(course):
    course.pass_(300)

    first = next(step for step in course.steps if step.workers != (2, 2))
    assert first.workers == (2, 4)
    assert first.rate == pytest.approx(100, rel=0.05)
    assert str(first).endswith(first.reason)
    assert "workers 2 -> 4" in str(first)
    assert course.session.workers >= 4


def test_a_consumer_that_stays_away_for_a_while_has_not_become_slower(course):
    course.pass_(1000, step_s=0.005)
    size = course.session.workers
    for _ in range(30):
        course.now_s += 30  # it validates, say
        course.pass_(300, step_s=0.005)

    assert course.session.workers == size == 4


def test_a_consumer_that_has_become_slower_gets_fewer(course):
    course.pass_(1000, step_s=0.005)
    assert course.session.workers == 4

    course.pass_(200, step_s=0.6)

    assert course.session.workers == 1


def test_a_larger_batch_is_heeded_at_once(monkeypatch):
    course = with_clock(monkeypatch, Course(Rationed(200 * MB)))
    course.pass_(3)
    assert course.session.max_queue_size == 10

    course.epoch.window.largest_bytes = 12 * MB
    course.tuner.asked(course.session, course.epoch)

    assert course.session.max_queue_size < 10
    assert "MB would be needed" in course.steps[-1].reason


def test_what_is_claimed_is_never_more_than_there_is_room_for(monkeypatch):
    budget = Rationed(150 * MB)
    course = with_clock(monkeypatch, Course(budget))
    course.pass_(1000)

    assert max(claim.nbytes for claim in budget.claims) <= 150 * MB
    assert any(claim.hungry for claim in budget.claims)
    assert 1 < course.session.workers < 8


def test_where_max_queue_bytes_bounds_the_batches_they_are_not_in_the_budget(monkeypatch):
    budget = Rationed(300 * MB)
    course = with_clock(monkeypatch, Course(budget, bounded=True))
    course.epoch.window.largest_bytes = 10_000 * MB
    course.pass_(20)

    assert course.session.max_queue_size == 10
    assert budget.claims[-1].nbytes <= 120 * MB


def test_while_another_claims_all_stays_as_it_is(monkeypatch):
    budget = Rationed()
    course = with_clock(monkeypatch, Course(budget))
    budget.is_busy = True

    course.pass_(300)

    assert (course.session.workers, len(course.steps)) == (2, 0)


def test_a_restart_begins_with_what_was_found_out(course):
    course.pass_(300)
    size = (course.session.workers, course.session.max_queue_size)

    course.tuner.end()
    course.begin()

    assert (course.session.workers, course.session.max_queue_size) == size


def test_a_thousand_batches_without_a_look_cost_a_thousand_readings_of_the_clock(monkeypatch):
    course = Course()
    readings = []
    monkeypatch.setattr(module, "monotonic", lambda: readings.append(0) or course.now_s)
    course.pass_(2, work_s=0.0002)
    claims = len(course.tuner._budget.claims)
    readings.clear()

    course.pass_(1000, work_s=0.0002)

    assert len(readings) == 1000
    assert len(course.tuner._budget.claims) == claims
