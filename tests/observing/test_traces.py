"""Traces of runs: every executor, ends of all kinds."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from observing.strikes import Strike, take_all
from observing.traces import Numbers, check_format, events_of, named

from seqloader import OrderedEnqueuer, SeqloaderWarning, WorkerLostWarning
from seqloader.command.report.reading import read_events


class DiesOnce(Numbers):
    """Batch 3 kills its worker, once."""

    def __init__(self, length: int, scratch: Path) -> None:
        super().__init__(length)
        self.scratch = scratch

    def __getitem__(self, index: int, /) -> Any:
        if index == 3:
            try:
                (self.scratch / "died").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


class RaisesOnce(Numbers):
    """Batch 3 raises in its first attempt."""

    raised = False

    def __getitem__(self, index: int, /) -> Any:
        if index == 3 and not self.raised:
            self.raised = True
            raise ValueError("once")
        return super().__getitem__(index)


@pytest.mark.parametrize("executor", ["process", "thread", "inline"])
def test_a_trace_tells_of_every_batch_in_its_lane(tmp_path: Path, executor: Any) -> None:
    path = tmp_path / "run.json"
    sequence = Numbers(20)
    with OrderedEnqueuer(sequence, workers=2, executor=executor) as enqueuer, enqueuer.trace(path):
        for _ in range(2):
            assert [int(batch[0]) for batch in enqueuer] == [*range(20)]

    events = events_of(path)
    for name, lane in (("compute", 10), ("hand over", 1), ("loop", 1)):
        slices = named(events, name, "X")
        assert [(e["args"]["epoch"], e["args"]["index"]) for e in slices if lane == 1] in (
            [],
            [(epoch, index) for epoch in range(2) for index in range(20)],
        )
        assert sorted((e["args"]["epoch"], e["args"]["index"]) for e in slices) == [
            (epoch, index) for epoch in range(2) for index in range(20)
        ]
        assert all(e["tid"] >= lane for e in slices)
    assert len(named(events, "encode", "X")) == (40 if executor == "process" else 0)
    waits = len(named(events, "wait", "B"))
    assert waits == len(named(events, "wait", "E"))
    assert waits or executor != "inline"  # workers may have been faster than the loop
    for name in ("epoch 0", "epoch 1", "on_epoch_end", "send the Sequence"):
        assert named(events, name, "B") and named(events, name, "E")
    lanes = {e["args"]["name"] for e in named(events, "thread_name", "M")}
    assert {"consumer", "epochs"} < lanes <= {"consumer", "epochs", "worker 0", "worker 1"}
    totals = named(events, "totals", "C")
    assert totals[-1]["args"]["delivered"] == 40
    if sys.platform == "linux":
        assert all(e["args"]["consumer"] > 0 for e in named(events, "memory", "C"))


def test_a_batch_is_handed_over_after_it_was_computed(tmp_path: Path) -> None:
    """Both clocks are one: of the worker and of the consumer."""
    path = tmp_path / "run.json"
    with OrderedEnqueuer(Numbers(20), workers=2) as enqueuer, enqueuer.trace(path):
        for _ in enqueuer:
            pass

    events = events_of(path)
    computed = {e["args"]["index"]: e["ts"] + e["dur"] for e in named(events, "encode", "X")}
    handed = {e["args"]["index"]: e["ts"] for e in named(events, "hand over", "X")}
    assert computed.keys() == handed.keys()
    assert all(computed[index] <= handed[index] for index in computed)


def test_deaths_errors_and_sizes_are_told(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with OrderedEnqueuer(DiesOnce(12, tmp_path), workers=2) as enqueuer, enqueuer.trace(path):
        with pytest.warns(WorkerLostWarning):
            for _ in enqueuer:
                pass
        enqueuer.resize(1)

    (died,) = named(events := events_of(path), "died", "i")
    assert died["args"]["index"] == 3
    assert died["args"]["exitcode"] == -signal.SIGKILL
    assert named(events, "size", "i")[-1]["args"]["workers"] == 1

    path = tmp_path / "raised.json"
    sequence = RaisesOnce(6)
    with OrderedEnqueuer(sequence, executor="inline", retries=1) as other, other.trace(path):
        for _ in other:
            pass
    (raised,) = named(events_of(path), "raised", "i")
    assert (raised["args"]["index"], raised["args"]["error"]) == (3, "ValueError")


def test_a_trace_may_begin_and_end_in_the_middle(tmp_path: Path) -> None:
    enqueuer = OrderedEnqueuer(Numbers(8), executor="inline")
    batches = iter(enqueuer)
    assert int(next(batches)[0]) == 0
    with enqueuer.trace(tmp_path / "run.json"):
        assert int(next(batches)[0]) == 1
        assert int(next(batches)[0]) == 2
    assert [int(batch[0]) for batch in batches] == [3, 4, 5, 6, 7]
    enqueuer.stop()

    handed = named(events_of(tmp_path / "run.json"), "hand over", "X")
    assert [e["args"]["index"] for e in handed] == [1, 2]


def test_wrong_uses_of_a_trace_are_refused_at_once(tmp_path: Path) -> None:
    one, other = (OrderedEnqueuer(Numbers(4), executor="inline") for _ in range(2))
    with one.trace(tmp_path / "run.json"):
        with pytest.raises(RuntimeError, match="traced already"), one.trace(tmp_path / "b.json"):
            pass
        with pytest.raises(ValueError, match="another trace"), other.trace(tmp_path / "run.json"):
            pass
    with pytest.raises(ValueError, match="limit_bytes"):
        one.trace(tmp_path / "run.json", limit_bytes=10)
    with pytest.raises(FileNotFoundError), one.trace(tmp_path / "none" / "run.json"):
        pass


def test_an_error_in_writing_is_one_warning_and_no_batch_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    enqueuer = OrderedEnqueuer(Numbers(2000), executor="inline")
    with enqueuer, enqueuer.trace(tmp_path / "run.json"):
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.warns(SeqloaderWarning, match="the trace .* ends here") as warned:
            assert [int(batch[0]) for batch in enqueuer] == [*range(2000)]
    assert len(warned) == 1


SCRIPT = """
import os, signal, sys, time
sys.path[:0] = {paths!r}
from observing.strikes import Strike, take_all
from observing.traces import Numbers
from seqloader import OrderedEnqueuer

