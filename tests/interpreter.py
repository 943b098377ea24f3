"""Python in a process of its own, which can import what the tests can."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

__all__ = ["printed_by", "run_code", "run_python"]


def run_python(
    *arguments: object,
    cwd: Path | None = None,
    stdin: str | None = None,
    pass_fds: tuple[int, ...] = (),
    timeout_s: float = 50,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run an interpreter with these arguments to its end."""
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        input=stdin,
        env={**os.environ, "PYTHONPATH": path, **environment},
        cwd=cwd,
        capture_output=True,
        pass_fds=pass_fds,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def run_code(code: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The same with `-c`, of code that may be indented."""
    return run_python("-c", textwrap.dedent(code), *arguments, **options)


def printed_by(code: str, **options: Any) -> str:
    """What it prints; it must end well."""
    done = run_code(code, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout
