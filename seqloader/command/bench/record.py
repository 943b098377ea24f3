"""The raw figures as JSON: every round, the medians, what was made of them."""

from __future__ import annotations

import dataclasses
import json
import platform
from typing import TYPE_CHECKING, Any

from seqloader.command.machine import describe
from seqloader.command.stored import now

if TYPE_CHECKING:
    from pathlib import Path

    from seqloader.command.bench.benchmark import Benchmark
    from seqloader.command.bench.options import Settings
    from seqloader.command.bench.recommendation import Recommendation
    from seqloader.stats.verdict import Verdict

__all__ = ["write_record"]


def write_record(
    path: Path,
    benchmark: Benchmark,
    settings: Settings,
    verdict: Verdict | None = None,
    recommendation: Recommendation | None = None,
) -> None:
    """Write everything that is known to the file `path`; no recommendation: it is incomplete."""
    facts = dataclasses.asdict(benchmark.facts())
    for row in (facts["loop"], *facts["rows"]):
        row["rounds"] = [dataclasses.asdict(each) for each in benchmark.rounds[row["workers"]]]
    content = {
        "measured": now(),
        "versions": {
            **describe().versions,
            platform.python_implementation(): platform.python_version(),
        },
        "settings": dataclasses.asdict(settings),
        "facts": facts,
        "verdict": None if verdict is None else dataclasses.asdict(verdict),
        "recommendation": None
        if recommendation is None
        else {
            **dataclasses.asdict(recommendation),
            "line": recommendation.line(settings.further_options),
        },
    }
    path.write_text(json.dumps(content, indent=1, default=_plain) + "\n", encoding="utf-8")


def _plain(value: Any) -> str:
    return str(value)
