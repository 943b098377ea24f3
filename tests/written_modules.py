"""Modules of users, written for a test and forgotten after it."""

from __future__ import annotations

import sys
import textwrap
import uuid

import pytest

HEAD = """\
from __future__ import annotations

import os

import numpy as np

from seqloader import Sequence

CONSUMER = os.getpid()
os.environ.setdefault("CONSUMER_OF_THE_TEST", str(CONSUMER))
"""


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Writes a module into the working directory, which is empty, and returns its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("CONSUMER_OF_THE_TEST", raising=False)
    before = set(sys.modules)

    def write(source: str, folder=tmp_path) -> str:
        name = f"work_{uuid.uuid4().hex}"
        (folder / f"{name}.py").write_text(HEAD + textwrap.dedent(source), encoding="utf-8")
        return name

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("work_"):
            del sys.modules[name]
