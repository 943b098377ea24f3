"""Without torch."""

from __future__ import annotations

import sys

import pytest


def test_the_adapter_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("seqloader.adapters.torch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(ImportError) as raised:
        import seqloader.adapters.torch  # noqa: F401
    assert str(raised.value) == (
        "seqloader.adapters.torch needs torch, which is not installed: "
        'pip install "seqloader[torch]"'
    )
