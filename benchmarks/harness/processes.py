"""A fresh interpreter for every run, engines in turn, and an end to those that hang."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import psutil

from harness.cases import Case, Run
from harness.footprint import tree_memory_bytes, tree_pids
from harness.leftovers import named_memory, remove_since

__all__ = ["in_turn", "run_fresh"]

BENCHMARKS = Path(__file__).resolve().parent.parent
MEMORY_PERIOD_S = 0.05
TAIL_CHARS = 600  # of what a failed run printed: the end of a traceback
MARK_VARIABLE = "SEQLOADER_BENCHMARK_RUN"
LEAVING_S = 1.0  # for what a run that ended left behind to end by itself, before it is killed


def in_turn(cases: Sequence[Case], rounds: int) -> list[Run]:
    """Run all cases once, then all once more, ...: what the machine does meets all of them."""
    runs = []
    for number in range(1, rounds + 1):
        for case in cases:
            if case.max_rounds is not None and number > case.max_rounds:
                continue
            _show_progress(f"round {number} of {rounds}: {case.name}")
            runs.append(dataclasses.replace(run_fresh(case), round=number))
    _show_progress("")
    return runs


def run_fresh(case: Case) -> Run:
    """Measure the case in an interpreter of its own, for no longer than its time limit."""
    begun_s = time.monotonic()
    run = _run_fresh(case)
    return dataclasses.replace(run, took_s=round(time.monotonic() - begun_s, 3))


def _run_fresh(case: Case) -> Run:
    with tempfile.TemporaryDirectory(prefix="seqloader-benchmark-") as folder:
        result = Path(folder, "result.json")
        printed = Path(folder, "printed.txt")
        command = [sys.executable, "-m", "harness.one_run", case.to_json(), str(result)]
        mark = uuid.uuid4().hex
        named_before = named_memory()
        with printed.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(mark),
                start_new_session=True,
            )
        try:
            peak_bytes = _wait(process, case)
        except subprocess.TimeoutExpired:
            return Run(case, {}, f"hung: killed after {case.time_limit_s:.0f} s", hung=True)
        finally:
            _kill_tree(process)
            _kill_left(mark)
            if process.returncode != 0:
                remove_since(named_before)
        if not result.exists():
            tail = printed.read_text(errors="replace").strip()[-TAIL_CHARS:]
            return Run(case, {}, f"ended with exit status {process.returncode}: {tail}")
        outcome = json.loads(result.read_text())
    if "wrong" in outcome:
        return Run(case, {}, outcome["wrong"], wrong=True)
    figures = outcome["figures"]
    if peak_bytes:
        figures["peak_memory_mb"] = max(peak_bytes / 1e6, figures.get("memory_mb", 0.0))
    return Run(case, figures)


def _wait(process: subprocess.Popen[bytes], case: Case) -> int:
    """Wait for the end of the run; the most memory seen, 0 where it is not watched."""
    if not case.watch_memory:
        process.wait(case.time_limit_s)
        return 0
    peak_bytes = 0
    end_s = time.monotonic() + case.time_limit_s
    while process.poll() is None:
        peak_bytes = max(peak_bytes, tree_memory_bytes(process.pid) or 0)
        if time.monotonic() > end_s:
            raise subprocess.TimeoutExpired(process.args, case.time_limit_s)
        time.sleep(MEMORY_PERIOD_S)
    return peak_bytes


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """End a run that has not ended, with all its processes, whatever group they are in."""
    if process.poll() is not None:
        return
    # The root first: it can then start no replacement for a worker that is killed next.
    for pid in tree_pids(process.pid):
        _kill(pid)
    process.wait()


def _kill_left(mark: str) -> None:
    """End what a run left behind: it would compete with the next one."""
    _, left = psutil.wait_procs(_marked(mark), timeout=LEAVING_S)
    for process in left:
        for pid in tree_pids(process.pid):
            _kill(pid)
    psutil.wait_procs(left, timeout=LEAVING_S)


def _marked(mark: str) -> list[psutil.Process]:
    marked = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK_VARIABLE) == mark:
                marked.append(process)
        except (psutil.Error, OSError):
            continue  # another user's, or it has just ended
    return marked


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _environment(mark: str) -> dict[str, str]:
    """Ours, with the harness importable, in the run and in the workers that it starts."""
    paths = [str(BENCHMARKS), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(each for each in paths if each)
    return {**os.environ, "PYTHONPATH": path, MARK_VARIABLE: mark}


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
