"""The worker's `__main__`: a module that stands for the script, and knows its names.

What the Sequence uses comes with it. What code looks up by its name only (`pickle.load` of an
object that the script saved, `globals()`) is brought from the state file when it is first asked
for: see consumer/names.py.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import marshal
import pickle
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from seqloader.executors.process.wire.definitions import script
from seqloader.executors.process.wire.settings import ScriptFacts

__all__ = ["bring_wanted", "explain", "install", "loads", "offer"]


class Script(ModuleType):
    """The script, in a worker. It does not run here."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return _bring(name)


def install(facts: ScriptFacts) -> None:
    """Be the script that the consumer runs, as far as others can see by `sys.modules`."""
    module = Script(facts.name)
    module.__dict__["__builtins__"] = builtins
    module.__dict__["__package__"] = facts.package
    if facts.file is not None:
        module.__file__ = facts.file
    if facts.spec:
        # By it, `multiprocessing` finds a module that was run by `python -m`.
        module.__spec__ = importlib.machinery.ModuleSpec(facts.spec, None, origin=facts.file)
    sys.modules["__main__"] = sys.modules[facts.name] = module


def loads(data: bytes) -> Any:
    """What `definitions.pickler.dumps` was given; it adds to what is there."""
    loaded = pickle.loads(data)
    bring_wanted()
    return loaded


_read: Callable[[], bytes | bytearray] | None = None
_entries: dict[str, bytes | str] = {}
"""By name: a pickle, or why there is none."""
_depth = 0


def offer(read: Callable[[], bytes | bytearray]) -> None:
    """Note where the script's names are; they are read when one is asked for."""
    global _read
    _read = read


def bring_wanted() -> None:
    """Bring the names that rebuilt code uses into the script's namespace."""
    while script.wanted and not _depth:
        name = next(iter(script.wanted))
        del script.wanted[name]
        for one in _known() if name == "*" else (name,):
            if one not in script.namespace():
                try:
                    _bring(one)
                except Exception:
                    continue  # code that needs it will say so; other code does not


def explain(error: BaseException) -> None:
    """Note on a NameError why the script's name is not here."""
    name = getattr(error, "name", None) if isinstance(error, NameError) else None
    entry = _known().get(name) if isinstance(name, str) else None
    if isinstance(entry, str):
        error.add_note(_why_not(name, entry))


def _why_not(name: object, reason: str) -> str:
    return (
        f"{script.namespace()['__name__']}.{name} did not come to this worker, since {reason}. A "
        "worker does not run the script: it gets what the Sequence uses, and what else is small by "
        f"its name. Refer to {name} in the Sequence's own code, or move it into a module that can "
        "be imported"
    )


def _known() -> dict[str, bytes | str]:
    global _read
    if _read is not None:
        _entries.update(marshal.loads(_read()))
        _read = None
    return _entries


def _bring(name: str) -> Any:
    global _depth
    entry = _known().get(name)
    if not isinstance(entry, bytes):
        if entry is None:
            main = script.namespace()["__name__"]
            raise AttributeError(f"module {main!r} has no attribute {name!r}", name=name)
        raise AttributeError(_why_not(name, entry), name=name)
    _depth += 1
    try:
        value = pickle.loads(entry)
    finally:
        _depth -= 1
    script.set_globals(script.namespace(), {name: value})
    bring_wanted()
    return script.namespace()[name]
