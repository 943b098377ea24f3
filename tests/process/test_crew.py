"""Which slots want a worker, and what must hold of a crew: no process is started here."""

from __future__ import annotations

import errno
import select
from types import SimpleNamespace

import pytest

from seqloader import WorkerStartError
from seqloader.executors.process.consumer import schedule as schedule_module
from seqloader.executors.process.consumer.arena import Arenas
from seqloader.executors.process.consumer.crew import Crew
from seqloader.tickets import Death


def crew_of(size, slots):
    """A crew of stand-ins, in these slots."""
    arenas = Arenas(keep_batches=1)
    crew = Crew(size, arenas, select.poll(), stacks=False)
    for number, slot in enumerate(slots, 1):
        crew.workers[number] = SimpleNamespace(
            number=number, slot=slot, watch=10 + number, leaving=False, answered=True
        )
        arenas.views[number] = SimpleNamespace(number=number, orphaned=False)
    crew._numbers = len(slots)
    crew.schedule.watch_memory()
    return crew


@pytest.mark.parametrize(
    ("size", "slots", "vacant"),
    [(3, [], [0, 1, 2]), (3, [1], [0, 2]), (3, [2, 0, 1], []), (1, [0], [])],
)
def test_the_slots_without_a_worker_are_vacant(size, slots, vacant):
    assert crew_of(size, slots).vacancies() == vacant


def test_a_larger_crew_has_more_vacancies():
    crew = crew_of(2, [0, 1])

    crew.size = 4

    assert crew.vacancies() == [2, 3]


def test_a_crew_that_was_killed_is_not_filled():
    crew = crew_of(2, [])
    crew.killed = True

    crew.fill(birth=None, state=None)

    assert crew.workers == {}


def test_the_ended_are_those_whose_descriptor_was_seen():
    crew = crew_of(3, [0, 1, 2])

    assert crew.ended({12, 99}) == [crew.workers[2]]


@pytest.mark.parametrize(
    ("size", "slots", "message"),
    [(2, [0, 0], "two workers in one slot"), (2, [0], "vacant"), (1, [1], r"\[1\]")],
)
def test_a_crew_that_is_not_what_it_should_be_says_so(size, slots, message):
    with pytest.raises(AssertionError, match=message):
        crew_of(size, slots).check()


def test_a_smaller_crew_has_those_leave_who_are_in_the_last_slots():
    crew = crew_of(3, [2, 0, 1])

    crew.resize(1)

    assert sorted(worker.slot for worker in crew.leaving().values()) == [1, 2]
    assert crew.is_shrinking
    crew.check()


def test_a_slot_is_not_vacant_while_somebody_is_leaving_it():
    crew = crew_of(2, [0, 1])
    crew.resize(1)

    crew.resize(3)

    assert crew.vacancies() == [2]


# --- starts that wait -----------------------------------------------------------------------


class Launches:
    """Stands in for `Crew._launch`: refuses as often as it is told to, then adds a stand-in."""

    def __init__(self, crew, refusals=0):
        self.crew = crew
        self.refusals = refusals
        self.tried = 0

    def __call__(self, slot, birth, state):
        self.tried += 1
        crew = self.crew
        number = crew._numbers = crew._numbers + 1
        worker = crew.workers[number] = SimpleNamespace(
            number=number,
            slot=slot,
            watch=10 + number,
            leaving=False,
            answered=False,
            pid=0,
            close=lambda: None,
        )
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EAGAIN, "no process")
        crew._arenas.views[number] = SimpleNamespace(number=worker.number, orphaned=False)


