"""A very short run of the suite from end to end: two peers, one chapter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import suite
from harness.cases import Case, Run
from harness.results import Results

SHORT = ["--quick", "--only", "tiny", "--peers", "loop", "Pool.imap"]


def test_suite_measures_shows_and_stores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results" / "suite.json"

    status = suite.main([*SHORT, "--results", str(path)])

    printed = capsys.readouterr()
    assert status == 0
    for words in ("Tiny batches", "Pool.imap", "a pipe, 64 bytes", "What was wanted"):
        assert words in printed.out
    assert "round 1 of 1" in printed.err
    content = json.loads(path.read_text())
    assert content["finished"] is True
    assert (
        content["command"]
        == "python benchmarks/suite.py --quick --only tiny --peers loop Pool.imap"
    )
    assert str(tmp_path) not in path.read_text()
    measured = Results.load(path)
    assert [run.failure for run in measured.runs] == [None] * len(measured.runs)
    assert measured.figures("tiny").median("tiny: Pool.imap", "batches_per_s")


def test_interrupted_suite_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[str] = []

    def interrupted_at_the_second(case: Case) -> Run:
        if measured:
            raise KeyboardInterrupt
        measured.append(case.name)
        return Run(case, {"batches_per_s": 11.0}, took_s=1.0)

    monkeypatch.setattr(suite, "run_fresh", interrupted_at_the_second)
    path = tmp_path / "suite.json"

    status = suite.main([*SHORT, "--results", str(path)])

    assert status == 130
    left = Results.load(path)
    assert [run.case.name for run in left.runs] == measured
    assert left.is_finished is False
    assert "11" in capsys.readouterr().out


def test_unknown_chapter_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        suite.main(["--only", "nonsense"])

    assert "there are tiny, 1mb, images" in capsys.readouterr().err
