"""Exceptions on their way from a worker to the consumer: `pack` there, `unpack` here.

An exception is user code: its `__reduce__`, `__init__`, `__setstate__`, `__str__` may raise
anything, SystemExit and KeyboardInterrupt included, or return nonsense.

Rules
    R1  `pack` and `unpack` never raise: what goes wrong becomes a note, or a `WorkerError`.
    R2  The type survives wherever it can. Tried in turn: pickle, if a copy in the worker comes out
        the same; the parts of the exception, put together again without its `__init__`; the
        same without those parts that cannot be pickled, with a note.
    R3  Every exception of the chain and of a group travels by itself, so that an awkward one
        costs the others nothing.
    R4  Links only lead from an exception to one found later: what arrives has no circles.
    R5  The chain ends in a `WorkerTraceback` with the worker's whole traceback as text.
"""

from __future__ import annotations

import builtins
import pickle
import traceback
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from seqloader.errors import WorkerError, WorkerTraceback, as_raisable
from seqloader.executors.process.wire import pickling

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["pack", "unpack"]

_TRACEBACK_CHARACTERS: Final = 40_000
"""Of a traceback's text; the middle of a longer one is cut."""
_TEXT_CHARACTERS: Final = 20_000
"""Of `WorkerError.text`; an exception that keeps its type keeps its whole message."""
_MOST_EXCEPTIONS: Final = 200
"""In one chain with all its groups; what is beyond is in the traceback's text only."""
_SECOND_FORM_BYTES: Final = 1 << 20
"""Above it, an exception that pickles well does not travel a second time as its parts."""
_OWN_FRAMES: Final = ("seqloader.executors.", "seqloader.randomness.")
"""Modules, and packages, whose frames stand above the user's in every traceback of a worker."""


class _Parts(NamedTuple):
    """What an exception consists of, to build one without calling its `__init__`."""

    cls: type[BaseException]
    args: tuple[Any, ...]
    """Of the built-in base's constructor; for a group only its message."""
    fields: dict[str, Any]


class _Record(NamedTuple):
    """One exception of the chain. Built-in types only, so that it can always be unpickled."""

    type_name: str
    text: str
    forms: list[bytes]
    """Pickles of it, or of its `_Parts`: the first that can be rebuilt counts."""
    why: str
    """Why there are no better forms."""
    notes: list[str]
    links: dict[str, int]
    """`__cause__` and `__context__`, as numbers of records."""
    suppress_context: bool
    members: list[int]
    """Of a group."""


class _Failure(NamedTuple):
    records: list[_Record]
    traceback: str


def pack(error: BaseException) -> bytes:
    """Turn an exception, with all that hangs on it, into bytes. Never raises."""
    try:
        return pickle.dumps(_Failure(_records(error), _format(error)), protocol=5)
    except BaseException as reason:
        record = _stand_in(error, f"looking at it raised {_describe(reason)}")
    return pickle.dumps(_Failure([record], _format(error)), protocol=5)


def unpack(data: bytes) -> BaseException:
    """Rebuild the exception that `pack` was given, ready to be raised. Never raises."""
    try:
        failure: _Failure = pickle.loads(data)
        built: dict[int, BaseException] = {}
        for number, record in reversed([*enumerate(failure.records)]):  # see R4
            error = built[number] = _revive(record, [built[one] for one in record.members])
            for name, other in record.links.items():
                _set(error, name, built[other])
            _set(error, "__suppress_context__", record.suppress_context)
        _set(_last(error), "__cause__", WorkerTraceback(failure.traceback))
        return as_raisable(error)
    except BaseException as reason:
        why = f"reading it raised {_describe(reason)}"
        return _worker_error("an exception", "", why)


# In the worker.


