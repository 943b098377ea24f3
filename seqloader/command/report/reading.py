"""The events of a trace file, also of one whose writer was killed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NotATraceError", "read_events"]


class NotATraceError(Exception):
    """The file is none that a trace was written to."""


def read_events(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """The events, in the order of the file; and whether the file has its end.

    What was cut off at the end of the file, by a crash or a full disk, is left out.

    Raises:
        NotATraceError: this is another kind of file.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    first, _, rest = text.partition("\n")
    if first.strip() != "[":
        raise NotATraceError(f"{path} is no trace of seqloader: it does not begin with a line '['")
    events: list[dict[str, Any]] = []
    lines = rest.split("\n")
    for number, line in enumerate(lines):
        line = line.strip()
        if line == "]":
            return events, True
        try:
            event = json.loads(line.removesuffix(",")) if line else None
        except ValueError:
            if number >= len(lines) - 1:
                break  # cut off
            raise NotATraceError(
                f"{path} is no trace of seqloader: see line {number + 2}"
            ) from None
        if isinstance(event, dict):
            events.append(event)
    return events, False
