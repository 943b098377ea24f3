"""`seqloader top`: what another process does, seen from outside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from observing.traces import Numbers

from seqloader import OrderedEnqueuer
from seqloader.command.cli import main
from seqloader.command.top.finding import enqueuers_of, processes
from seqloader.command.top.looking import look
from seqloader.command.top.snapshot import Consumer, Snapshot, Worker, snapshot_of, workers_in
from seqloader.command.top.wording import Memory, shown
from seqloader.executors.process.wire.table import INDEX, PID, ROW_WORDS, TAKEN
from seqloader.run.board import Board

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

SECOND = 10**9


# --- words ------------------------------------------------------------------------------------


def consumer(**changed: Any) -> Consumer:
    facts: dict[str, Any] = {"sequence": "Photos", "started_ns": 1, "workers": 2, "queue": 10}
    facts |= {"epoch": 1, "count": 100, "position": 41, "delivered": 141, "waited_ns": 0}
    facts |= {"died": 0, "doing": "", "since_ns": 0}
    return Consumer(**(facts | changed))


def worker(number: int, **changed: Any) -> Worker:
    facts: dict[str, Any] = {"number": number, "slot": number - 1, "pid": 4000 + number}
    facts |= {"serves": True, "leaves": False, "serial": 0, "since_ns": 0, "epoch": 1}
    facts |= {"position": 0, "index": 0, "answered": 0, "busy_ns": 0}
    return Worker(**(facts | changed))


def snapshot(at_s: float, *workers: Worker, processes: bool = True, **changed: Any) -> Snapshot:
    return Snapshot(77, int(at_s * SECOND), consumer(**changed), workers, processes)


LIVING = {4001: Memory(2**20, 2**22), 4002: Memory(2**20, None)}


def test_rates_and_waits_are_those_between_two_looks() -> None:
    before = snapshot(10, delivered=100, waited_ns=0)
    now = snapshot(12, delivered=150, waited_ns=SECOND // 2)
    figures = shown(before, now, {}).figures
    assert figures.startswith("25.0 batches/s; the consumer waited 25 % of the last 2.0 s; 150 ")


def test_a_wait_that_lasts_counts_before_it_ends_and_names_who_has_the_batch() -> None:
    busy = worker(2, serial=9, since_ns=3 * SECOND, position=41, index=907)
    waiting = {"doing": "wait", "since_ns": 4 * SECOND}
    before = snapshot(10, worker(1), busy, **waiting)
    now = snapshot(12, worker(1), busy, **waiting)

    seen = shown(before, now, LIVING)

    assert "waited 100 % of the last 2.0 s" in seen.figures
    assert seen.consumer == (
        "has waited 8.0 s for batch 907 (position 41 of epoch 1), which worker 1 (pid 4002) has "
        "had for 9.0 s"
    )
    assert [line.state for line in seen.workers] == [
        "is idle",
        "computes batch 907 (epoch 1, position 41), for 9.0 s",
    ]
    assert [line.busy for line in seen.workers] == ["0 %", "100 %"]


@pytest.mark.parametrize(
    ("changed", "workers", "said"),
    [
        ({"doing": "wait"}, [worker(1)], "position 41 of epoch 1, which no worker works on now"),
        ({"doing": "wait"}, [worker(1, serves=False)], "no worker has started yet"),
        ({"doing": "on_epoch_end", "since_ns": 9 * SECOND}, [], "is in: on_epoch_end, for 3.0 s"),
        ({}, [], "is in your own code: no batch was taken for 2.0 s at least"),
        ({"delivered": 142}, [], "takes batches"),
    ],
)
def test_the_consumer_is_said_to_be_where_it_is(
    changed: dict[str, Any], workers: list[Worker], said: str
) -> None:
    assert said in shown(snapshot(10), snapshot(12, *workers, **changed), LIVING).consumer


def test_workers_start_load_leave_and_die() -> None:
    workers = [
        worker(1, serves=False),
        worker(2, serial=5, since_ns=130 * SECOND, leaves=True),
        worker(3, serial=6, pid=1),  # does not live
    ]
    seen = shown(snapshot(10, *workers), snapshot(12, *workers, died=1), LIVING)
    assert [line.state for line in seen.workers] == ["starts", "loads the Sequence"]
    assert seen.title.startswith("Photos: 2 of 2 worker processes, queue 10; epoch 1, position 41 ")
    assert seen.figures.endswith("1 worker died")


class Changing(list[int]):
    """A table whose worker takes the next ticket while its row is read."""

    reads = 0

    def __getitem__(self, place: Any) -> Any:
        value = super().__getitem__(place)
        if place == ROW_WORDS + TAKEN:
            self.reads += 1
            if self.reads == 1:  # between the serial and the rest
                self[ROW_WORDS + INDEX] = 8
                self[ROW_WORDS + TAKEN] = 2
        return value


def test_a_row_that_changes_meanwhile_is_read_again() -> None:
    words = Changing([0] * 4 * ROW_WORDS)
    words[ROW_WORDS + PID], words[ROW_WORDS + INDEX], words[ROW_WORDS + TAKEN] = 77, 7, 1

    (row,) = workers_in(words)

    assert (row.serial, row.index) == (2, 8)


def test_a_row_that_was_left_empty_hides_nobody() -> None:
    words = [0] * 200 * ROW_WORDS
    for number in (2, 60, 190):
        words[number * ROW_WORDS + PID] = number
    assert [row.pid for row in workers_in(words)] == [2, 60]  # 64 empty ones are the end


# --- processes --------------------------------------------------------------------------------

TRAINING = """
import os, sys, time
sys.path[:0] = {paths!r}
from observing.traces import Numbers
from seqloader import OrderedEnqueuer

