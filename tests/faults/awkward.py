"""Exceptions of every awkward kind, in a module that workers and consumer both import."""

from __future__ import annotations

import threading
from typing import Any


class TwoPart(Exception):
    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"{reason} at {index}")
        self.index = index
        self.reason = reason


class KeywordOnly(Exception):
    def __init__(self, *, path: str) -> None:
        super().__init__(f"cannot read {path}")
        self.path = path


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("with a lock")
        self.lock = threading.Lock()
        self.kept = "kept"


class RaisesInReduce(Exception):
    def __reduce__(self) -> Any:
        raise RuntimeError("no reduction")


class RaisesInStr(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Quits(BaseException):
    pass


class Interrupting(Exception):
    def __reduce__(self) -> Any:
        raise KeyboardInterrupt


class ExitsWhenRebuilt(Exception):
    def __reduce__(self) -> Any:
        return _exit, ()


def _exit() -> Any:
    raise SystemExit("rebuilding")


def two_part() -> BaseException:
    return TwoPart(3, "torn")


def keyword_only() -> BaseException:
    return KeywordOnly(path="a.png")


def chained() -> BaseException:
    try:
        try:
            raise KeyError("the first")
        except KeyError as first:
            raise TwoPart(3, "second") from first
    except TwoPart:
        try:
            raise ValueError("the last")
        except ValueError as last:
            return last


def group() -> BaseException:
    return ExceptionGroup("several", [ValueError("one"), TwoPart(3, "two"), Unpicklable()])


def large() -> BaseException:
    return ValueError("x" * 10_000_000)


def with_notes() -> BaseException:
    error = ValueError("noted")
    error.add_note("a note of the user's")
    return error


def endless_chain() -> BaseException:
    one, two = ValueError("one"), ValueError("two")
    one.__context__, two.__context__ = two, one
    return one


def operating_system() -> BaseException:
    return FileNotFoundError(2, "No such file or directory", "a.png")


def unicode() -> BaseException:
    return UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


def local_class() -> BaseException:
    class Local(Exception):
        pass

    return Local("of a function")


def stop_iteration() -> BaseException:
    return StopIteration(3)


def stop_async_iteration() -> BaseException:
    return StopAsyncIteration(3)


def generator_exit() -> BaseException:
    return GeneratorExit()


def keyboard_interrupt() -> BaseException:
    return KeyboardInterrupt()


def system_exit() -> BaseException:
    return SystemExit(3)


def base_group() -> BaseException:
    return BaseExceptionGroup("bases", [Quits("one"), ValueError("two")])
