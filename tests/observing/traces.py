"""Reading traces, and the rules of their format."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from seqloader import Sequence


class Numbers(Sequence[Any]):
    """Batches that are arrays of their index."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int, /) -> Any:
        return np.full(4, index)

    def on_epoch_end(self) -> None:
        pass


def events_of(path: Path) -> list[dict[str, Any]]:
    """Of a file that has its end: then it is JSON."""
    events = json.loads(path.read_text())
    check_format(events)
    return events


def named(events: list[dict[str, Any]], name: str, phase: str) -> list[dict[str, Any]]:
    return [event for event in events if (event["name"], event["ph"]) == (name, phase)]


def check_format(events: list[dict[str, Any]]) -> None:
    """The rules of the trace-event format, and that what stands in one lane does not overlap."""
    begun: dict[int, list[str]] = defaultdict(list)
    ends: dict[int, float] = defaultdict(float)
    for event in events:
        assert isinstance(event["name"], str)
        assert event["ph"] in "BEXiCM", event
        assert isinstance(event["pid"], int) and isinstance(event["tid"], int)
        lane = event["tid"]
        if event["ph"] == "M":
            continue
        assert isinstance(event["ts"], float | int) and event["ts"] > 0
        if event["ph"] == "X":
            assert event["dur"] >= 0
            assert event["ts"] >= ends[lane] - 1, f"{event} begins before the one before it ends"
            ends[lane] = event["ts"] + event["dur"]
        elif event["ph"] == "B":
            begun[lane].append(event["name"])
        elif event["ph"] == "E":
            assert begun[lane].pop() == event["name"]
        elif event["ph"] == "C":
            assert all(isinstance(value, float | int) for value in event["args"].values())
        else:
            assert event["s"] in ("g", "p", "t")
