"""A process in which no framework is imported and no launcher has set anything."""

from __future__ import annotations

import sys

import pytest

FRAMEWORKS = ("torch", "jax", "keras")


@pytest.fixture
def bare(monkeypatch):
    """Hide frameworks and launcher; `bare(modules, ..., RANK=..., ...)` puts in what is given."""
    for name in [name for name in sys.modules if name.split(".")[0] in FRAMEWORKS]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    def put(*modules, **environment):
        for names in modules:
            for name, module in names.items():
                monkeypatch.setitem(sys.modules, name, module)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    return put
