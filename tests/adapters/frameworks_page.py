"""docs/frameworks.md, made of stored results alone.

    frameworks.json      by measure_frameworks.py
    resume_matrix.json   by resume_matrix.py
    adapter_costs.json   by measure_costs.py

Run         python tests/adapters/frameworks_page.py
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from itertools import chain
from pathlib import Path
from string import Template
from typing import Any

__all__ = ["PAGE", "render", "stored"]

REPOSITORY = Path(__file__).resolve().parent.parent.parent
RESULTS = REPOSITORY / "benchmarks/results"
TEMPLATE = REPOSITORY / "benchmarks/pages/frameworks.md"
PAGE = REPOSITORY / "docs/frameworks.md"
EPOCHS, LENGTH = 3, 8
"""Of the trainings; a test holds them against what was measured."""
TITLES = {
    "keras": "Keras",
    "torch": "PyTorch",
    "lightning": "Lightning",
    "transformers": "Transformers",
    "accelerate": "Accelerate",
    "jax": "JAX",
    "tensorflow": "TensorFlow",
}
LOADERS = {"seqloader": "seqloader", "own": "its own"}


def stored() -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """The results of the three scripts."""
    found = [
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("frameworks", "resume_matrix", "adapter_costs")
    ]
    return found[0], found[1], found[2]


def render(
    measured: dict[str, Any], matrix: list[dict[str, Any]], costs: list[dict[str, Any]]
) -> str:
    """The whole page."""
    resumed = {trial["trainer"] for trial in matrix}
    missing = [title for name, title in TITLES.items() if name not in resumed]
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        epochs=EPOCHS,
        length=LENGTH,
        measured=measured["measured"],
        cores=measured["cores"],
        load=_range([case["load"] for case in measured["cases"]]),
        versions=", ".join(f"{TITLES[name]} {v}" for name, v in measured["versions"].items()),
        steps=_steps(measured["cases"], matrix),
        resume=_resume(matrix),
        costs=_costs(costs),
        costs_load=_range([cost["load"] for cost in costs]),
        not_measured=f" Not measured here: {', '.join(missing)}." if missing else "",
    )


def _range(loads: list[float]) -> str:
    return f"{min(loads)} to {max(loads)}" if loads else "?"


def _steps(cases: list[dict[str, Any]], matrix: list[dict[str, Any]]) -> str:
    heads = (
        "framework|loader|order|exactly once|hooks|resume|killed worker|DDP|zero copy|wait a step"
    )
    rows = [heads.split("|")]
    for case in cases:
        if case["kill"] or case["processes"] > 1:
            continue
        same = [other for other in cases if _key(other) == _key(case)]
        killed = [_killed(other) for other in same if other["kill"]]
        together = [_together(other) for other in same if other["processes"] > 1]
        resumed = [_resumed(trial) for trial in matrix if _is_plain(trial, case)]
        cells = _cells(case)
        cells[3:3] = [*(resumed or ["not measured"]), *(killed or ["not tried"])]
        cells[5:5] = together or [""]
        rows.append([TITLES[case["framework"]], LOADERS[case["loader"]], *cells])
    return _table(rows)


def _key(case: dict[str, Any]) -> tuple[str, str]:
    return case["framework"], case["loader"]


def _is_plain(trial: dict[str, Any], case: dict[str, Any]) -> bool:
    """Whether it is the trial of this framework and loader that nothing else varies."""
    varied = trial["signal"] or trial["short"] or (trial["before"], trial["after"]) != (1, 1)
    return (trial["trainer"], trial["loader"]) == _key(case) and not varied


def _cells(case: dict[str, Any]) -> list[str]:
    if "error" in case:
        return [f"failed: {_plain(case['error'])}", "", "", "", ""]
    return [
        _yes(_in_order(case)),
        f"{_once(_epochs(case['seen']))} of {EPOCHS * LENGTH}",
        f"{case['hooks']} in {EPOCHS} epochs",
        _yes(case["shared"]),
        f"{case['beyond_step_ms']:.1f} ms",
    ]


def _resumed(trial: dict[str, Any]) -> str:
    counts = {name: trial[name] for name in ("lost", "doubled", "failed") if trial[name]}
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "exact"


def _together(case: dict[str, Any]) -> str:
    """What became of the batches where two processes trained together."""
    if "error" in case:
        return f"failed: {_plain(case['error'])}"
    seen: list[list[int]] = case["seen"]
    steps = " + ".join(str(len(each)) for each in seen)
    parts = zip(*(_epochs(each) for each in seen), strict=True)
    once = _once([[*chain(*ranks)] for ranks in parts])
    return f"{once} of {EPOCHS * LENGTH}, {steps} steps"


def _in_order(case: dict[str, Any]) -> bool:
    return bool(case["seen"] == EPOCHS * [*range(LENGTH)])


def _epochs(seen: list[int]) -> list[list[int]]:
    """What one process was given, in each of its epochs."""
    length = len(seen) // EPOCHS
    return [seen[length * epoch :][:length] for epoch in range(EPOCHS)]


def _once(epochs: list[list[int]]) -> int:
    """Batches of an epoch that are among the steps of that epoch once."""
    return sum(Counter(epoch)[index] == 1 for epoch in epochs for index in range(LENGTH))


def _killed(case: dict[str, Any]) -> str:
    if "error" in case:
        error = _plain(case["error"])
        return error if error.startswith("hangs") else f"ends: `{error}`"
    if _in_order(case):
        return "goes on"
    return f"goes on, {_once(_epochs(case['seen']))} of {EPOCHS * LENGTH} once"


def _resume(matrix: list[dict[str, Any]]) -> str:
    heads = "framework|processes|loader|points|lost|doubled|for nothing|could not go on"
    rows = [heads.split("|")]
    for trial in matrix:
        how = f"{trial['before']} → {trial['after']}"
        how += f", {trial['signal']}" if trial["signal"] else ""
        how += ", short epochs" if trial["short"] else ""
        counts = ("points", "lost", "doubled", "for_nothing", "failed")
        figures = [str(trial[name]) for name in counts]
        rows.append([TITLES[trial["trainer"]], how, LOADERS[trial["loader"]], *figures])
    return _table(rows)


def _costs(costs: list[dict[str, Any]]) -> str:
    rows = [["adapter", "through it", "bare", "added"]]
    for cost in costs:
        through, bare = statistics.median(cost["through"]), statistics.median(cost["bare"])
        cells = [_spread(cost["through"]), _spread(cost["bare"]), f"{through - bare:.0f}"]
        rows.append([TITLES[cost["adapter"]], *cells])
    return _table(rows)


def _spread(passes: list[float]) -> str:
    return f"{statistics.median(passes):.0f} ({min(passes):.0f} to {max(passes):.0f})"


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *body])


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _plain(error: str) -> str:
    """An error without process numbers and what would break a table."""
    text = error.replace("|", "/").replace("`", "'").partition(" (pid")
    return text[0].split(": Traceback")[0] + ("" if not text[1] else " ... killed")


if __name__ == "__main__":
    PAGE.write_text(render(*stored()), encoding="utf-8")
