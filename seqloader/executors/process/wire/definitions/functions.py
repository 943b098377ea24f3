"""Functions, their code and their cells by value."""

from __future__ import annotations

import importlib
import marshal
from types import CellType, CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final

from seqloader.executors.process.wire.definitions import numbers, script

if TYPE_CHECKING:
    from seqloader.executors.process.wire.definitions.scope import Scope

__all__ = ["annotations_of", "reduce_cell", "reduce_code", "reduce_function"]

_NAMES: Final = ("__name__", "__qualname__", "__module__", "__doc__")
_DEFAULTS: Final = ("__defaults__", "__kwdefaults__")


def reduce_function(scope: Scope, function: FunctionType) -> Any:
    """A function that its module does not have under its name, or that of a script."""
    home = scope.namespace_of(function.__globals__)
    name = script.name_in_script(function) if home is None else ""
    number = numbers.take_number(function) if name else ""
    cells = function.__closure__ or ()
    scope.cells.update((id(cell), cell) for cell in cells)
    contents = [(cell, cell.cell_contents) for cell in cells if not _is_empty(cell)]
    code = function.__code__
    own = {name: getattr(function, name) for name in (*_NAMES, *_DEFAULTS)}
    own["__annotations__"] = annotations = annotations_of(function)
    if getattr(function, "__type_params__", ()):
        own["__type_params__"] = function.__type_params__  # type: ignore[attr-defined]
    held = [value for _, value in contents]
    used, imported = scope.needs_of(function.__globals__, code, annotations, held)
    state = function.__dict__, own, contents, used, imported
    return make_function, (number, name, code, home, cells), state, None, None, fill_function


def annotations_of(definition: Any) -> dict[str, Any]:
    """Those of a function or class; none where they cannot be had."""
    try:
        return dict(definition.__annotations__)
    except Exception:  # they are evaluated only now, from Python 3.14 on
        return {}


def make_function(
    number: str,
    name: str,
    code: CodeType,
    home: dict[str, Any] | str | None,
    cells: tuple[CellType, ...],
) -> FunctionType:
    """In the worker: a function without its attributes, so that it can be referred to."""
    made: FunctionType | None = numbers.known(number)
    if made is None:
        if isinstance(home, dict):
            home.setdefault("__builtins__", __builtins__)
        else:
            home = script.namespace() if home is None else vars(importlib.import_module(home))
        made = FunctionType(code, home, None, None, cells or None)
        if number:
            numbers.enter(number, name, made, empty=True)
    elif script.replaces() and numbers.came_here(made) and made.__code__ != code:
        made.__code__ = code
    return made


def fill_function(function: FunctionType, state: tuple[Any, ...]) -> None:
    """In the worker: give a function its attributes, and its namespace what it uses."""
    if not numbers.is_to_be_filled(function):
        return
    attributes, own, contents, used, imported = state
    for module in imported:
        importlib.import_module(module)
    script.bring_along(function.__globals__, used)
    for cell, value in contents:
        cell.cell_contents = value
    function.__dict__.update(attributes)
    for name, value in own.items():
        setattr(function, name, value)


# Code.


def reduce_code(code: CodeType) -> Any:
    """Code with all it says about its source: the file's name, lines and columns."""
    try:
        # Without references among its parts: with them, the bytes depend on reference counts, and
        # a state that has not changed would look as if it had.
        return marshal.loads, (marshal.dumps(code, 2),)
    except ValueError:
        pass
    try:
        return marshal.loads, (marshal.dumps(code),)  # constants of newer kinds
    except ValueError:  # constants that no compiler makes
        return make_code, (marshal.dumps(code.replace(co_consts=()), 2), code.co_consts)


def make_code(data: bytes, constants: tuple[Any, ...]) -> CodeType:
    """In the worker."""
    code: CodeType = marshal.loads(data)
    return code.replace(co_consts=constants)


# Cells.


def reduce_cell(scope: Scope, cell: CellType) -> Any:
    """A cell: empty where the function that brings it fills it, so that it may refer to itself."""
    if id(cell) in scope.cells or _is_empty(cell):
        return CellType, ()
    return CellType, (), cell.cell_contents, None, None, fill_cell


def fill_cell(cell: CellType, contents: object) -> None:
    """In the worker."""
    cell.cell_contents = contents


def _is_empty(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False