def _records(error: BaseException) -> list[_Record]:
    """The exception and everything reachable from it, itself first, breadth first."""
    found = [error]
    numbers = {id(error): 0}

    def number(other: BaseException) -> int:
        """Its number; 0 where there is no room for it."""
        if id(other) not in numbers and len(found) < _MOST_EXCEPTIONS:
            numbers[id(other)] = len(found)
            found.append(other)
        return numbers.get(id(other), 0)

    records: list[_Record] = []
    for here, this in enumerate(found):  # grows meanwhile
        grouped = _get(this, "exceptions") if _is_group(this) else ()
        members = [number(member) for member in grouped]
        linked = {name: _get(this, name) for name in ("__cause__", "__context__")}
        links = {name: number(other) for name, other in linked.items() if other is not None}
        record = _record(this)
        left_out = sum(id(member) not in numbers for member in grouped)
        if left_out:
            record.notes.append(f"seqloader: {left_out} more exceptions of this group were cut")
        records.append(
            record._replace(
                links={name: to for name, to in links.items() if to > here},
                suppress_context=_get(this, "__suppress_context__"),
                members=[to for to in members if to > here],
            )
        )
    return records


def _record(error: BaseException) -> _Record:
    """A record without its place in the chain."""
    record = _stand_in(error, "")
    try:
        notes = _dict_of(error).get("__notes__")
        if isinstance(notes, (list, tuple)):
            record.notes.extend(map(_text, notes))
        return record._replace(why=_add_forms(error, record))
    except BaseException as reason:
        return record._replace(why=f"taking it apart raised {_describe(reason)}")


def _add_forms(error: BaseException, record: _Record) -> str:
    """Append what can be sent for `error`, and notes on what is lost; say why there is no more."""
    forms = record.forms
    why = "" if _is_group(error) else _add_copyable(error, forms)
    if forms and len(forms[0]) > _SECOND_FORM_BYTES:
        return why
    parts = _take_apart(error)
    if not _add_parts(parts, forms) or forms:
        return why
    try:
        pickling.dumps_whole(parts.cls)
    except BaseException as refusal:
        return f"its class cannot be pickled: {_describe(refusal)}"
    return _add_parts(_sieve(parts, record.notes), forms) or why


def _add_copyable(error: BaseException, forms: list[bytes]) -> str:
    """Append the pickle of `error` if it comes out the same here; else say why not."""
    try:
        form = pickling.dumps_whole(error, name="exception")
        copy = pickling.loads(form)
        if type(copy) is not type(error):
            return f"pickle makes it {_type_name(copy)}"
        # An __init__ that words its own message was called with that message, as its argument.
        if _text(copy) != _text(error):
            return "pickle changes its message"
    except BaseException as reason:
        return f"pickling it raised {_describe(reason)}"
    forms.append(form)
    return ""


def _add_parts(parts: _Parts, forms: list[bytes]) -> str:
    try:
        form = pickling.dumps_whole(tuple(parts), name="exception")
        if not issubclass(parts.cls, BaseExceptionGroup):
            _put_together(_Parts(*pickling.loads(form)), [])
    except BaseException as reason:
        return f"putting it together raised {_describe(reason)}"
    forms.append(form)
    return ""


def _take_apart(error: BaseException) -> _Parts:
    cls = type(error)
    base = _built_in_base(cls)
    if _is_group(error):
        args: tuple[Any, ...] = (_get(error, "message"),)
        fields = dict(_dict_of(error))
    else:
        # The built-in's own reduction knows what `args` leaves out: a file name, for instance.
        reduced: Any = base.__reduce__(error)
        args = reduced[1]
        fields = dict(reduced[2] or {}) if len(reduced) > 2 else {}
    for owner in cls.__mro__:
        names = owner.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if name not in ("__dict__", "__weakref__") and hasattr(error, name):
                fields[name] = getattr(error, name)
    fields.pop("__notes__", None)
    return _Parts(cls, args, fields)


def _sieve(parts: _Parts, notes: list[str]) -> _Parts:
    """The parts that can be pickled, and a note on each that cannot."""

    def travels(value: object, name: str) -> bool:
        try:
            pickling.loads(pickling.dumps_whole(value, name=name))
        except BaseException as reason:
            notes.append(f"seqloader: left behind in the worker: {name} ({_describe(reason)})")
            return False
        return True

    args = tuple(
        value if travels(value, f"args[{number}]") else f"<{_type_name(value)}>"
        for number, value in enumerate(parts.args)
    )
    fields = {name: value for name, value in parts.fields.items() if travels(value, str(name))}
    return _Parts(parts.cls, args, fields)


def _stand_in(error: BaseException, why: str) -> _Record:
    """A record with no form: names and text alone."""
    text = _shorten(_text(error), _TEXT_CHARACTERS)
    return _Record(_type_name(error), text, [], why, [], {}, False, [])


