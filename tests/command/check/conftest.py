from __future__ import annotations

import importlib
import sys

import pytest


@pytest.fixture
def module_of(write_module, tmp_path):
    """Writes a module, and imports it."""

    def load(source):
        name = write_module(source)
        sys.path.insert(0, str(tmp_path))
        return importlib.import_module(name)

    return load
