"""What is said of command lines before anything runs, and of the help of the sub-commands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from seqloader.command.cli import main

REFERENCE = Path(__file__).parents[2] / "docs/reference/command.md"

UNUSABLE = """
    no-such-command
    demo --workers -1
    demo --workers two
    demo --epochs 0
    demo --images /no/such/folder
    demo --output /no/such/folder/sheet.png
    demo --output sheet.txt
    bench
    bench data:make --workers 0,two
    bench data:make --workers -1
    bench data:make --json -
    bench data:make --queue 0
    bench data:make --seconds 0
    bench data:make --seconds nan
    bench data:make --seconds 1 --batches 3
    bench data:make --rounds 0
    bench data:make --step-ms -1
    bench data:make --plot plot.txt
    bench data:make --json /no/such/folder/raw.json
    bench data:make --executor thread --start-method fork
    check
    check data:make --batches 0
    check data:make --kills -1
    check data:make --workers two
    check data:make --budget-seconds 0
"""


@pytest.mark.parametrize("line", ["", *filter(None, map(str.strip, UNUSABLE.splitlines()))])
def test_unusable_arguments_are_refused_before_anything_runs(line, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(line.split())

    assert leaving.value.code == 2
    assert capsys.readouterr().err.startswith("usage:")


@pytest.mark.parametrize(
    ("command", "module"),
    [
        (["demo"], "skimage"),
        (["demo"], "PIL"),
        (["demo"], "rich"),
        (["bench", "data:make"], "rich"),
        (["check", "data:make"], "rich"),
    ],
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    command, module, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, module, None)

    status = main(command)

    assert status == 2
    assert f'pip install "seqloader[{command[0]}]"' in capsys.readouterr().err


@pytest.mark.parametrize("command", ["bench", "check"])
@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_module:make", "There is no module no_such_module"),
        ("{name}:Smal", "Did you mean Small?"),
        ("{name}:np", "is no Sequence"),
    ],
)
def test_what_is_no_sequence_is_a_sentence(command, target, said, write_module, capsys):
    name = write_module("class Small(Sequence): ...\n")

    status = main([command, target.format(name=name)])

    printed = capsys.readouterr()
    [sentence] = [line for line in printed.err.splitlines() if not line.startswith("checking: ")]
    assert status == 2
    assert said in sentence
    assert printed.out == ""


@pytest.mark.parametrize("command", ["bench", "check"])
def test_the_reference_shows_the_help(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "92")

    with pytest.raises(SystemExit):
        main([command, "--help"])

    shown = " ".join(capsys.readouterr().out.split())
    assert shown in " ".join(REFERENCE.read_text(encoding="utf-8").split())


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["--version"])

    assert leaving.value.code == 0
    assert capsys.readouterr().out.startswith("seqloader ")
