from __future__ import annotations

import sys

import pytest

from seqloader.command.cli import main


@pytest.mark.parametrize("module", ["skimage", "PIL", "rich"])
def test_a_missing_extra_is_named_with_the_command_that_installs_it(module, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)

    status = main(["demo"])

    assert status == 2
    assert 'pip install "seqloader[demo]"' in capsys.readouterr().err


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["--version"])

    assert leaving.value.code == 0
    assert capsys.readouterr().out.startswith("seqloader ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["demo", "--workers", "-1"],
        ["demo", "--workers", "two"],
        ["demo", "--epochs", "0"],
        ["demo", "--images", "/no/such/folder"],
        ["demo", "--output", "/no/such/folder/sheet.png"],
        ["demo", "--output", "sheet.txt"],
    ],
    ids=" ".join,
)
def test_unusable_arguments_are_refused_before_anything_runs(arguments, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(arguments)

    assert leaving.value.code == 2
    assert capsys.readouterr().err.startswith("usage:")


def test_a_folder_without_pictures_is_a_sentence(tmp_path, capsys):
    status = main(["demo", "--images", str(tmp_path)])

    assert status == 2
    assert str(tmp_path) in capsys.readouterr().err
