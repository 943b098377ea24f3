"""What commands and benchmarks share: rounds, stored results, the machine, tables and bars."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
from rich.console import Console
from rich.progress import TaskProgressColumn
from rich.text import Text

from seqloader import __version__
from seqloader.command import words
from seqloader.command.faults import without_enqueuer
from seqloader.command.machine import describe
from seqloader.command.rounds import spread
from seqloader.command.stored import store
from seqloader.command.terminal import bar, print_table

NOWHERE = "a-distribution-nobody-wrote"


@pytest.mark.parametrize(
    ("values", "apart"),
    [([1.0], 0.0), ([2.0, 3.0, 4.0], 2 / 3), ([-1.0, 0.0, 1.0], float("inf")), ([0.0, 0.0], 0.0)],
)
def test_spread_is_of_the_median(values, apart):
    assert spread(values) == pytest.approx(apart)


def test_stored_results_have_a_line_for_each_record_and_come_back_whole(tmp_path):
    path = tmp_path / "new" / "results.json"
    content = {"name": "x", "none": [], "runs": [{"a": [1, 2]}, {"a": None}], "facts": {"é": "|"}}

    store(path, content)
    store(path, content)

    assert json.loads(path.read_text(encoding="utf-8")) == content
    assert path.read_text(encoding="utf-8").splitlines() == [
        "{",
        '"name": "x",',
        '"none": [],',
        '"runs": [',
        ' {"a": [1, 2]},',
        ' {"a": null}',
        "],",
        '"facts": {"\\u00e9": "|"}',
        "}",
    ]
    assert [each.name for each in path.parent.iterdir()] == ["results.json"]


def test_machine_is_described_with_the_versions_of_what_is_measured():
    machine = describe(["psutil", NOWHERE])

    assert list(machine.versions) == ["seqloader", "numpy", "psutil", NOWHERE]
    assert machine.versions["seqloader"] == __version__
    assert machine.versions[NOWHERE] == "not installed"
    assert len(dataclasses.replace(machine, load_1min=0.1).lines()) == 2
    assert "was busy" in dataclasses.replace(machine, load_1min=3.0).lines()[-1]


def test_table_is_whole_where_it_is_redirected(capsys):
    rows = [["a name " * 10, Text("[b]1[/b]", style="red")], ["b", "2"]]

    print_table("A [title]", ["", "figure"], rows, style=lambda cell: "green")

    printed = capsys.readouterr().out
    for text in ("A [title]", "a name " * 10, "[b]1[/b]", "figure"):
        assert text in printed


@pytest.mark.parametrize("terminal", [True, False])
def test_bar_is_drawn_on_a_terminal_only(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)

    with bar(console, 4, TaskProgressColumn()) as draw:
        assert (draw is not None) is terminal
        if draw is not None:
            draw("a [name]", 1)

    assert ("a [name]" in console.file.getvalue()) is terminal
    assert ("25%" in console.file.getvalue()) is terminal


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.three_digits(0.000813), "0.000813"),
        (words.three_digits(1.5), "1.5"),
        (words.three_digits(88_559.2), "88,559"),
        (words.clock(65.4), "1:05"),
        (words.count(2, "epoch"), "2 epochs"),
    ],
)
def test_figures_of_any_size_are_said_in_few_digits(said, expected):
    assert said == expected


def test_advice_names_the_option_of_the_command_line():
    said = without_enqueuer("TypeError: leave it out, or pass start_method='fork'", "t:x", [])

    assert said == "TypeError: leave it out, or pass --start-method fork"
