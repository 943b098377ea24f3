"""Functions, their code and their cells by value."""

from __future__ import annotations

import importlib
import importlib.machinery
import marshal
import os
import sys
from types import CellType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from seqloader.executors.process.wire.definitions import numbers, script

if TYPE_CHECKING:
    from seqloader.executors.process.wire.definitions.pickler import DefinitionPickler

__all__ = [
    "bring_along",
    "is_installed",
    "is_made_by_hand",
    "reduce_cell",
    "reduce_code",
    "reduce_function",
    "reduce_module",
]


def reduce_function(pickler: DefinitionPickler, function: FunctionType) -> Any:
    """A function that its module does not have under its name, or that of a script."""
    # Here, and not above: a worker rebuilds functions, and rarely sends any.
    from seqloader.executors.process.wire.definitions import names

    home = pickler.namespace_of(function.__globals__)
    name = script.name_in_script(function) if home is None else ""
    number = numbers.take_number(function) if name else ""
    cells = function.__closure__ or ()
    pickler.expect_cells(cells)
    contents = [(cell, cell.cell_contents) for cell in cells if not _is_empty(cell)]
    code = function.__code__
    used = names.used_by_code(code)
    annotations = _annotations(function)
    state = (
        function.__dict__,
        {
            "__name__": function.__name__,
            "__qualname__": function.__qualname__,
            "__module__": function.__module__,
            "__doc__": function.__doc__,
            "__defaults__": function.__defaults__,
            "__kwdefaults__": function.__kwdefaults__,
            "__annotations__": annotations,
            "__type_params__": getattr(function, "__type_params__", ()),
        },
        contents,
        pickler.globals_used(function.__globals__, used, names.used_by_annotations(annotations)),
        names.submodules(
            code, [*_values(function.__globals__, used), *(value for _, value in contents)]
        ),
    )
    return make_function, (number, name, code, home, cells), state, None, None, fill_function


def _annotations(function: FunctionType) -> dict[str, Any]:
    try:
        return function.__annotations__
    except Exception:  # they are evaluated only now, from Python 3.14 on
        return {}


def _values(namespace: dict[str, Any], used: tuple[str, ...]) -> list[Any]:
    return [namespace[name] for name in used if name in namespace]


def make_function(
    number: str,
    name: str,
    code: CodeType,
    home: dict[str, Any] | str | None,
    cells: tuple[CellType, ...],
) -> FunctionType:
    """In the worker: a function without its attributes, so that it can be referred to."""
    made: FunctionType | None = numbers.known(number) if number else None
    if made is None:
        if isinstance(home, dict):
            home.setdefault("__builtins__", __builtins__)
        else:
            home = script.namespace() if home is None else vars(importlib.import_module(home))
        made = FunctionType(code, home, None, None, cells or None)
        if number:
            numbers.remember(number, made)
            _half_made.add(number)
            script.bind(name, made)
    elif script.replaces() and numbers.came_here(made) and made.__code__ != code:
        made.__code__ = code
    return made


_half_made: set[str] = set()
"""Numbers of functions that are made, but not yet filled."""


def fill_function(function: FunctionType, state: tuple[Any, ...]) -> None:
    """In the worker: give a function its attributes, and its namespace what it uses."""
    attributes, own, contents, used, imported = state
    number = numbers.number_of(function)
    if number:
        if number not in _half_made and not (script.replaces() and numbers.came_here(function)):
            return
        _half_made.discard(number)
    for module in imported:
        importlib.import_module(module)
    bring_along(function.__globals__, used)
    for cell, value in contents:
        cell.cell_contents = value
    function.__dict__.update(attributes)
    for name, value in own.items():
        if name != "__type_params__" or value:
            setattr(function, name, value)


def bring_along(namespace: dict[str, Any], used: tuple[dict[str, Any], list[str]]) -> None:
    """In the worker: global variables that code uses, and names of those to be found later."""
    values, later = used
    script.set_globals(namespace, values)
    script.wanted.update(dict.fromkeys(later))


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


def reduce_cell(pickler: DefinitionPickler, cell: CellType) -> Any:
    """A cell: empty where the function that brings it fills it, so that it may refer to itself."""
    if pickler.expects_cell(cell) or _is_empty(cell):
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


# Modules.


def reduce_module(module: ModuleType) -> Any:
    """A module by its name where a worker can import it, else as what it holds."""
    name = module.__name__
    if sys.modules.get(name) is not module:
        return NotImplemented  # by value
    if script.is_of_script(name) or not is_made_by_hand(name):
        return importlib.import_module, (name,)
    held = {key: value for key, value in vars(module).items() if key != "__builtins__"}
    return ModuleType, (name,), held


def is_made_by_hand(name: str) -> bool:
    """Whether a program has put the module into `sys.modules` itself, as `runpy.run_path` does: a
    worker cannot import it."""
    top = name.partition(".")[0]
    module = sys.modules.get(top)
    if type(module) is not ModuleType or vars(module).get("__spec__") is not None:
        return False
    # A module may have put another one in its own place.
    return importlib.machinery.PathFinder.find_spec(top) is None


_LIBRARIES: Final = ("site-packages", "dist-packages")
"""Folders that installed packages lie in."""


def is_installed(name: object) -> bool:
    """Whether the name is that of a module of the standard library or of an installed package.

    A worker may import such a module for what is no attribute of it. That a module of the user's
    own is imported where it was not before would be a surprise.
    """
    if not isinstance(name, str):
        return False
    if name.partition(".")[0] in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    return isinstance(file, str) and any(f"{os.sep}{one}{os.sep}" in file for one in _LIBRARIES)