@pytest.fixture
def clock(monkeypatch):
    """The crew's clock, which the test sets."""
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(schedule_module, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


def launching(crew, monkeypatch, refusals=0):
    launches = Launches(crew, refusals)
    monkeypatch.setattr(crew, "_launch", launches)
    return launches


def test_a_refused_start_is_put_off_and_said_while_others_live(clock, monkeypatch):
    crew = crew_of(3, [0])
    launches = launching(crew, monkeypatch, refusals=1)

    crew.fill(birth=None, state=None)

    assert launches.tried == 1  # the second vacancy waits as well
    [shortage] = crew.schedule.shortages
    assert (shortage.workers, shortage.wanted) == (1, 3)
    assert "no process" in shortage.why
    crew.check()
    crew.fill(birth=None, state=None)
    assert launches.tried == 1
    clock.s += shortage.pause_s
    assert crew.schedule.is_due()
    crew.fill(birth=None, state=None)
    assert crew.vacancies() == []
    assert crew.schedule.again_at == 0


def test_pauses_grow_while_the_system_refuses(clock, monkeypatch):
    crew = crew_of(2, [0])
    launching(crew, monkeypatch, refusals=8)
    pauses = []

    while crew.vacancies():
        crew.fill(birth=None, state=None)
        if crew.schedule.again_at:
            pauses.append(round(crew.schedule.again_at - clock.s, 3))
            clock.s = crew.schedule.again_at

    assert pauses == [0.1, 0.1, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2]
    assert len(crew.schedule.shortages) == 4  # the first, second, fourth and eighth are said


def test_a_crew_that_was_made_smaller_meanwhile_waits_for_nobody(clock, monkeypatch):
    crew = crew_of(2, [0])
    launching(crew, monkeypatch, refusals=1)
    crew.fill(birth=None, state=None)
    assert crew.schedule.again_at > 0

    crew.resize(1)
    crew.fill(birth=None, state=None)

    assert crew.schedule.again_at == 0


def test_a_refused_start_is_an_error_where_all_are_wanted(clock, monkeypatch):
    crew = crew_of(2, [0])
    launching(crew, monkeypatch, refusals=1)

    with pytest.raises(WorkerStartError, match="no process"):
        crew.fill(birth=None, state=None, whole=True)


def test_with_nobody_left_the_tenth_refusal_is_an_error(clock, monkeypatch):
    crew = crew_of(1, [])
    launches = launching(crew, monkeypatch, refusals=20)

    with pytest.raises(WorkerStartError, match="no process"):
        for _ in range(20):
            crew.fill(birth=None, state=None)
            clock.s = crew.schedule.again_at

    assert launches.tried == 10
    assert clock.s < 100.0 + 6


def test_after_a_pause_one_is_started_and_its_first_batch_brings_the_others(clock, monkeypatch):
    crew = crew_of(5, [0])
    launches = launching(crew, monkeypatch, refusals=3)
    while launches.refusals:
        crew.fill(birth=None, state=None)
        clock.s = crew.schedule.again_at

    crew.fill(birth=None, state=None)
    assert len(crew.workers) == 2
    crew.note_answer(crew.workers[max(crew.workers)])
    assert crew.schedule.is_due()
    crew.fill(birth=None, state=None)

    assert crew.vacancies() == []


def bury(crew, number, exitcode, *, answered=False, peak=None):
    """A worker has ended so; what the real `bury` asks of the system, a stand-in answers."""
    worker = crew.workers[number]
    vars(worker).update(
        answered=answered, excused=False, overdue=False, ready=answered, start_errors=lambda: "",
        close=lambda: None, reap=lambda: Death(worker.slot, 4242, exitcode, peak),
    )  # fmt: skip
    crew._poll = crew.ends = SimpleNamespace(unregister=lambda fd: None, poll=lambda t: [])
    crew._arenas.forget = crew._arenas.views.pop
    return crew.bury(worker, blamed=False)


def test_deaths_before_a_first_batch_put_the_next_start_off_from_the_third_on(clock, monkeypatch):
    crew = crew_of(2, [0, 1])
    launching(crew, monkeypatch)
    waited = []

    for number in (2, 3, 4, 5):
        bury(crew, number, exitcode=1)
        crew.judge()
        waited.append(round(max(0.0, crew.schedule.again_at - clock.s), 3))
        clock.s = max(clock.s, crew.schedule.again_at)
        crew.fill(birth=None, state=None)

    assert waited == [0, 0, 0.1, 0.2]
    [shortage] = crew.schedule.shortages  # of two failures after the second, one is said
    assert "4242" in shortage.why


def test_when_the_last_one_dies_the_others_do_not_wait_for_long(clock, monkeypatch):
    crew = crew_of(2, [0, 1])
    launching(crew, monkeypatch)
    for number in range(2, 12):
        bury(crew, number, exitcode=-9)
        crew.judge()
        clock.s = max(clock.s, crew.schedule.again_at) if number < 11 else clock.s
        crew.fill(birth=None, state=None)
    assert crew.schedule.again_at - clock.s == pytest.approx(12.8)

    bury(crew, 1, exitcode=-9, answered=True)
    crew.judge()

    assert crew.schedule.again_at - clock.s == pytest.approx(1.0)


def test_a_worker_that_answers_ends_the_pause_of_the_others(clock, monkeypatch):
    crew = crew_of(3, [0, 1, 2])
    launching(crew, monkeypatch)
    for number in (2, 3, 4):
        bury(crew, number, exitcode=1)
        crew.judge()
        if number < 4:
            crew.fill(birth=None, state=None)
    assert not crew.schedule.is_due()

    crew.note_answer(crew.workers[5])

    assert crew.schedule.is_due()


@pytest.fixture
def memory(monkeypatch):
    """What the machine has left, and whether the kernel has killed for it."""
    facts = SimpleNamespace(available=0, risen="the control group /sys/fs/cgroup/job")
    monkeypatch.setattr(schedule_module, "available_bytes", lambda: facts.available)
    monkeypatch.setattr(
        schedule_module, "MemoryKills", lambda: SimpleNamespace(risen=lambda: facts.risen)
    )
    return facts


def test_who_was_killed_for_want_of_memory_is_replaced_when_there_is_room(
    clock, memory, monkeypatch
):
    crew = crew_of(2, [0, 1])
    launches = launching(crew, monkeypatch)
    memory.available = 300 << 20

    bury(crew, 2, exitcode=-9, answered=True, peak=1 << 30)
    crew.judge()
    crew.fill(birth=None, state=None)

    assert launches.tried == 0
    [shortage] = crew.schedule.shortages
    for fact in ("/sys/fs/cgroup/job", "4242", "1,024 MiB", "300 MiB", "724 MiB too few"):
        assert fact in shortage.why
    clock.s = crew.schedule.again_at
    crew.fill(birth=None, state=None)
    assert launches.tried == 0  # not yet, and it is not said again
    assert len(crew.schedule.shortages) == 1
    memory.available = 2 << 30
    clock.s = crew.schedule.again_at
    crew.fill(birth=None, state=None)
    assert launches.tried == 1
    assert crew.vacancies() == []


@pytest.mark.parametrize(
    ("exitcode", "risen"), [(-9, ""), (-11, "the machine"), (1, "the machine")]
)
def test_other_deaths_ask_for_no_room(exitcode, risen, clock, memory, monkeypatch):
    crew = crew_of(2, [0, 1])
    launches = launching(crew, monkeypatch)
    memory.risen = risen

    bury(crew, 2, exitcode=exitcode, answered=True, peak=1 << 30)
    crew.judge()
    crew.fill(birth=None, state=None)

    assert launches.tried == 1


def test_a_kill_for_want_of_memory_of_long_ago_says_nothing_of_one_of_now(clock, monkeypatch):
    made = []

    def counting():
        made.append(clock.s)
        return SimpleNamespace(risen=lambda: "")

    monkeypatch.setattr(schedule_module, "MemoryKills", counting)
    crew = crew_of(1, [0])
    for clock.s in (101.0, 129.0, 130.0, 131.0, 175.0):  # the ends of epochs
        crew.schedule.watch_memory()

    assert made == [100.0, 130.0, 175.0]


def test_with_nobody_left_a_start_is_tried_whatever_room_there_is(clock, memory, monkeypatch):
    crew = crew_of(1, [0])
    launches = launching(crew, monkeypatch)

    bury(crew, 1, exitcode=-9, answered=True, peak=1 << 30)
    crew.judge()
    crew.fill(birth=None, state=None)

    assert launches.tried == 1
