"""Results as JSON with a line for each record, so that a new run is a readable difference.

Whoever is interrupted has either the old file or the new one.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["now", "store"]


def now() -> str:
    """The moment, as results name it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def store(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file: a line for each value, and for each item of a list; `json` reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(_text(content), encoding="utf-8")
    os.replace(unfinished, path)


def _text(content: Mapping[str, Any]) -> str:
    lines = (f"{json.dumps(name)}: {_lines(value)}" for name, value in content.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _lines(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f" {json.dumps(each)}" for each in value) + "\n]"
    return json.dumps(value)
