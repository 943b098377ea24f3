"""A trace file: whole at every instant, bounded, and nobody's trouble but its own."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from seqloader.command.report.reading import NotATraceError, read_events
from seqloader.run.trace import file as trace_file
from seqloader.run.trace.file import InUseError, TraceFile


class Interrupt(BaseException):
    """What a signal handler raises."""


def numbers(path: Path) -> list[int]:
    events, _ = read_events(path)
    return [event["n"] for event in events if "n" in event]


def test_a_file_without_its_end_holds_every_line_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    file = TraceFile(os.fspath(path))
    for n in range(5):
        file.add(json.dumps({"n": n}))
    file.flush()

    events, whole = read_events(path)

    assert ([event["n"] for event in events], whole) == ([0, 1, 2, 3, 4], False)
    file.close()
    assert read_events(path)[1]
    json.loads(path.read_text())


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_last_line_that_is_cut_off_costs_that_line_alone(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "run.json"
    file = TraceFile(os.fspath(path))
    file.add('{"n": 1}')
    file.add('{"n": 2}')
    file.flush()
    whole = path.read_text()

    (tmp_path / "cut.json").write_text(whole[:-cut])

    # Without its line's end and comma, the last event is still there.
    assert numbers(tmp_path / "cut.json") == ([1, 2] if cut <= 2 else [1])
    file.close()


def one_by_one(text: str) -> list[int]:
    """As Perfetto reads: one object after the other, whatever stands between them; what is not
    complete at the end is waited for, and never comes."""
    decoder, events, at = json.JSONDecoder(), [], 1
    while (at := text.find("{", at)) >= 0:
        try:
            event, at = decoder.raw_decode(text, at)
        except ValueError:
            break
        events.append(event)
    return [event["n"] for event in events if "n" in event]


def test_a_viewer_reads_every_whole_event_of_a_file_that_is_cut_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    file = TraceFile(os.fspath(path))
    lines = [json.dumps({"n": n, "args": {"name": "a }{ in a name"}}) for n in range(4)]
    for line in lines:
        file.add(line)
    file.close()
    text = path.read_text()
    ends = [text.index(line) + len(line) for line in lines]

    for cut in range(1, len(text)):
        assert len(one_by_one(text[:cut])) == sum(end <= cut for end in ends)
    assert one_by_one(text) == numbers(path) == [0, 1, 2, 3]


def test_a_closed_file_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    file = TraceFile(os.fspath(path))
    file.add('{"n": 1}')
    file.close()
    file.open()
    file.add('{"n": 2}')
    file.close()

    assert numbers(path) == [1, 2]
    json.loads(path.read_text())


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    file = TraceFile(os.fspath(path))
    file.add('{"n": 1}')
    file.close()
    path.rename(tmp_path / "kept.json")
    file.open()
    file.add('{"n": 2}')
    file.close()

    assert (numbers(tmp_path / "kept.json"), numbers(path)) == ([1], [2])


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
def test_an_interrupt_around_a_write_neither_loses_nor_doubles_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    path = tmp_path / "run.json"
    file = TraceFile(os.fspath(path))
    file.add('{"n": 1}')
    pwrite = os.pwrite

    def interrupted(fd: int, data: bytes, offset: int) -> int:
        if written:
            pwrite(fd, data, offset)
        raise Interrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", interrupted)
        with pytest.raises(Interrupt):
            file.flush()
    file.add('{"n": 2}')
    file.close()

    assert numbers(path) == [1, 2]
    json.loads(path.read_text())


def test_a_full_disk_ends_the_file_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    file = TraceFile(os.fspath(path))
    file.add('{"n": 1}')
    file.flush()
    pwrite = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        pwrite(fd, data[:4], offset)  # a few bytes still fit
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        file.add('{"n": 2}')
        file.flush()
    file.add('{"n": 3}')
    file.close()

    assert file.failure is not None and file.failure.errno == errno.ENOSPC
    assert numbers(path) == [1]


def test_a_file_is_bounded_and_thinned_before_it_is_full(tmp_path: Path) -> None:
    path, limit = tmp_path / "run.json", 1 << 20
    file = TraceFile(os.fspath(path), limit)
    line = json.dumps({"n": 1, "text": "x" * 200})
    thinned = []
    while file.every < 4**8:
        thinned.append(file.every)
        for _ in range(trace_file.LINES_AT_ONCE):
            file.add(line)
    for _ in range(20_000):
        file.add(line)
    file.close()

    assert sorted({*thinned}) == [4**n for n in range(8)]
    assert thinned == sorted(thinned)
    assert path.stat().st_size <= limit
    events = json.loads(path.read_text())
    assert [event["name"] for event in events[-2:]] == [
        "the trace is full: nothing after this",
        "the trace ends",
    ]


def test_two_writers_cannot_have_one_file(tmp_path: Path) -> None:
    path = os.fspath(tmp_path / "run.json")
    file = TraceFile(path)
    with pytest.raises(InUseError):
        TraceFile(path)
    file.close()
    TraceFile(path).close()


def test_a_forked_child_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    file = TraceFile(os.fspath(path))
    file.add('{"n": 1}')
    if (child := os.fork()) == 0:
        file.add('{"n": 2}')
        file.close()
        del file
        os._exit(0)
    os.waitpid(child, 0)

    with pytest.raises(InUseError):  # the child has not let go of it for us
        TraceFile(os.fspath(path))
    file.close()
    assert numbers(path) == [1]


def test_another_file_is_called_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello\n")
    with pytest.raises(NotATraceError, match="no trace of seqloader"):
        read_events(path)
    path.write_text("[\nhello\n{}\n]")
    with pytest.raises(NotATraceError, match="line 2"):
        read_events(path)
