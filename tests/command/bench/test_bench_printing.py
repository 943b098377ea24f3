"""What is printed fits a terminal, and is whole where there is none."""

from __future__ import annotations

import io
import warnings

import pytest
from facts_for_tests import LOOP, row
from rich.console import Console

from seqloader import WorkerLostWarning
from seqloader.command.bench import report
from seqloader.command.bench.options import Settings
from seqloader.command.bench.run import run_bench, tell_losses

SETTINGS = Settings("data:Batches", step_ms=30.0)
FIGURES = [LOOP, row(2, 190.0, busy_share=1.012, wait_s=0.001)]


def printed(width):
    console = Console(file=io.StringIO(), width=width)
    console.print(report.fitting_table(FIGURES, SETTINGS, "", console))
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("width", "dropped"),
    [
        (110, []),
        (90, ["consumer"]),
        (80, ["consumer", "MB/s"]),
        (70, ["consumer", "MB/s", "spread"]),
        (60, ["consumer", "MB/s", "spread", "memory"]),
        (45, ["consumer", "MB/s", "spread", "memory", "start-", "effi-"]),
    ],
)
def test_a_narrow_terminal_drops_columns_and_crushes_no_number(width, dropped):
    shown = printed(width)

    names = ("consumer", "MB/s", "spread", "memory", "start-", "effi-")
    assert [name for name in names if name not in shown] == dropped
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width


def test_one_round_shows_no_spread_and_nobody_is_busy_beyond_all():
    cells = printed(110).splitlines()[-2].split()

    assert cells[:4] == ["2", "0.20", "190", "-"]
    assert "100%" in cells
    assert "101%" not in cells


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_a_lost_worker_is_told_of_whole(terminal):
    said = f"worker 0 (pid 7 by SIGKILL) died in batch 3; {'it was replaced, ' * 12}the end"
    console = Console(file=io.StringIO(), width=60, force_terminal=terminal, color_system=None)

    with tell_losses(console):
        warnings.warn(said, WorkerLostWarning, stacklevel=1)

    shown = console.file.getvalue()
    assert " ".join(shown.split()) == said
    assert (len(shown.splitlines()) > 1) is terminal


def test_names_between_colons_are_no_pictures(write_module, capsys):
    name = write_module("One = [np.zeros(3)] * 4\n")

    run_bench(Settings(f"{name}:One", workers=(0,), seconds=0.01, rounds=1))

    shown = capsys.readouterr()
    assert shown.out.startswith(f"{name}:One: list; ")
    assert shown.err == "measuring: round 1 of 1\n"