def _format(error: BaseException) -> str:
    try:
        first = _trim(_get(error, "__traceback__"))
        text = "".join(traceback.format_exception(type(error), error, first))
        return _shorten(text, _TRACEBACK_CHARACTERS)
    except BaseException as reason:
        return f"{_type_name(error)} (formatting its traceback raised {_describe(reason)})"


def _trim(whole: TracebackType | None) -> TracebackType | None:
    """The traceback from the user's first frame on; the whole one where all frames are ours."""
    first = whole
    while first and f"{first.tb_frame.f_globals.get('__name__')}.".startswith(_OWN_FRAMES):
        first = first.tb_next
    return first or whole


# In the consumer.


def _revive(record: _Record, members: list[BaseException]) -> BaseException:
    why = record.why
    for form in record.forms:
        try:
            value = pickling.loads(form)
            if type(value) is tuple:
                value = _put_together(_Parts(*value), members)
            if issubclass(type(value), BaseException):
                error: BaseException = value
                _dict_of(error).pop("__notes__", None)
                break
            why = f"unpickling it gave {_type_name(value)}"
        except BaseException as reason:
            why = f"unpickling it raised {_describe(reason)}"
    else:
        error = _worker_error(record.type_name, record.text, why)
    for note in record.notes:
        BaseException.add_note(error, note)
    return error


def _put_together(parts: _Parts, members: list[BaseException]) -> BaseException:
    cls, args, fields = parts
    base = _built_in_base(cls)
    if issubclass(cls, BaseExceptionGroup):
        args = (*args, members)
    try:
        error = base.__new__(cls, *args)
    except TypeError:  # an extension's class, which wants its own
        error = cls.__new__(cls, *args)
    # What a user's `__init__` would have passed on to its base; not the user's `__init__`, whose
    # arguments are not known.
    base.__init__(error, *args)
    for name, value in fields.items():
        object.__setattr__(error, name, value)
    return error


def _last(error: BaseException) -> BaseException:
    """The last exception of the chain as it is printed: the first to have happened."""
    seen = set()
    while id(error) not in seen:
        seen.add(id(error))
        following = _get(error, "__cause__")
        if following is None and not _get(error, "__suppress_context__"):
            following = _get(error, "__context__")
        if following is None or id(following) in seen:
            break
        error = following
    return error


def _worker_error(type_name: str, text: str, why: str) -> WorkerError:
    said = f"{type_name}: {text}" if text else type_name
    message = f"{said}\n(raised in a worker; it could not be brought here as it was: {why})"
    return WorkerError(message, type_name=type_name, text=text, why=why)


# Looking at an exception without running the user's code, or with it under guard.


def _is_group(error: BaseException) -> bool:
    return issubclass(type(error), BaseExceptionGroup)  # `isinstance` asks for `__class__` too


def _get(error: BaseException, name: str) -> Any:
    owner = BaseException if name.startswith("__") else BaseExceptionGroup
    return owner.__dict__[name].__get__(error, type(error))


def _set(error: BaseException, name: str, value: object) -> None:
    BaseException.__dict__[name].__set__(error, value)


def _dict_of(error: BaseException) -> dict[str, Any]:
    fields: dict[str, Any] = BaseException.__dict__["__dict__"].__get__(error)
    return fields


def _built_in_base(cls: type[BaseException]) -> type[BaseException]:
    for base in cls.__mro__:
        built_in: object = vars(builtins).get(base.__name__)
        if base is built_in and issubclass(base, BaseException):
            return base
    return BaseException


def _text(value: object) -> str:
    try:
        return str.__str__(str(value))  # of a subclass of str, too, a plain str
    except BaseException as reason:
        return f"<its text cannot be had: __str__ raised {type(reason).__name__}>"


def _type_name(value: object) -> str:
    cls = type(value)
    try:
        module, qualname = _text(cls.__module__), _text(cls.__qualname__)
    except BaseException:
        return "an exception whose type has no name"
    return qualname if module == "builtins" else f"{module}.{qualname}"


def _describe(reason: BaseException) -> str:
    return _shorten(f"{_type_name(reason)}: {_text(reason)}", 1000)


def _shorten(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... [{len(text) - 2 * half:,} characters cut] ...\n{text[-half:]}"
