"""How the suite judges: who may be the best peer, and when the machine's limit counts instead."""

from __future__ import annotations

import pytest
from chapters import CHAPTERS
from harness.figures import Figures
from harness.judge import Judge
from suite_results import CONTESTANTS, runs_of

RATES = {
    "loop": 900.0,
    "quick peer": 10.0,
    "slow peer": 2.0,
    "unbounded": 500.0,
    "unordered": 400.0,
    "seqloader": 33.0,
}


def judge_of(rates: dict[str, float], limit: float | None = None) -> Judge:
    runs = [runs_of(name, name, {"rate": rate}, chapter="c") for name, rate in rates.items()]
    if limit is not None:
        runs.append(runs_of("limit", "none", {"most": limit}, chapter="c"))
    return Judge("c", Figures([run for each in runs for run in each]), CONTESTANTS)


def test_best_peer_keeps_order_and_bound_and_is_neither_yardstick_nor_ours() -> None:
    best = judge_of(RATES).best("rate")

    assert best is not None
    assert (best.label, best.value) == ("quick peer", 10.0)


def test_best_peer_of_a_cost_is_the_lowest() -> None:
    best = judge_of(RATES).best("rate", lowest=True)

    assert best is not None
    assert (best.label, best.value) == ("slow peer", 2.0)


def test_nobody_is_best_where_nobody_brought_a_figure() -> None:
    assert judge_of({"seqloader": 3.0, "loop": 9.0}).best("rate") is None


def test_multiple_of_the_best_peer_is_wanted() -> None:
    row = judge_of(RATES).times_best("work", 3, "rate", "/s")

    assert row.at_least == 30.0
    assert row.basis == "3 x quick peer at 10 = 30"
    assert row.reached == "33 /s (3.3 x quick peer)"
    assert row.verdict == "ok"


@pytest.mark.parametrize(
    ("limit", "at_least", "basis"),
    [
        (20.0, 17.0, "3 x quick peer at 10 = 30; 0.85 x the limit of 20 = 17 (counts)"),
        (100.0, 30.0, "3 x quick peer at 10 = 30 (counts); 0.85 x the limit of 100 = 85"),
    ],
    ids=["limit below", "limit above"],
)
def test_the_lesser_of_multiple_and_limit_counts_and_the_row_says_so(
    limit: float, at_least: float, basis: str
) -> None:
    row = judge_of(RATES, limit).times_best("work", 3, "rate", "/s", limit=("limit", "most"))

    assert row.at_least == pytest.approx(at_least)
    assert row.basis == basis


def test_row_without_any_peer_has_no_target() -> None:
    row = judge_of({"seqloader": 3.0}).times_best("work", 3, "rate", "/s")

    assert row.at_least is None
    assert row.verdict == ""
    assert "none brought a figure" in row.wanted


def test_cost_must_not_exceed_the_best_peer() -> None:
    row = judge_of(RATES).not_above_best("work", "rate", "ms", 1e-3)

    assert row.at_most == pytest.approx(0.002)
    assert row.basis == "as slow peer"
    assert row.verdict == "below"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
def test_every_chapter_judges_without_a_single_figure(chapter: object, quick: bool) -> None:
    judge = Judge(chapter.name, Figures([]), CONTESTANTS, quick)  # type: ignore[attr-defined]

    rows = chapter.rows(judge)  # type: ignore[attr-defined]

    assert {row.reached for row in rows} <= {"no figure"}
    assert "ok" not in {row.verdict for row in rows}
