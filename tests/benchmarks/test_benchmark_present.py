"""What is left out where a distribution is missing, and what is said about it."""

from __future__ import annotations

import pytest
from harness.cases import Case
from harness.machine import describe
from harness.present import missing, needed, present
from harness.report import show_left_out

NOWHERE = "a-distribution-nobody-wrote"
HERE = Case("here", "stream", "seqloader", requires="psutil")
AWAY = Case("away", "stream", requires=NOWHERE)


def test_cases_are_left_out_whose_distribution_is_missing() -> None:
    assert present([HERE, AWAY]) == [HERE]
    assert missing([HERE, AWAY, AWAY]) == {NOWHERE: ["away", "away"]}


def test_distributions_that_are_measured_are_named_once() -> None:
    assert needed([HERE, HERE, Case("plain", "stream", "Pool.imap")]) == ["psutil"]


def test_what_is_left_out_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_left_out({NOWHERE: ["one", "two"]})

    assert capsys.readouterr().out == f"{NOWHERE} is not installed; left out: one; two\n"


def test_machine_is_described_with_the_versions_of_what_is_measured() -> None:
    versions = describe(["psutil", NOWHERE]).versions

    assert list(versions) == ["seqloader", "numpy", "psutil", NOWHERE]
    assert versions[NOWHERE] == "not installed"
