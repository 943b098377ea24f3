"""Which runs the suite makes, and which it leaves out for want of time."""

from __future__ import annotations

from harness.cases import Case, Run
from harness.schedule import SLOW_S, Schedule

FAST = Case("one: fast", "stream")
OTHER = Case("one: other", "stream")
LATER = Case("two: later", "stream")


def play(schedule: Schedule, chapter: str, took_s: dict[str, float]) -> list[tuple[str, int]]:
    played = []
    for turn in schedule.turns(chapter):
        played.append((turn.case.name, turn.round))
        schedule.ran(Run(turn.case, {}, round=turn.round, took_s=took_s[turn.case.name]))
    return played


def test_cases_of_a_chapter_take_turns() -> None:
    schedule = Schedule({"one": [FAST, OTHER]}, rounds=2, budget_s=1e6)

    played = play(schedule, "one", {FAST.name: 1.0, OTHER.name: 1.0})

    assert played == [(FAST.name, 1), (OTHER.name, 1), (FAST.name, 2), (OTHER.name, 2)]
    assert schedule.cuts == {}
    assert schedule.left_s() == 0


def test_slow_case_is_measured_once_and_marked() -> None:
    schedule = Schedule({"one": [FAST, OTHER]}, rounds=2, budget_s=1e6)

    played = play(schedule, "one", {FAST.name: 1.0, OTHER.name: SLOW_S + 10})

    assert played == [(FAST.name, 1), (OTHER.name, 1), (FAST.name, 2)]
    assert schedule.cuts == {OTHER.name: f"one takes {SLOW_S + 10:.0f} s"}


def test_case_that_hung_is_not_tried_again() -> None:
    schedule = Schedule({"one": [FAST]}, rounds=3, budget_s=1e6)

    for turn in schedule.turns("one"):
        schedule.ran(Run(turn.case, {}, "hung", hung=True, took_s=2.0))

    assert schedule.done[FAST.name] == 1
    assert schedule.cuts == {FAST.name: "it hung"}


def test_case_keeps_to_its_own_number_of_rounds_without_a_mark() -> None:
    once = Case("one: once", "stream", max_rounds=1)
    schedule = Schedule({"one": [once]}, rounds=3, budget_s=1e6)

    assert play(schedule, "one", {once.name: 1.0}) == [(once.name, 1)]
    assert schedule.cuts == {}


def test_rounds_are_cut_where_a_later_chapter_would_go_without() -> None:
    known_s = {FAST.name: 10.0, LATER.name: 50.0}
    schedule = Schedule({"one": [FAST], "two": [LATER]}, 3, budget_s=100, known_s=known_s)

    schedule.keep_within_budget("one", after_round=1, elapsed_s=30.0)
    assert schedule.cuts == {}  # 30 behind us, 10 for another round, 50 for the later chapter

    schedule.keep_within_budget("one", after_round=2, elapsed_s=45.0)
    assert schedule.cuts == {FAST.name: "the time of the suite was used up"}


def test_first_round_is_never_cut() -> None:
    schedule = Schedule({"one": [FAST]}, rounds=2, budget_s=0)

    turns = [(turn.case.name, turn.round) for turn in schedule.turns("one")][:1]

    assert turns == [(FAST.name, 1)]


def test_time_left_follows_what_runs_took() -> None:
    schedule = Schedule({"one": [FAST], "two": [LATER]}, 2, budget_s=1e6)

    schedule.known_s[LATER.name] = 7.0
    schedule.ran(Run(FAST, {}, took_s=5.0))

    assert schedule.left_s() == 5.0 + 2 * 7.0