class Hangs(Numbers):
    def __getitem__(self, index):
        if index == 7:
            print("hangs", flush=True)
            time.sleep(1000)
        return super().__getitem__(index)

if __name__ == "__main__":
    with OrderedEnqueuer(Hangs(20), workers=2) as enqueuer:
        for batch in enqueuer:
            pass
"""


def started(tmp_path: Path, script: str, **environment: str) -> subprocess.Popen[str]:
    program = tmp_path / "train.py"
    program.write_text(script.format(paths=[os.fspath(Path(__file__).parents[1]), *sys.path]))
    environ = {**os.environ, **environment}
    command = [sys.executable, os.fspath(program)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ, cwd=tmp_path)


def test_a_killed_training_leaves_a_trace_that_says_what_it_waited_for(tmp_path: Path) -> None:
    training = started(tmp_path, SCRIPT, SEQLOADER_TRACE="run.json")
    assert training.stdout is not None
    with training, training.stdout:
        assert training.stdout.readline() == "hangs\n"
        path = tmp_path / "run.json"
        while '"index": 7' not in path.read_text():  # until the consumer waits for it
            pass
        training.kill()

    events, whole = read_events(path)

    check_format(events)
    assert not whole
    waits = named(events, "wait", "B")
    assert waits[-1]["args"] == {"epoch": 0, "position": 7, "index": 7}
    assert len(named(events, "wait", "E")) == len(waits) - 1
    assert {e["args"]["index"] for e in named(events, "compute", "X")} >= {*range(7)}


TWO = """
import sys
sys.path[:0] = {paths!r}
from observing.strikes import Strike, take_all
from observing.traces import Numbers
from seqloader import OrderedEnqueuer

one, other = OrderedEnqueuer(Numbers(5), executor="inline"), OrderedEnqueuer(Numbers(6), workers=1)
for _ in range(2):
    with one, other:
        list(one), list(other)
third = OrderedEnqueuer(Numbers(7), executor="inline")
for batch in third:
    pass  # and no stop()
"""


def test_the_environment_has_every_enqueuer_write_a_file_of_its_own(tmp_path: Path) -> None:
    training = started(tmp_path, TWO, SEQLOADER_TRACE="run.json")
    with training:
        training.communicate()
    assert training.returncode == 0

    files = sorted(path.name for path in tmp_path.glob("*.json"))
    assert files == ["run-2.json", "run-3.json", "run.json"]  # no later one writes over another's
    counts = [len(named(events_of(tmp_path / name), "hand over", "X")) for name in files]
    assert counts == [12, 7, 10]


def test_a_trace_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQLOADER_TRACE", os.fspath(tmp_path / "none" / "run.json"))
    enqueuer = OrderedEnqueuer(Numbers(3), executor="inline")
    with pytest.warns(SeqloaderWarning, match="no trace is written"):
        enqueuer.start()
    assert len([*enqueuer]) == 3
    enqueuer.stop()


def test_who_writes_no_trace_pays_for_none() -> None:
    """No module of it is imported; so none of its functions is called."""
    program = (
        "import sys\nfrom seqloader import OrderedEnqueuer\n"
        "with OrderedEnqueuer([1, 2, 3], executor='inline') as enqueuer:\n    list(enqueuer)\n"
        "print([name for name in sys.modules if name.startswith('seqloader.run.trace')])"
    )
    environment = {key: value for key, value in os.environ.items() if key != "SEQLOADER_TRACE"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


def test_an_interrupt_at_any_line_of_ours_leaves_the_file_valid(tmp_path: Path) -> None:
    """Raised at each line of the trace's own modules in turn, while batches are taken."""
    path = tmp_path / "run.json"
    line, strike = 0, Strike(0, "")
    while strike.left <= 0:
        line += 1 if line < 60 else 5
        strike = Strike(line, f"{os.sep}run{os.sep}trace{os.sep}")
        enqueuer = OrderedEnqueuer(Numbers(4), executor="inline")
        with enqueuer.trace(path):
            sys.settrace(strike)
            try:
                delivered = take_all(enqueuer)
            finally:
                sys.settrace(None)
        enqueuer.stop()
        assert delivered == [*range(4)], f"struck at line {line}"
        events = json.loads(path.read_text())
        check_format([e for e in events if e["tid"] != 2])  # an epoch may have begun unsaid
    assert line > 100
