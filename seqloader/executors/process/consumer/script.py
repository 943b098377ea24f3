"""What a worker is told of the script: who it is. (Its definitions by their names: names.py.)"""

from __future__ import annotations

import sys

from seqloader.executors.process.wire.definitions import script
from seqloader.executors.process.wire.settings import ScriptFacts

__all__ = ["script_facts"]


def script_facts() -> ScriptFacts:
    """Who this process's `__main__` is."""
    main = sys.modules.get("__main__")
    own = getattr(main, "__dict__", {})
    texts = {key: _text(own.get(key)) for key in ("__name__", "__file__", "__package__")}
    return ScriptFacts(
        name=texts["__name__"] if texts["__name__"] in script.NAMES else "__main__",
        file=texts["__file__"],
        package=texts["__package__"],
        spec=_text(getattr(own.get("__spec__"), "name", None)) or "",
    )


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, str) else None
