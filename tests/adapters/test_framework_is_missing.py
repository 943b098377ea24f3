"""Without the framework of an adapter."""

from __future__ import annotations

import importlib
import sys

import pytest

WANTED = {
    "jax": "jax 0.4.34 or later",
    "keras.dataset": "keras 3.8 or later",
    "lightning": "lightning 2.4 or later",
    "tensorflow": "tensorflow 2.18 or later",
    "torch": "torch",
    "transformers": "transformers 4.53 or later",
}
"""The module of each adapter -> what it asks for first."""


@pytest.mark.parametrize("module", WANTED)
def test_the_adapter_says_what_to_install(module, monkeypatch):
    extra = module.partition(".")[0]
    for name in [name for name in sys.modules if name.startswith(f"seqloader.adapters.{extra}")]:
        monkeypatch.delitem(sys.modules, name)
    for wanted in WANTED.values():
        monkeypatch.setitem(sys.modules, wanted.partition(" ")[0], None)

    with pytest.raises(ImportError) as raised:
        importlib.import_module(f"seqloader.adapters.{module}")

    assert str(raised.value) == (
        f"seqloader.adapters.{extra} needs {WANTED[module]}, which is not installed: "
        f'pip install "seqloader[{extra}]"'
    )
