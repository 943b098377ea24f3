"""What does a training of each framework make of its batches, by this engine and by its own?

Compared    the adapter, and what the framework loads with by itself
Measured    what arrives in the training step: in which order, how often; how often `on_epoch_end`
            ran; whether the array lies in memory that processes share; what a killed worker does;
            the median time from one step to the next, beyond the 5 ms that a step takes; and what
            arrives on each of two processes that train together
Held still  3 epochs of 8 batches of 1 MB, which take 2 ms each; 2 worker processes
Method      each training in a process of its own, which has 100 s; Keras on torch, run eagerly
Not shown   resume inside trainers: see resume_matrix.py

Run         python tests/adapters/measure_frameworks.py --json benchmarks/results/frameworks.json
            With --only keras, what is stored of the others stays
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from framework_trainings import LENGTH, STEP_S, TRAININGS, Numbers, Steps

sys.path.append(str(Path(__file__).parent.parent))
from two_processes import as_launched, free_port

LIMIT_S = 100
LOADERS = ("seqloader", "own")


NO_LOADER = ("jax",)
"""Those that have no loader of their own."""
TOGETHER = ("torch", "lightning", "transformers", "accelerate")
"""Those that train on several processes with DistributedDataParallel."""


def run(framework: str, own: bool, kill: str | None) -> dict[str, Any]:
    """One training, in this process; what arrived."""
    warnings.simplefilter("ignore")
    numbers, steps = Numbers(kill), Steps()
    try:
        TRAININGS[framework](numbers, own, steps)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".strip().splitlines()[0][:120]}
    gaps = [after - before for before, after in zip(steps.times, steps.times[1:], strict=False)]
    # Between two epochs there is more than a step.
    inside = [gap for step, gap in enumerate(gaps, start=1) if step % LENGTH]
    return {
        "seen": steps.seen,
        "hooks": numbers.hooks,
        "shared": all(steps.shared),
        "beyond_step_ms": round(1000 * (statistics.median(inside) - STEP_S), 2),
    }


def measure(framework: str, loader: str, kill: bool, processes: int = 1) -> dict[str, Any]:
    """The same in processes of their own; `error` where one did not come to its end."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--one", framework, loader, str(int(kill))]
        # TensorFlow imports Keras, and crashes where that brings torch.
        backend = "torch" if framework == "keras" else framework
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        port = free_port()
        started = [
            subprocess.Popen(
                command,
                cwd=folder,
                env=environment | (as_launched(port)(rank) if processes > 1 else {}),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            for rank in range(processes)
        ]
        try:
            ends = [process.communicate(timeout=LIMIT_S) for process in started]
        except subprocess.TimeoutExpired:
            return {"error": f"hangs: no end in {LIMIT_S} s"}
        finally:
            for process in started:
                try:
                    os.killpg(process.pid, signal.SIGKILL)  # also the workers that it left
                except ProcessLookupError:
                    pass
                process.communicate()
        for process, (_, said) in zip(started, ends, strict=True):
            if process.returncode:
                return {"error": (said.strip().splitlines() or [str(process.returncode)])[-1][:200]}
        measured = [json.loads(printed.splitlines()[-1]) for printed, _ in ends]
        failed = [each for each in measured if "error" in each]
        if processes == 1 or failed:
            return dict((failed or measured)[0])
        return {"seen": [each["seen"] for each in measured]}


def main() -> None:
    """Measure all, print it, and write it where it is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", choices=TRAININGS, default=[*TRAININGS])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        framework, loader, kill = arguments.one
        measured = run(framework, loader == "own", "killed" if kill == "1" else None)
        print(json.dumps(measured))
        return
    measured = []
    for case in cases(arguments.only):
        which = (case["framework"], case["loader"], case["kill"], case["processes"])
        measured.append(case | {"load": round(os.getloadavg()[0], 1)} | measure(*which))
        print(measured[-1], flush=True)
    if arguments.json is not None:
        store(measured, arguments.json)


def cases(frameworks: list[str]) -> list[dict[str, Any]]:
    """What is measured of these."""
    found = []
    for framework in frameworks:
        for loader in LOADERS[: 1 if framework in NO_LOADER else 2]:
            case = {"framework": framework, "loader": loader, "kill": False, "processes": 1}
            found.append(case)
            if (framework, loader) != ("tensorflow", "own"):  # it has no worker processes
                found.append(case | {"kill": True})
            if framework in TOGETHER:
                found.append(case | {"processes": 2})
    return found


def store(measured: list[dict[str, Any]], path: Path) -> None:
    """In place of what was measured before of the same frameworks."""
    found = json.loads(path.read_text()) if path.exists() else {"cases": []}
    names = {case["framework"] for case in measured}
    every = [*measured, *(case for case in found["cases"] if case["framework"] not in names)]
    order = [*TRAININGS]
    found = {
        "measured": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "versions": {name: _version(name) for name in order},
        "cases": sorted(every, key=lambda case: order.index(case["framework"])),
    }
    path.write_text(json.dumps(found) + "\n")


def _version(package: str) -> str:
    for name in (package, f"{package}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            pass
    return "?"


if __name__ == "__main__":
    main()
