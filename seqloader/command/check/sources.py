"""What a batch may ask for that is another thing each time: entropy, the clock, identities.

For the time of an experiment, in a process of our own that ends with it, the functions that answer
are wrapped: each call from the user's code is noted with its place, and those that are to be held
still answer with numbers that repeat. Two processes in which all of them are held still, and
which then agree, have differed because of one of them.

Not here: `id()` and the process id are noted and not held still, since Python itself needs them.
"""

from __future__ import annotations

import datetime
import os
import random
import sys
import time
import uuid
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from seqloader.command.check.places import is_standard, users_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

__all__ = ["EVERYTHING", "NUMPY", "Sources"]

NUMPY = "numpy.random.default_rng() or another numpy generator without a seed"
RANDOM = "random.Random() or random.seed() without a seed"
SYSTEM_RANDOM = "secrets or random.SystemRandom"
URANDOM = "os.urandom()"
UUID1, UUID4 = "uuid.uuid1()", "uuid.uuid4()"
ADDRESS, PROCESS = "id()", "os.getpid()"
TODAY = "datetime.now() or date.today()"

CLOCKS = (
    "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns",
    "process_time", "process_time_ns", "thread_time", "thread_time_ns",
)  # fmt: skip
CALENDAR = ("localtime", "gmtime", "ctime", "strftime", "asctime")
WITHOUT_TIME = {"strftime": 1}
"""Arguments that such a function has before the time; 0 where it is not named."""

EVERYTHING: frozenset[str] = frozenset(
    {NUMPY, RANDOM, SYSTEM_RANDOM, URANDOM, UUID1, UUID4, TODAY}
    | {f"time.{name}()" for name in (*CLOCKS, *CALENDAR)}
)
"""Names of all that can be held still."""

FROZEN_S = 1_600_000_000.0
STEP_S = 0.01
"""Time goes on with every question, or code that waits for it would wait for ever."""