class Train(Numbers):
    def __getitem__(self, index):
        if index == {hangs_at}:
            time.sleep(1000)
        return super().__getitem__(index)

class Validation(Numbers):
    pass

if __name__ == "__main__":
    train = OrderedEnqueuer(Train(1000), workers=2, seed=1)
    validation = OrderedEnqueuer(Validation(5), executor="inline")
    with train, validation:
        list(validation)
        for n, batch in enumerate(train):
            if n == 3:
                print("there", flush=True)
                {then}
"""


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts trainings, which are killed at the end; each has taken four batches."""
    begun: list[subprocess.Popen[str]] = []

    def start(then: str, hangs_at: int = -1) -> subprocess.Popen[str]:
        paths = [os.fspath(Path(__file__).parents[2]), *sys.path]
        program = tmp_path / "train.py"
        program.write_text(TRAINING.format(paths=paths, hangs_at=hangs_at, then=then))
        command = [sys.executable, os.fspath(program)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        begun.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def looked_at(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["top", "--once", "--interval", "0.05", *arguments]) == 0
    return capsys.readouterr().out


def test_a_running_training_is_seen_with_all_its_enqueuers(
    training: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    process = training("while True: time.sleep(0.01)")

    text = looked_at(capsys, str(process.pid))

    assert text.startswith(f"pid {process.pid}, ")
    title = r"Train: \d of 2 worker processes, queue 10; epoch 0, position 4 of 1,000\n"
    assert re.search(title, text)
    assert "Validation: computed in the consumer, queue 10; epoch 0, position 5 of 5" in text
    assert "4 delivered, no worker died" in text
    assert "consumer is in your own code" in text
    assert process.pid in processes()


def test_a_hung_training_is_said_to_wait_for_its_batch(
    training: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    process = training("pass", hangs_at=6)
    text = ""
    while " for batch 6 (position" not in text:  # it takes two batches more until then
        text = looked_at(capsys, str(process.pid))

    assert re.search(
        r"consumer has waited [\d.]+ m?s for batch 6 \(position 6 of epoch 0\), which worker \d "
        r"\(pid \d+\) has had for [\d.]+ m?s\n",
        text,
    )
    assert re.search(r"worker \d \(pid \d+\) computes batch 6 \(epoch 0, position 6\)", text)


def test_a_forked_child_of_a_consumer_has_no_enqueuers(training: Any) -> None:
    process = training(
        "child = os.fork(); print(child or '', end='\\n' if child else '', flush=True); "
        "time.sleep(1000)"
    )
    child = int(process.stdout.readline())
    try:
        enqueuers = enqueuers_of(process.pid)
        assert len(enqueuers) == 2
        assert enqueuers_of(child) == []
        for found in enqueuers:
            found.close()
    finally:
        os.kill(child, 9)


def test_who_has_ended_or_has_no_enqueuer_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert enqueuers_of(ended.pid) == []
    assert main(["top", "--once", str(ended.pid)]) == 2
    assert "has no enqueuer that runs" in capsys.readouterr().err


def test_what_was_mapped_stays_when_its_process_ends(training: Any) -> None:
    process = training("time.sleep(1000)")
    train, validation = enqueuers_of(process.pid)
    process.kill()
    process.wait()

    assert snapshot_of(train, 0).consumer.delivered == 4
    train.close()
    validation.close()


# --- the board --------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["process", "thread", "inline"])
def test_the_board_is_there_from_start_to_stop_and_says_what_stats_say(executor: Any) -> None:
    with OrderedEnqueuer(Numbers(12), workers=2, executor=executor) as enqueuer:
        threads = threading.active_count()
        assert int(next(iter(enqueuer))[0]) == 0
        (one,) = enqueuers_of(os.getpid())
        seen = snapshot_of(one, 0).consumer
        assert (seen.sequence, seen.delivered, seen.position, seen.count) == ("Numbers", 1, 1, 12)
        assert seen.workers == enqueuer.workers
        if executor != "inline":
            assert seen.waited_ns == pytest.approx(enqueuer.stats().waited_s * 1e9, abs=1000)
        assert (one.table is not None) == (executor == "process")
        one.close()
        assert threading.active_count() == threads
    assert enqueuers_of(os.getpid()) == []


@pytest.mark.parametrize("start_method", ["spawn", "fork", "zygote"])
def test_workers_are_seen_however_they_are_born(start_method: Any) -> None:
    with OrderedEnqueuer(Numbers(12), workers=2, start_method=start_method) as enqueuer:
        batches = iter(enqueuer)
        next(batches)
        while True:  # until the second has started as well
            processes, _ = look([os.getpid()], {}, 0.01)
            (seen,) = processes[0].enqueuers
            if len(seen.workers) == 2:
                break
    assert [line.slot for line in seen.workers] == ["0", "1"]
    assert all(line.memory != "0 MiB" and line.batches for line in seen.workers)


def test_a_session_after_a_session_goes_on_counting() -> None:
    enqueuer = OrderedEnqueuer(Numbers(3), executor="inline")
    for _ in range(2):
        with enqueuer:
            list(enqueuer)
            (one,) = enqueuers_of(os.getpid())
            delivered = snapshot_of(one, 0).consumer.delivered
            one.close()
    assert delivered == 6


def test_where_no_board_can_be_nothing_else_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOADER_WITHOUT", "memfd")
    with OrderedEnqueuer(Numbers(3), executor="inline") as enqueuer:
        assert [int(batch[0]) for batch in enqueuer] == [0, 1, 2]
        assert enqueuers_of(os.getpid()) == []


def test_a_board_that_is_taken_down_may_still_be_written_to() -> None:
    board = Board()
    board.open("Numbers")
    board.words[3] = 1
    board.close()
    board.words[3] = 2
    board.close()
    assert np.all(np.array(board.words[:3]) == 0)
