"""The states of a session and of an epoch under way.

`SEQLOADER_REWRITE_TABLES=1 pytest tests/run/test_states.py` draws the tables in the docs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloader.run.states import EPOCH, SESSION, TORN, EpochState, SessionState

PAGE = Path(__file__).parent.parent.parent / "docs/architecture/run.md"
TABLES: dict[str, tuple[type[Enum], Mapping[str, Mapping[Any, Any]]]] = {
    "session": (SessionState, SESSION),
    "epoch": (EpochState, EPOCH),
}


def drawn(states: type[Enum], table: Mapping[str, Mapping[Any, Any]]) -> str:
    """The table as Markdown: a row for each state, a column for each event."""
    rows = [
        ["state", "", *table],
        ["---"] * (len(table) + 2),
        *(
            [
                f"`{state.name}`",
                str(state.value),
                *(f"`{row[state].name}`" if state in row else "" for row in table.values()),
            ]
            for state in states
        ),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


@pytest.mark.parametrize("name", TABLES)
def test_table_of_the_page_is_that_of_the_code(name: str) -> None:
    begin, end = f"<!-- states of the {name} -->\n\n", "\n<!-- end -->"
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(begin)
    table, after = rest.split(end, 1)
    now = drawn(*TABLES[name])
    if os.environ.get("SEQLOADER_REWRITE_TABLES"):
        PAGE.write_text(f"{before}{begin}{now}{end}{after}", encoding="utf-8")
        return

    assert table == now


@pytest.mark.parametrize("name", TABLES)
def test_every_state_is_reached_and_every_event_leads_somewhere(name: str) -> None:
    states, table = TABLES[name]
    first = next(iter(states))
    reached, news = {first}, [first]
    while news:
        state = news.pop()
        after = {row[state] for row in table.values() if state in row} - reached
        reached |= after
        news += after

    assert reached == set(states)
    assert all(table.values())


@given(st.lists(st.sampled_from(sorted(SESSION))))
def test_only_a_step_that_ended_leaves_the_torn_states(events: list[str]) -> None:
    state = SessionState.IDLE
    for event in events:
        if state not in SESSION[event]:
            continue
        before, state = state, SESSION[event][state]
        if before in TORN and state not in TORN:
            assert event in ("done", "started", "mended", "closed")
        if before not in TORN and state in TORN:
            assert event in ("step", "start", "close")


def test_an_executor_is_there_from_its_start_until_it_is_closed() -> None:
    without = {SessionState.IDLE, SessionState.PLACING}
    for event, row in SESSION.items():
        for before, after in row.items():
            if before in without and after not in without:
                assert event == "start"
            if before not in without and after in without:
                assert event == "closed"


@given(st.lists(st.sampled_from(sorted(EPOCH))))
def test_an_epoch_that_has_ended_does_not_go_on(events: list[str]) -> None:
    over = {EpochState.VOID, EpochState.FAILED, EpochState.CUT, EpochState.COMPLETE}
    state = EpochState.BEGUN
    for event in events:
        before, state = state, EPOCH[event].get(state, state)
        if before in over:
            assert state is before


def test_an_epoch_that_nobody_asked_for_is_void_however_it_ends() -> None:
    for event in ("fail", "end"):
        assert EPOCH[event][EpochState.BEGUN] is EpochState.VOID
        assert EPOCH[event][EpochState.SHOWN] is EpochState.VOID
