"""`seqloader report`: figures that are those of the run, and a page that needs nothing else."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from observing.traces import Numbers

from seqloader import OrderedEnqueuer
from seqloader.command.cli import main
from seqloader.command.report.drawing import COLUMNS, shares
from seqloader.command.report.facts import facts_of
from seqloader.command.report.page import page_of
from seqloader.command.report.reading import read_events
from seqloader.command.report.summary import histogram, slowest, times


def at(name: str, phase: str, ts: float, lane: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "ph": phase, "ts": ts, "pid": 1, "tid": lane, **more}


def worked(name: str, ts: float, dur: float, lane: int, index: int, **more: Any) -> dict[str, Any]:
    ticket = {"epoch": 0, "position": index, "index": index, "attempt": 0}
    return at(name, "X", ts, lane, dur=dur, args={**ticket, **more})


class Balanced(HTMLParser):
    """Every element is closed; what it refers to is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()


def checked(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    assert not parser.open, f"not closed: {parser.open}"
    assert not parser.links
    assert "script" not in parser.seen
    assert "url(" not in page and "@import" not in page and "http" not in page
    return parser


def test_the_command_makes_a_page_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "run.json"
    with OrderedEnqueuer(Numbers(30), workers=2) as enqueuer, enqueuer.trace(trace):
        for _ in range(2):
            for _ in enqueuer:
                pass

    assert main(["report", os.fspath(trace)]) == 0

    said = capsys.readouterr().out
    assert said.startswith("60 batches in ")
    page = (tmp_path / "run.html").read_text()
    assert {"svg", "table", "polyline"} <= checked(page).seen
    for heading in ("Timeline", "How long a batch takes", "Slowest indices", "Memory", "Deaths"):
        assert heading in page
    assert len(re.findall(r"enqueuer\.compute\(\d+, epoch=[01]\)", page)) == 20
    facts = facts_of(*read_events(trace))
    assert len(facts.batches) == 60
    assert facts.verdict.startswith("Epoch 1: ")
    assert facts.verdict.split(".")[0] in said
    assert facts.delivered == 60
    assert {epoch.name for epoch in facts.epochs} == {"epoch 0", "epoch 1"}


def test_what_is_no_trace_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("hello")
    assert main(["report", os.fspath(other)]) == 2
    assert "no trace of seqloader" in capsys.readouterr().err
    assert main(["report", os.fspath(tmp_path / "none.json")]) == 2


def test_a_batch_is_put_together_from_its_parts() -> None:
    events = [
        worked("take", 0.0, 10.0, 10, 5),
        worked("compute", 10.0, 30.0, 10, 5, bytes=64),
        worked("encode", 40.0, 5.0, 10, 5),
        worked("compute", 50.0, 1.0, 10, 6, bytes=64),
        worked("compute", 60.0, 1.0, 10, 6, raised="ValueError"),
    ]
    first, second, third = facts_of(events, True).batches
    assert (first.index, first.slot, first.nbytes) == (5, 0, 64)
    assert first.busy_s == pytest.approx(45e-6)
    assert (second.raised, third.raised) == ("", "ValueError")


def test_the_times_of_the_consumer_are_told_apart() -> None:
    second = 1e6
    events = [
        at("wait", "B", 0.0, 1),
        at("wait", "E", 2 * second, 1),
        worked("hand over", 2 * second, 0.5 * second, 1, 0),
        worked("loop", 2.5 * second, 4 * second, 1, 0),
        at("on_epoch_end", "B", 7 * second, 1),
        at("on_epoch_end", "E", 8 * second, 1),
        at("wait", "B", 9 * second, 1),  # and was killed
        at("mark", "i", 10 * second, 1),
    ]
    facts = facts_of(events, False)
    assert [round(seconds, 6) for _, seconds, _ in times(facts)] == [3.0, 0.5, 4.0, 1.0, 1.5]
    assert not facts.consumer[-1].ended
    assert "cut off" in page_of(facts, source="run.json")


def test_a_thinned_batch_stands_for_those_left_out() -> None:
    events = [worked("compute", n * 10.0, 5.0, 10, n) for n in range(4)]
    events.append(at("thinned", "i", 40.0, 1, args={"every": 4}))
    events += [worked("compute", n * 10.0, 5.0, 10, n) for n in range(4, 16, 4)]

    facts = facts_of(events, True)

    assert sum(batch.weight for batch in facts.batches) == 4 + 3 * 4
    assert sum(histogram(facts)[1]) == 4 + 3 * 4


def test_slow_indices_come_first_and_name_the_slowest_epoch() -> None:
    events = []
    for epoch, factor in enumerate((1.0, 3.0, 2.0)):
        for index in range(50):
            event = worked("compute", len(events) * 1e3, factor * (index + 1), 10, index)
            event["args"]["epoch"] = epoch
            events.append(event)

    slow = slowest(facts_of(events, True), 3)

    assert [one.index for one in slow] == [49, 48, 47]
    assert slow[0].line == "enqueuer.compute(49, epoch=1)"
    assert slow[0].longest_s == pytest.approx(150e-6)
    assert slow[0].mean_s == pytest.approx(100e-6)


def test_the_shares_of_a_column_add_up_to_the_time_spent() -> None:
    spans = [(0.0, 0.35, "compute", 1), (0.35, 0.4, "encode", 1), (0.95, 1.0, "compute", 1)]
    found = shares(spans, 1.0, columns=10)
    assert found["compute"] == pytest.approx([1, 1, 1, 0.5, 0, 0, 0, 0, 0, 0.5])
    assert found["encode"] == pytest.approx([0, 0, 0, 0.5, 0, 0, 0, 0, 0, 0])


def test_a_page_of_very_many_batches_is_no_larger_than_its_columns() -> None:
    events = [worked("compute", n * 10.0, 5.0, 10 + n % 8, n) for n in range(40_000)]
    page = page_of(facts_of(events, True), source="run.json")
    checked(page)
    assert len(page) < 8 * COLUMNS * 100


def test_names_of_the_user_cannot_break_the_page() -> None:
    name = "<b>&\"'</svg>"
    events = [
        {"name": "process_name", "ph": "M", "pid": 1, "tid": 0, "args": {"name": name}},
        worked("compute", 1.0, 5.0, 10, 3),
        at("raised", "i", 5.0, 10, args={"error": name, "index": 3, "epoch": 0}),
        at("died", "i", 6.0, 10, args={"pid": 7, "exitcode": -9, "reason": name}),
    ]
    page = page_of(facts_of(json.loads(json.dumps(events)), True), source=name)
    checked(page)
    assert name not in page
    assert "pid 7 died: signal 9" in page


@pytest.mark.parametrize("events", [[], [at("size", "i", 1.0, 1)]], ids=["none", "one"])
def test_a_trace_in_which_nothing_happened_has_a_page(events: list[dict[str, Any]]) -> None:
    page = page_of(facts_of(events, False), source="run.json")
    checked(page)
    assert "No batch was delivered" in page