class Sources:
    """Wraps the functions of this process, for good.

    Args:
        still: names, out of `EVERYTHING`, of those that are to be held still.
    """

    def __init__(self, still: Iterable[str] = ()) -> None:
        self.still = frozenset(still)
        self.calls: dict[str, str] = {}
        """Name -> place in the user's code of its first call."""
        self.watching = False
        """Whether the user's code runs: nothing else is noted or held still."""
        self._asked = 0
        self._replaced: dict[int, tuple[Any, Any]] = {}
        """Originals, kept alive, by id, with what stands in for them."""

    def install(self) -> None:
        """Put the wrappers into the modules, and wherever user code has imported them by name."""
        import numpy.random.bit_generator as numpy_seeds

        self._wrap(numpy_seeds, "randbits", NUMPY, self._bits)
        self._wrap(random, "_urandom", SYSTEM_RANDOM, self._bytes)
        self._wrap(os, "urandom", URANDOM, self._bytes)
        self._wrap_seed()
        self._wrap(uuid, "uuid1", UUID1, lambda *_: uuid.UUID(bytes=self._bytes(16), version=1))
        for name in CLOCKS:
            nanoseconds = name.endswith("_ns")
            self._wrap(time, name, f"time.{name}()", self._ns if nanoseconds else self._seconds)
        for name in CALENDAR:
            self._wrap_calendar(name)
        self._wrap(os, "getpid", PROCESS, None, direct=True)
        self._wrap(sys.modules["builtins"], "id", ADDRESS, None, direct=True)
        self._wrap_dates()
        self._replace_imported_names()

    # --- what is asked --------------------------------------------------------------------

    def note(self, name: str, *, direct: bool = False, depth: int = 2) -> bool:
        """Note a call of the user's; whether it is one that is to be held still."""
        if not self.watching:
            return False
        place = _place(sys._getframe(depth), direct=direct)
        if place is None:
            return False
        if name == URANDOM and _called_from_uuid(sys._getframe(depth)):
            name = UUID4
        self.calls.setdefault(name, place)
        return name in self.still

    def _bytes(self, count: int) -> bytes:
        self._asked += 1
        numbers = range(count // 64 + 1)
        blocks = (blake2b(b"%d:%d" % (self._asked, number)).digest() for number in numbers)
        return b"".join(blocks)[:count]

    def _bits(self, count: int) -> int:
        return int.from_bytes(self._bytes(count // 8 + 1), "little") >> (8 - count % 8)

    def _seconds(self) -> float:
        self._asked += 1
        return FROZEN_S + STEP_S * self._asked

    def _ns(self) -> int:
        return int(self._seconds() * 1e9)

    # --- wrappers -------------------------------------------------------------------------

    def _wrap(
        self,
        module: Any,
        attribute: str,
        name: str,
        instead: Callable[..., Any] | None,
        *,
        direct: bool = False,
    ) -> None:
        original = getattr(module, attribute, None)
        if original is None:  # of another version: what it gave cannot be held still
            return

        def wrapped(*args: Any, **named: Any) -> Any:
            if self.note(name, direct=direct) and instead is not None:
                return instead(*args)
            return original(*args, **named)

        self._put(module, attribute, original, wrapped)

    def _wrap_seed(self) -> None:
        """`Random.seed(None)`: asks the system in C, where nobody sees it."""
        original = random.Random.seed

        def seed(generator: Any, a: Any = None, version: int = 2) -> None:
            if a is None and self.note(RANDOM):
                a = self._bits(64)
            original(generator, a, version)

        random.Random.seed = seed  # type: ignore[method-assign,assignment]
        instance: Any = random.seed.__self__  # type: ignore[attr-defined]
        self._put(random, "seed", random.seed, seed.__get__(instance))

    def _wrap_calendar(self, attribute: str) -> None:
        original = getattr(time, attribute)
        given = WITHOUT_TIME.get(attribute, 0)

        def wrapped(*args: Any) -> Any:
            now = len(args) <= given or args[given] is None
            if now and self.note(f"time.{attribute}()"):
                moment = self._seconds()
                if attribute in ("strftime", "asctime"):
                    return original(*args[:given], time.gmtime(moment))
                return original(moment)
            return original(*args)

        self._put(time, attribute, original, wrapped)

    def _wrap_dates(self) -> None:
        """Classes in C, whose methods cannot be replaced: classes that stand in for them."""
        sources, real_date, real_datetime = self, datetime.date, datetime.datetime

        class Kind(type):
            def __instancecheck__(cls, instance: Any) -> bool:
                return isinstance(instance, cls.__mro__[1])

        class Date(real_date, metaclass=Kind):  # type: ignore[valid-type,misc]
            @classmethod
            def today(cls) -> Any:
                if sources.note(TODAY):
                    return real_date.fromtimestamp(sources._seconds())
                return real_date.today()

        class DateTime(real_datetime, metaclass=Kind):  # type: ignore[valid-type,misc]
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                if sources.note(TODAY):
                    return real_datetime.fromtimestamp(sources._seconds(), tz)
                return real_datetime.now(tz)

            @classmethod
            def today(cls) -> Any:
                return cls.now()

            @classmethod
            def utcnow(cls) -> Any:
                return cls.now(datetime.UTC).replace(tzinfo=None)

        self._put(datetime, "date", real_date, Date)
        self._put(datetime, "datetime", real_datetime, DateTime)

    def _put(self, module: Any, attribute: str, original: Any, instead: Any) -> None:
        self._replaced[id(original)] = original, instead
        setattr(module, attribute, instead)

    def _replace_imported_names(self) -> None:
        """`from time import time` has made names of their own."""
        for module_name, module in [*sys.modules.items()]:
            if module_name.partition(".")[0] in {*sys.stdlib_module_names, "seqloader", "numpy"}:
                continue
            for name, value in [*getattr(module, "__dict__", {}).items()]:
                original, instead = self._replaced.get(id(value), (None, None))
                if original is value and original is not None:
                    setattr(module, name, instead)


def _place(frame: FrameType | None, *, direct: bool) -> str | None:
    """Where in the user's code a call came from; None where it did not.

    `direct`: only if user code itself made the call, and not Python's own library for it.
    """
    if direct and frame is not None and is_standard(frame.f_code.co_filename):
        return None
    return users_place(_outward(frame))


def _outward(frame: FrameType | None) -> Iterator[tuple[str, int]]:
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back


def _called_from_uuid(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename == uuid.__file__
