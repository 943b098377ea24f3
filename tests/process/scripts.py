"""Scripts of tests, each run in two ways: from a file, and from the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["ROOT", "both_ways", "said_by_script"]

ROOT = Path(__file__).parents[2]

both_ways = pytest.mark.parametrize("how", ["path", "-c"])


def said_by_script(source: str, how: str, folder: Path) -> tuple[str, str]:
    """What a script that runs in the folder prints, and its errors."""
    script = folder / "train.py"
    script.write_text(source)
    command = [sys.executable, str(script)] if how == "path" else [sys.executable, "-c", source]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, cwd=folder
    )
    return done.stdout, done.stderr
