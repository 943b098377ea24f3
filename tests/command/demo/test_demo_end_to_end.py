from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from seqloader.command.cli import main
from seqloader.command.demo import passes
from seqloader.command.demo.sheet import sheet_size

if TYPE_CHECKING:
    from pathlib import Path

TINY = ["--crops", "26", "--batch-size", "4"]  # 7 batches an epoch, the last one short


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch) -> Path:
    """Temporary folders and the contact sheet go where the test can see them."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


# The second death may come to light only after the last batch of so short a run.
@pytest.mark.parametrize(
    ("workers", "killed"),
    [
        ("0", r"0 workers killed with SIGKILL, 0 replaced\."),
        ("2", r"2 workers killed with SIGKILL, [12] replaced\."),
    ],
)
def test_every_batch_is_identical_though_workers_are_killed_where_there_are_any(
    workers, killed, scratch, capsys
):
    status = main(["demo", *TINY, "--workers", workers, "--chaos"])

    output = capsys.readouterr().out
    assert status == 0
    assert output.splitlines()[-1] == "14 batches compared: identical."
    assert re.search(f"^{killed}$", output, re.MULTILINE)
    assert f"contact sheet: {scratch / 'seqloader-demo.png'}" in output.splitlines()
    assert list((scratch / "temporary").iterdir()) == []
    with Image.open(scratch / "seqloader-demo.png") as sheet:
        assert sheet.size == sheet_size(4)


def test_one_wrong_batch_is_found_and_fails_the_demo(monkeypatch, capsys):
    true_checksum = passes.checksum
    taken = 0

    def tampered(batch):
        nonlocal taken
        taken += 1
        images, labels = batch
        return true_checksum((images + (taken == 14 + 10), labels))

    monkeypatch.setattr(passes, "checksum", tampered)

    status = main(["demo", *TINY, "--workers", "0"])

    assert status == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "14 batches compared: 1 differs, first batch 2 of epoch 1."


def test_kept_crops_are_pictures_for_the_next_demo(scratch, capsys):
    crops = scratch / "crops"
    main(["demo", "--crops", "24", "--batch-size", "12", "--workers", "0", "--keep", str(crops)])
    capsys.readouterr()

    status = main(["demo", *TINY, "--workers", "0", "--images", str(crops)])

    assert len(list(crops.glob("*/*.jpg"))) == 24
    assert status == 0
    assert f"24 photographs from {crops}" in capsys.readouterr().out


def test_a_folder_without_pictures_is_a_sentence(tmp_path, capsys):
    status = main(["demo", "--images", str(tmp_path)])

    assert status == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_ctrl_c_leaves_no_temporary_folder_and_no_traceback(scratch):
    # The path of the tests, since the package may not be installed.
    environment = {
        **os.environ,
        "TMPDIR": str(scratch / "temporary"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "seqloader", "demo"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        first, second = demo.stdout.readline(), demo.stdout.readline()
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=30)

    assert "photographs" in first
    assert "cutting" in second
    assert errors == "interrupted\n"
    assert demo.returncode == 130
    assert list((scratch / "temporary").iterdir()) == []
