"""A fresh interpreter for every run, and an end to those that hang, with all that they leave."""

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
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import psutil

from harness.cases import Case, Run
from harness.footprint import tree_memory_bytes, tree_pids

BENCHMARKS = Path(__file__).resolve().parent.parent
MEMORY_PERIOD_S = 0.05
TAIL_CHARS = 600  # of what a failed run printed: the end of a traceback
MARK_VARIABLE = "SEQLOADER_BENCHMARK_RUN"
LEAVING_S = 1.0  # for what a run that ended left behind to end by itself, before it is killed
SHARED = Path("/dev/shm")


def run_fresh(case: Case) -> Run:
    """Measure the case in an interpreter of its own, for no longer than its time limit."""
    begun_s = time.monotonic()
    run = _run_fresh(case)
    return dataclasses.replace(run, took_s=round(time.monotonic() - begun_s, 3))


def _run_fresh(case: Case) -> Run:
    with tempfile.TemporaryDirectory(prefix="seqloader-benchmark-") as folder:
        result, printed = Path(folder, "result.json"), Path(folder, "printed.txt")
        mark = uuid.uuid4().hex
        named_before = named_memory()
        with printed.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "harness.measures", case.to_json(), str(result)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environment(), MARK_VARIABLE: mark},
                start_new_session=True,
            )
        try:
            peak_bytes = _wait(process, case)
        except subprocess.TimeoutExpired:
            return Run(case, {}, f"hung: killed after {case.time_limit_s:.0f} s", hung=True)
        finally:
            if process.poll() is None:
                _kill(tree_pids(process.pid))  # all of them, whatever group they are in
                process.wait()
            _kill_left(mark)
            if process.returncode != 0:
                remove_memory_since(named_before)
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


def environment() -> dict[str, str]:
    """Ours, with benchmarks/ importable, in a run and in the workers that it starts."""
    paths = [str(BENCHMARKS), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _wait(process: subprocess.Popen[bytes], case: Case) -> int:
    """Wait for the end of the run; the most memory seen, 0 where it is not watched."""
    if not case.watch_memory:
        process.wait(case.time_limit_s)
        return 0
    peak_bytes = 0
    end_s = time.monotonic() + case.time_limit_s
    while process.poll() is None:
        peak_bytes = max(peak_bytes, tree_memory_bytes(process.pid))
        if time.monotonic() > end_s:
            raise subprocess.TimeoutExpired(process.args, case.time_limit_s)
        time.sleep(MEMORY_PERIOD_S)
    return peak_bytes


def _kill_left(mark: str) -> None:
    """End what a run left behind: it would compete with the next one."""
    marked = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # another user's, or it has just ended
            if process.environ().get(MARK_VARIABLE) == mark:
                marked.append(process)
    _, left = psutil.wait_procs(marked, timeout=LEAVING_S)
    for process in left:
        _kill(tree_pids(process.pid))
    psutil.wait_procs(left, timeout=LEAVING_S)


def _kill(pids: Collection[int]) -> None:
    # The root comes first: it can then start no replacement for a worker that is killed next.
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def named_memory() -> set[str]:
    """The names that shared memory has now: some peers need a clean end to free theirs."""
    with suppress(OSError):  # a system without the folder
        return set(os.listdir(SHARED))
    return set()


def remove_memory_since(before: Collection[str]) -> None:
    """Remove what is new, belongs to this user, and is used by no process that lives."""
    new = named_memory().difference(before)
    if not new:
        return
    used = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # as far as we may look
            used |= {each.path for each in process.memory_maps()}
            used |= {each.path for each in process.open_files()}
    for path in (SHARED / name for name in new):
        with suppress(OSError):  # its owner was faster
            if path.is_file() and path.stat().st_uid == os.getuid() and str(path) not in used:
                path.unlink()
