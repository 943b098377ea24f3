"""docs/frameworks.md, made of stored results alone.

    frameworks.json      by measure_frameworks.py
    resume_matrix.json   by resume_matrix.py

Run         python tests/adapters/frameworks_page.py
"""

from __future__ import annotations

import json
from collections import Counter
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


def stored() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The results of both scripts."""
    found = [
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("frameworks", "resume_matrix")
    ]
    return found[0], found[1]


def render(measured: dict[str, Any], matrix: list[dict[str, Any]]) -> str:
    """The whole page."""
    resumed = {trial["trainer"] for trial in matrix}
    missing = [title for name, title in TITLES.items() if name not in resumed]
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        epochs=EPOCHS,
        length=LENGTH,
        measured=measured["measured"],
        cores=measured["cores"],
        load=measured["load"],
        versions=", ".join(f"{TITLES[name]} {v}" for name, v in measured["versions"].items()),
        steps=_steps(measured["cases"]),
        resume=_resume(matrix),
        not_measured=f" Not measured here: {', '.join(missing)}." if missing else "",
    )


def _steps(cases: list[dict[str, Any]]) -> str:
    heads = "framework|loader|order|exactly once|hooks|killed worker|zero copy|wait a step"
    rows = [heads.split("|")]
    for case in cases:
        if case["kill"]:
            continue
        same = [other for other in cases if _key(other) == _key(case) and other["kill"]]
        killed = _killed(same[0]) if same else "not tried"
        rows.append([TITLES[case["framework"]], LOADERS[case["loader"]], *_cells(case, killed)])
    return _table(rows)


def _key(case: dict[str, Any]) -> tuple[str, str]:
    return case["framework"], case["loader"]


def _cells(case: dict[str, Any], killed: str) -> list[str]:
    if "error" in case:
        return [f"failed: {_plain(case['error'])}", "", "", killed, "", ""]
    return [
        _yes(_in_order(case)),
        f"{_once(case)} of {EPOCHS * LENGTH}",
        f"{case['hooks']} in {EPOCHS} epochs",
        killed,
        _yes(case["shared"]),
        f"{case['beyond_step_ms']:.1f} ms",
    ]


def _in_order(case: dict[str, Any]) -> bool:
    return bool(case["seen"] == EPOCHS * [*range(LENGTH)])


def _once(case: dict[str, Any]) -> int:
    """Batches of an epoch that are among the steps of that epoch once."""
    epochs = [case["seen"][LENGTH * epoch :][:LENGTH] for epoch in range(EPOCHS)]
    return sum(Counter(epoch)[index] == 1 for epoch in epochs for index in range(LENGTH))


def _killed(case: dict[str, Any]) -> str:
    if "error" in case:
        error = _plain(case["error"])
        return error if error.startswith("hangs") else f"ends: `{error}`"
    if _in_order(case):
        return "goes on"
    return f"goes on, {_once(case)} of {EPOCHS * LENGTH} once"


def _resume(matrix: list[dict[str, Any]]) -> str:
    heads = "framework|processes|loader|points|lost|doubled|for nothing|could not go on"
    rows = [heads.split("|")]
    for trial in matrix:
        how = f"{trial['before']} → {trial['after']}" + (", KILL" if trial["kill"] else "")
        counts = ("points", "lost", "doubled", "for_nothing", "failed")
        figures = [str(trial[name]) for name in counts]
        rows.append([TITLES[trial["trainer"]], how, LOADERS[trial["loader"]], *figures])
    return _table(rows)


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
