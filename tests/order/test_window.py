"""The window against a plain list of what was issued, answered and handed over."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from seqloader.order import Ranges, Window


class Windowed(RuleBasedStateMachine):
    @initialize(
        limit=st.integers(1, 6),
        byte_limit=st.none() | st.integers(1, 50),
        end=st.none() | st.integers(0, 12),
        due=st.integers(0, 5),
        skips=st.sets(st.integers(0, 18), max_size=4),
    )
    def start(
        self, limit: int, byte_limit: int | None, end: int | None, due: int, skips: set[int]
    ) -> None:
        if end is not None:
            due = min(due, end)
        self.window: Window[str] = Window(
            limit=limit, byte_limit=byte_limit, end=end, due=due, skips=Ranges.of(skips)
        )
        self.limit, self.byte_limit, self.end, self.skips = limit, byte_limit, end, skips
        due = self.unskipped(due)
        self.waiting: dict[int, str | None] = {}
        """Positions issued and not handed over, with their answers."""
        self.following = due
        self.unwanted: set[int] = set()
        """Positions issued, skipped since, and not answered."""
        self.delivered: list[int] = []
        self.first = due
        self.sizes: list[int] = []

    def permitted(self) -> bool:
        """What the rules say, put another way."""
        ahead = len(self.waiting) + len(self.unwanted)
        if self.following == self.end:
            return False
        if not self.waiting:
            return ahead <= self.limit
        if ahead >= self.limit:
            return False
        if self.byte_limit is None:
            return True
        if not self.sizes:
            return False
        return (ahead + 1) * max(self.sizes) <= self.byte_limit

    def unskipped(self, position: int) -> int:
        while position != self.end and position in self.skips:
            position += 1
        return position

    @rule()
    def issue(self) -> None:
        assert self.window.may_issue() == self.permitted()
        if self.permitted():
            assert self.window.issue() == self.following
            self.waiting[self.following] = None
            self.following = self.unskipped(self.following + 1)

    @rule(position=st.integers(-1, 18), nbytes=st.none() | st.integers(0, 30))
    def arrive(self, position: int, nbytes: int | None) -> None:
        expected = position in self.waiting and self.waiting[position] is None
        answer = f"answer to {position}"
        self.unwanted.discard(position)
        assert self.window.arrive(position, answer, nbytes) == expected
        if expected:
            self.waiting[position] = answer
            self.sizes += [] if nbytes is None else [nbytes]

    def next_has_arrived(self) -> bool:  # no lambda: see test_ledger.py
        return self.window.due in self.window.arrived

    @precondition(next_has_arrived)
    @rule()
    def hand_over(self) -> None:
        due = self.window.due
        assert self.window.hand_over() == self.waiting.pop(due) == f"answer to {due}"
        self.delivered.append(due)

    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        due = data.draw(st.integers(self.window.due, self.following))
        dropped = self.window.restart(due)
        assert dropped == [answer for answer in self.waiting.values() if answer is not None] or (
            sorted(dropped) == sorted(a for a in self.waiting.values() if a is not None)
        )
        self.delivered += [position for position in self.waiting if position < due]
        self.waiting, self.unwanted, self.following = {}, set(), self.unskipped(due)

    @rule(more=st.sets(st.integers(0, 18), max_size=3))
    def skip(self, more: set[int]) -> None:
        self.skips = self.skips | more
        gone = {position: answer for position, answer in self.waiting.items() if position in more}
        for position, answer in gone.items():
            del self.waiting[position]
            if answer is None:
                self.unwanted.add(position)

        dropped = self.window.skip(Ranges.of(more))

        assert sorted(dropped) == sorted(answer for answer in gone.values() if answer is not None)
        self.following = self.unskipped(self.following)

    @invariant()
    def rules_hold(self) -> None:
        if not hasattr(self, "window"):
            return
        self.window.check()
        assert self.delivered == sorted(set(self.delivered))
        passed = range(self.first, self.window.due)
        assert set(passed) - self.skips <= set(self.delivered) <= set(passed)
        assert self.window.arrived == {p: a for p, a in self.waiting.items() if a is not None}
        assert self.window.finished == (self.window.due == self.end)

    @invariant()
    def the_position_due_may_always_be_issued(self) -> None:
        if not hasattr(self, "window") or len(self.unwanted) > self.limit:
            return
        if not self.waiting and self.following != self.end:
            assert self.window.may_issue()


TestWindow = Windowed.TestCase
TestWindow.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@given(st.integers(1, 8), st.integers(1, 1000), st.lists(st.integers(0, 300), min_size=1))
def test_bytes_ahead_exceed_the_limit_only_by_what_outgrew_all_before(limit, byte_limit, sizes):
    window: Window[int] = Window(limit=limit, byte_limit=byte_limit, end=len(sizes))

    while not window.finished:
        while window.may_issue():
            ahead = window.next - window.due
            known = window.largest_bytes
            window.issue()
            assert ahead == 0 or (known is not None and (ahead + 1) * known <= byte_limit)
        window.arrive(window.due, 0, sizes[window.due])
        window.hand_over()


def test_an_empty_epoch_is_finished_and_issues_nothing():
    window: Window[int] = Window(limit=3, end=0)

    assert window.finished
    assert not window.may_issue()


def test_handing_over_what_has_not_arrived_is_our_bug():
    window: Window[int] = Window(limit=3, end=2)
    window.issue()

    with pytest.raises(KeyError):
        window.hand_over()
    assert window.due == 0


# --- Room for later epochs --------------------------------------------------------------


def issued(length: int, *, limit: int, byte_limit: int | None = None) -> Window[str]:
    window: Window[str] = Window(limit=limit, byte_limit=byte_limit, end=length)
    while window.may_issue():
        window.arrive(window.issue(), "", 10)
    return window


@given(length=st.integers(0, 6), limit=st.integers(1, 6), later=st.integers(0, 6))
def test_later_epochs_have_room_once_all_is_issued_and_as_far_as_the_limit(length, limit, later):
    window, other = issued(length, limit=limit), issued(later, limit=6)

    assert window.leaves_room([other]) == (length <= limit and length + later < limit)


@given(byte_limit=st.integers(10, 60), length=st.integers(0, 4), later=st.integers(0, 4))
def test_bytes_of_later_epochs_count_together_with_those_of_this_one(byte_limit, length, later):
    window = issued(length, limit=9, byte_limit=byte_limit)
    others = [issued(later, limit=9)] if later else []
    known = length or later  # before any size is known, the position due goes alone

    has_room = bool(known) and window.next == length and (length + later + 1) * 10 <= byte_limit
    assert window.leaves_room(others) == has_room


def test_who_waits_for_a_batch_leaves_room_for_one_more():
    window = issued(3, limit=3)
    assert not window.leaves_room([])

    window.wanted = True

    assert window.leaves_room([])
