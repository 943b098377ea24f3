"""`seqloader bench` as a user meets it: real Sequences, real workers. No time is ever asserted."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest
from PIL import Image

from seqloader.command.bench.run import NO_MATPLOTLIB
from seqloader.command.cli import main
from seqloader.stats.verdict import Cause

SHORT = ["--seconds", "0.05", "--rounds", "1", "--workers", "0,1"]

SMALL = """
    class Small(Sequence):
        def __init__(self, length=7):
            self.length = length

        def __len__(self):
            return self.length

        def __getitem__(self, index):
            return np.full(100, index), np.full(3, index)
"""

INTERRUPTED = (
    SMALL
    + """

    class Interrupted(Small):
        epochs_begun = 0

        def on_epoch_begin(self):
            self.epochs_begun += 1

        def __getitem__(self, index):
            if self.epochs_begun > 8:
                raise KeyboardInterrupt  # what Ctrl-C brings
            return super().__getitem__(index)
"""
)

FAULTS = {
    "in the loop": (
        """
        def __getitem__(self, index):
            if index == 5:
                raise KeyError("no such sample")
            return index
        """,
        ["KeyError: 'no such sample'", "raised by batch 5 (epoch 0), in the plain loop"],
    ),
    "in workers only": (
        """
        def __getitem__(self, index):
            if index == 5 and os.environ["CONSUMER_OF_THE_TEST"] != str(os.getpid()):
                raise KeyError("no such sample")
            return index
        """,
        [
            "KeyError: 'no such sample'",
            "batch 5 (epoch 0, position 5) in worker 0",
            "Reproduce it alone with: sequence[5], where sequence comes from work_",
        ],
    ),
    "in a hook": (
        """
        def on_epoch_end(self):
            raise OSError("disk full")
        """,
        ["OSError: disk full", "raised by on_epoch_end of epoch 0"],
    ),
    "in its length": (
        """
        def __len__(self):
            raise OSError("no list of files")
        """,
        ["OSError: no list of files", "raised at the beginning of epoch 0"],
    ),
    "has no batch": (
        """
        def __len__(self):
            return 0
        """,
        ["the Sequence has no batch to measure: its length is 0"],
    ),
    "cannot be sent": (
        """
        def on_epoch_begin(self):
            self.unsendable = (number for number in range(3))
        """,
        ["sequence.unsendable", "cannot be pickled"],
    ),
    "leaves": (
        """
        def __getitem__(self, index):
            raise SystemExit("bye")
        """,
        ["SystemExit: bye", "raised by batch 0"],
    ),
}


def faulty(method):
    lines = [line for line in method.splitlines() if line.strip()]
    return SMALL + "\n\n    class Faulty(Small):\n" + "\n".join(lines) + "\n"


@pytest.fixture
def bench(capsys):
    """Runs the command in this process: status, what it printed, and what it said of errors."""

    def run(*arguments):
        status = main(["bench", *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="it draws the plot")
def test_a_sequence_in_a_file_is_measured_judged_recorded_and_drawn(write_module, tmp_path):
    code, empty = tmp_path / "code", tmp_path / "empty"
    code.mkdir()
    empty.mkdir()
    target = f"../code/{write_module(SMALL, code)}.py:Small"
    arguments = ["--arg", "length=9", "--step-ms", "1", "--json", "raw.json"]

    ended = subprocess.run(
        [sys.executable, "-m", "seqloader", "bench", target, *SHORT, *arguments],
        cwd=empty,
        # The path of the tests, since the package may not be installed.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    out = ended.stdout
    assert ended.returncode == 0, ended.stderr
    for row in ("plain loop", "0", "1"):
        assert re.search(rf"^ +{row} +\d", out, re.MULTILINE)
    assert "waits (s/" in out
    assert re.search(f"^Bottleneck: (Other .*perhaps )?({'|'.join(Cause)}): ", out, re.MULTILINE)
    line = re.search(r"^    (OrderedEnqueuer\(sequence, workers=[01].*\))$", out, re.MULTILINE)
    assert line is not None
    record = json.loads((empty / "raw.json").read_text())
    assert [row["workers"] for row in record["facts"]["rows"]] == [0, 1]
    assert record["facts"]["batches_per_epoch"] == 9
    assert record["recommendation"]["line"] == line[1]
    assert f"plot: {empty / 'seqloader-bench.png'}" in out
    with Image.open(empty / "seqloader-bench.png") as plot:
        assert plot.width > 1000
    assert {path.name for path in empty.iterdir()} == {"raw.json", "seqloader-bench.png"}


def test_raw_figures_are_kept_round_by_round(bench, write_module, tmp_path):
    name = write_module(SMALL)
    arguments = ["--batches", "40", "--rounds", "2", "--workers", "1", "--queue", "3", "--no-plot"]

    status, _, _ = bench(f"{name}:Small", *arguments, "--json", "raw.json", "--arg", "4")

    facts = json.loads((tmp_path / "raw.json").read_text())["facts"]
    assert status == 0
    assert facts["batches_per_epoch"] == 4  # so that 40 batches are ten epochs
    for row in (facts["loop"], facts["rows"][0]):
        assert [each["batches"] for each in row["rounds"]] == [40, 40]
        assert row["nbytes"] == 824
    assert facts["rows"][0]["queue"] == 3
    assert facts["work"]["mean_s"] > 0
    assert not list(tmp_path.glob("*.png"))


def test_a_sequence_without_an_end_is_measured(bench, write_module, tmp_path):
    name = write_module(
        """
        class Endless(Sequence):
            num_batches = None

            def __getitem__(self, index):
                return np.full(5, index)
        """
    )

    status, out, _ = bench(f"{name}:Endless", *SHORT, "--no-plot", "--json", "raw.json")

    assert status == 0
    assert "Bottleneck: " in out
    assert json.loads((tmp_path / "raw.json").read_text())["facts"]["batches_per_epoch"] is None


def test_options_of_the_enqueuer_are_used_and_recommended(bench, write_module):
    name = write_module(SMALL)
    arguments = ["--executor", "thread", "--seed", "3", "--no-touch", "--no-plot"]

    status, out, _ = bench(f"{name}:Small", *SHORT, *arguments)

    assert status == 0
    assert "executor='thread', seed=3)" in out


def test_without_workers_there_is_a_table_and_no_verdict(bench, write_module):
    name = write_module(SMALL)

    status, out, _ = bench(f"{name}:Small", *SHORT[:4], "--workers", "0", "--no-plot")

    assert status == 0
    assert "Bottleneck: no workers were measured: --workers 0,1,2 would show" in out


@pytest.mark.parametrize("where", FAULTS)
def test_a_fault_of_the_sequence_is_shown_as_the_users(where, bench, write_module):
    method, shown = FAULTS[where]
    name = write_module(faulty(method))

    status, out, err = bench(f"{name}:Faulty", *SHORT, "--no-plot")

    assert status == 1
    for text in shown:
        assert text in err
    assert "seqloader/command/bench" not in err
    assert "Bottleneck" not in out


def test_ctrl_c_shows_and_stores_what_was_measured_until_then(bench, write_module, tmp_path):
    name = write_module(INTERRUPTED)

    # 1 batch, 10 to warm up, 40 measured: the loop is left in its eighth epoch of seven.
    arguments = ["--batches", "40", "--workers", "0", "--json", "raw.json"]
    status, out, err = bench(f"{name}:Interrupted", *arguments)

    assert status == 130
    assert err == "measuring: round 1 of 3\ninterrupted\n"
    assert "Interrupted: the rounds so far" in out
    assert "plain loop " in out
    assert "Bottleneck" not in out
    record = json.loads((tmp_path / "raw.json").read_text())
    assert [each["batches"] for each in record["facts"]["loop"]["rounds"]] == [40]
    assert record["facts"]["loop"]["spread"] is None
    assert record["recommendation"] is None


def test_a_missing_matplotlib_costs_the_plot_and_nothing_else(
    bench, write_module, tmp_path, monkeypatch
):
    name = write_module(SMALL)
    monkeypatch.delitem(sys.modules, "seqloader.command.bench.plot", raising=False)
    for module in [each for each in sys.modules if each.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    status, out, _ = bench(f"{name}:Small", *SHORT)

    assert status == 0
    assert NO_MATPLOTLIB in out
    assert "Recommended: " in out
    assert not list(tmp_path.glob("*.png"))


def test_a_record_that_cannot_be_written_is_a_sentence(bench, write_module, tmp_path):
    name = write_module(SMALL)
    (tmp_path / "raw.json").symlink_to(tmp_path / "no such folder" / "raw.json")

    status, out, err = bench(f"{name}:Small", *SHORT, "--no-plot", "--json", "raw.json")

    assert status == 2
    assert "Recommended: " in out
    assert "No such file or directory" in err
