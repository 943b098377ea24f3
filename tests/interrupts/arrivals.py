"""An asynchronous exception that arrives at a chosen point of the package's code.

Note [arrival]
    CPython raises what signal handlers raise at few places only: after a call into C, at the entry
    of a Python function and at a jump backwards. To raise from a trace function would also
    hit places where nothing can arrive (the end of a `with`, between the last store of a function
    and its return) and show faults that cannot be. So the trace function only *arms* a signal, and
    does so in one C call from a unary operator, which is none of those places: the handler runs
    and raises where the interpreter itself lets it, in the very next call of the code under test.
"""

from __future__ import annotations

import _thread
import functools
import opcode
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import seqloader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Arrival", "Interrupt", "Point", "dropped_in_finalizers"]

SIGNAL: Final = signal.SIGUSR1
PACKAGE: Final = str(Path(seqloader.__file__).parent) + os.sep
OUTSIDE: Final = (PACKAGE + "testing" + os.sep, os.sep + "worker" + os.sep)
"""Not the consumer's code."""
ARMING: Final = frozenset(
    number
    for name, number in opcode.opmap.items()
    if name.startswith(("CALL", "JUMP_BACKWARD")) and "INTRINSIC" not in name
)

Result = TypeVar("Result")


class Interrupt(BaseException):
    """What the handler raises; no code of ours or of users catches it by name."""


class Point(NamedTuple):
    """An instruction at which a signal may be handled."""

    file: str
    function: str
    line: int
    offset: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function}+{self.offset}"


class _Trigger:
    """`-TRIGGER` has the signal handled at the next opportunity, as if it had just come."""

    __neg__ = staticmethod(functools.partial(_thread.interrupt_main, SIGNAL))


TRIGGER: Final = _Trigger()


@contextmanager
def dropped_in_finalizers(kind: type[BaseException]) -> Iterator[None]:
    """Say nothing of a `kind` that arrives inside a finalizer: Python drops it there.

    All else that a finalizer raises is reported as ever.
    """
    report = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, kind):
            report(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = report


class Arrival:
    """Raises once in the calls made through `call`.

    Args:
        at: at the how-manieth point that is passed, from 1; 0: never, points are only counted.
        within: in this one of the calls, from 1, and `at` counts its points alone; 0: in any.
            The others are not traced, which is what takes the time.
        site: instead, at this point when it is passed first.
        kind: what is raised.
    """

    def __init__(
        self,
        at: int = 0,
        *,
        within: int = 0,
        site: Point | None = None,
        kind: type[BaseException] = Interrupt,
    ) -> None:
        self._at = at
        self._within = within
        self._site = site
        self.kind = kind
        self.calls: list[int] = []
        """How many points had been passed before each call."""
        self.passed: list[Point] = []
        self.armed: Point | None = None
        """Where it was armed, once it was."""
        self.where = ""
        """The call chain in which the handler ran."""

    def call(self, function: Callable[..., Result], *args: Any) -> Result:
        """Return `function(*args)`, which may be interrupted."""
        self.calls.append(len(self.passed))
        if self.armed is not None or self._within not in (0, len(self.calls)):
            return function(*args)
        handler, tracer = signal.signal(SIGNAL, self._handle), sys.gettrace()
        try:
            with dropped_in_finalizers(self.kind):
                sys.settrace(self._enter)
                return function(*args)
        finally:
            sys.settrace(tracer)
            signal.signal(SIGNAL, handler)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        chain = []
        while frame is not None and len(chain) < 6:
            chain.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
            frame = frame.f_back
        self.where = " < ".join(chain)
        raise self.kind

    def _enter(self, frame: FrameType, event: str, arg: Any) -> Any:
        if self.armed is not None or not _opportunities(frame.f_code):
            return None
        frame.f_trace_lines = False
        frame.f_trace = self._pass  # Python 3.13 asks for it before it traces instructions
        frame.f_trace_opcodes = True
        return self._pass

    def _pass(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "opcode" and self.armed is None:
            code = frame.f_code
            if frame.f_lasti in _opportunities(code) and not _blocked():
                name = code.co_filename.removeprefix(PACKAGE)
                point = Point(name, code.co_name, frame.f_lineno or 0, frame.f_lasti)
                self.passed.append(point)
                if len(self.passed) == self._at or point == self._site:
                    self.armed = point
                    -TRIGGER  # noqa: B018  (see [arrival])
        return self._pass

    def points(self) -> list[tuple[int, int]]:
        """Each point that was passed, as `within` and `at` of an arrival there."""
        ends = [*self.calls[1:], len(self.passed)]
        return [
            (call, at)
            for call, (first, end) in enumerate(zip(self.calls, ends, strict=True), start=1)
            for at in range(1, end - first + 1)
        ]


def _blocked() -> bool:
    # A pending call by `interrupt_main` knows no mask; a signal would wait until it is unblocked.
    return SIGNAL in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@functools.cache
def _opportunities(code: CodeType) -> frozenset[int]:
    name = code.co_filename
    if not name.startswith(PACKAGE) or any(part in name for part in OUTSIDE):
        return frozenset()
    if code.co_name == "<module>":  # an import that is interrupted is Python's own affair
        return frozenset()
    data = code.co_code
    return frozenset(offset for offset in range(0, len(data), 2) if data[offset] in ARMING)


def _forget_in_child() -> None:
    sys.settrace(None)


os.register_at_fork(after_in_child=_forget_in_child)
