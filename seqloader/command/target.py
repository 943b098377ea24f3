"""From what the command line names to a Sequence: `module:attribute`, `path/to/file.py:attribute`.

The module is imported under its own name, with its folder on `sys.path`, as `python -m` and
`python file.py` do: workers, which are told that path, import it again under that name.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seqloader.command.faults import users_code
from seqloader.sequence.interface import check_sequence

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Arguments", "TargetError", "load_sequence", "parse_arguments"]

FORMS = "module:attribute or path/to/file.py:attribute"
NAMES_SHOWN = 8


class TargetError(Exception):
    """What the command line names is not there, or is no Sequence."""


class Arguments(NamedTuple):
    """Arguments of a factory."""

    positional: tuple[Any, ...] = ()
    named: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it

    def __str__(self) -> str:
        positional = map(repr, self.positional)
        named = (f"{name}={value!r}" for name, value in self.named.items())
        return f"({', '.join([*positional, *named])})"


def parse_arguments(texts: list[str]) -> Arguments:
    """`value` and `name=value`, each value as Python writes it; else it is taken as a string.

    Raises:
        TargetError: A name is given twice.
    """
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            positional.append(_value(text))
        elif name in named:
            raise TargetError(f"--arg {name}=... is given twice")
        else:
            named[name] = _value(value)
    return Arguments(tuple(positional), named)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def load_sequence(target: str, arguments: Arguments) -> Any:
    """The Sequence that `target` names, or that its factory or class makes of `arguments`.

    Raises:
        TargetError: There is no such module or attribute, or it gives no Sequence.
        SequenceFault: The user's code raised.
    """
    module_name, colon, attribute = target.rpartition(":")
    if not colon:
        module_name = target
    if module_name.endswith(":"):
        raise TargetError(f"{target} has two colons side by side: write one colon, {FORMS}")
    module = _load_module(module_name)
    if not attribute or not colon:
        raise TargetError(
            f"{target} names no attribute: write {FORMS}, here {module_name}:NAME. "
            f"{_names_in(module)}"
        )
    found = _attribute(module, module_name, attribute)
    if isinstance(found, type) or (callable(found) and _why_no_sequence(found)):
        return _make(found, attribute, arguments)
    _refuse_unless_sequence(found, f"{target} is no Sequence")
    if arguments != Arguments():
        raise TargetError(f"{target} is a Sequence already, not a factory: it takes no --arg")
    return found


# --- the module -----------------------------------------------------------------------------


def _load_module(name: str) -> ModuleType:
    _put_first(Path.cwd())
    if name.endswith(".py") or os.sep in name:
        return _load_file(Path(name))
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise TargetError(f"{name!r} is not the name of a module: write {FORMS}")
    try:
        with users_code():
            return importlib.import_module(name)
    except Exception as fault:
        absent = _absent_module(fault)
        if absent is None or not f"{name}.".startswith(f"{absent}."):
            raise
        raise TargetError(_no_module(name, absent)) from None


def _absent_module(fault: Exception) -> str | None:
    error = getattr(fault, "error", None)
    return error.name if isinstance(error, ModuleNotFoundError) else None


def _no_module(name: str, absent: str) -> str:
    here = [path.stem for path in Path.cwd().glob("*.py")]
    here += [path.parent.name for path in Path.cwd().glob("*/__init__.py")]
    similar = difflib.get_close_matches(name, here)
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"write {FORMS}"
    where = f"in {Path.cwd()} and among the installed packages"
    return f"There is no module {absent}, looked for {where}: {hint}"


def _load_file(path: Path) -> ModuleType:
    if path.suffix != ".py":
        raise TargetError(f"{path} is not a Python file: write {FORMS}")
    if not path.is_file():
        folder = path.parent
        names = [each.name for each in folder.glob("*.py")] if folder.is_dir() else []
        similar = difflib.get_close_matches(path.name, names)
        hint = f": did you mean {folder / similar[0]}?" if similar else ""
        raise TargetError(f"There is no file {path}{hint}")
    path = path.resolve()
    _put_first(path.parent)
    with users_code():
        module = importlib.import_module(path.stem)
    loaded_from = getattr(module, "__file__", None)
    if loaded_from is None or Path(loaded_from).resolve() != path:
        raise TargetError(
            f"{path.name} cannot be imported, because another module is named {path.stem} "
            f"({loaded_from or 'built in'}): give the file another name"
        )
    return module


def _put_first(folder: Path) -> None:
    entry = str(folder)
    if entry in sys.path:
        sys.path.remove(entry)
    sys.path.insert(0, entry)
    importlib.invalidate_caches()


# --- the attribute --------------------------------------------------------------------------


_ABSENT: Any = object()


def _attribute(module: ModuleType, module_name: str, dotted: str) -> Any:
    found: Any = module
    names = dotted.split(".")
    for depth, name in enumerate(names):
        holder = found
        with users_code():
            found = getattr(holder, name, _ABSENT)
        if found is _ABSENT:
            where = f"{module_name}:{'.'.join(names[:depth])}" if depth else module_name
            similar = difflib.get_close_matches(name, dir(holder))
            hint = f"Did you mean {' or '.join(similar)}?" if similar else _names_in(holder)
            raise TargetError(f"{where} has no {name!r}. {hint}")
    return found


def _names_in(holder: Any) -> str:
    """Which names of a module or class may be meant."""
    home = getattr(holder, "__name__", None)
    names = [
        name
        for name, value in getattr(holder, "__dict__", {}).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and (callable(value) or not _why_no_sequence(value))
        and getattr(value, "__module__", home) == home
    ]
    if not names:
        return "It holds nothing that could be a Sequence or make one."
    more = ", ..." if len(names) > NAMES_SHOWN else ""
    return f"It holds {', '.join(names[:NAMES_SHOWN])}{more}."


def _make(factory: Any, name: str, arguments: Arguments) -> Any:
    _check_call(factory, name, arguments)
    with users_code(f"raised by {name}{arguments}, which was to make the Sequence"):
        made = factory(*arguments.positional, **arguments.named)
    what = f"{name} makes" if isinstance(factory, type) else f"{name}{arguments} returned"
    _refuse_unless_sequence(made, f"{what} no Sequence")
    return made


def _check_call(factory: Any, name: str, arguments: Arguments) -> None:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # of some callables written in C nobody knows it
        return
    try:
        signature.bind(*arguments.positional, **arguments.named)
    except TypeError as error:
        raise TargetError(
            f"{name}{signature} cannot be called as {name}{arguments}: {error}. "
            "Arguments are given by --arg value or --arg name=value, one each"
        ) from None


def _refuse_unless_sequence(found: Any, what: str) -> None:
    reason = _why_no_sequence(found)
    if reason:
        raise TargetError(f"{what}: {reason}")


def _why_no_sequence(found: Any) -> str:
    try:
        check_sequence(found)
    except TypeError as error:
        return str(error)
    return ""
