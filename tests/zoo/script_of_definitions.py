"""A script without a guard, full of classes and functions; test_definitions_zoo.py runs it."""

# What scripts hold, good style or not:
# ruff: noqa: RUF012, PIE796, B019, PLW1641, UP042

from __future__ import annotations

import abc
import collections
import collections.abc
import contextlib
import contextvars
import ctypes
import dataclasses
import enum
import functools
import json
import logging
import operator
import re
import weakref
from typing import (
    ClassVar,
    Generic,
    NamedTuple,
    NewType,
    ParamSpec,
    Protocol,
    TypedDict,
    TypeVar,
    get_type_hints,
    runtime_checkable,
)

import numpy as np

from seqloader import OrderedEnqueuer, Sequence


def attempt(case):
    try:
        return case()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


class Base5(Sequence):
    flag = False

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.flag


class Images5(Base5):
    pass


class Mixin5:
    flag = True


class Train5(Images5, Mixin5):
    flag = True


class Plugin:
    registry = {}
    count = 0

    def __init_subclass__(cls, /, key, **kw):
        super().__init_subclass__(**kw)
        assert cls.__dict__["body"]
        Plugin.count += 1
        Plugin.registry[key] = cls


class Resize(Plugin, key="resize"):
    body = 1


class Crop(Plugin, key="crop"):
    body = 2


class Meta(type):
    made = []

    def __new__(mcls, name, bases, ns, *, required):
        ns["extra"] = required
        return super().__new__(mcls, name, bases, ns)

    def __init__(cls, name, bases, ns, *, required):
        super().__init__(name, bases, ns)
        Meta.made.append(name)

    @property
    def label(cls):
        return "meta"

    def __call__(cls, *a):
        o = super().__call__(*a)
        o.called = True
        return o

    def __setattr__(cls, name, value):
        raise TypeError("no")


class WithMeta(metaclass=Meta, required=3):
    x = 1
    label = "own"


class Field:
    def __set_name__(self, owner, name):
        self.name = name
        self.calls = getattr(self, "calls", 0) + 1

    def __get__(self, o, t=None):
        return (self.name, self.calls)


class HasField:
    f = Field()


class Colour(enum.Enum):
    RED = (1, "r")
    GREEN = (2, "g")
    ALIAS = (1, "r")

    def __init__(self, number, letter):
        self.number = number
        self.letter = letter

    def both(self):
        return f"{self.number}{self.letter}"

    @property
    def twice(self):
        return self.number * 2

    @classmethod
    def _missing_(cls, value):
        return cls.RED


class Perm(enum.Flag):
    R = enum.auto()
    W = enum.auto()
    X = enum.auto()
    RW = R | W


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Text(str, enum.Enum):
    def __new__(cls, value, code):
        o = str.__new__(cls, value)
        o._value_ = value
        o.code = code
        return o

    A = "a", 10
    B = "b", 20


class Auto(enum.StrEnum):
    def _generate_next_value_(name, start, count, last):
        return name.lower() + "!"

    X = enum.auto()
    Y = enum.auto()


T = TypeVar("T")
P = ParamSpec("P")
UserId = NewType("UserId", int)


class Box(Generic[T]):
    def __init__(self, v):
        self.v = v


class IntBox(Box[int]):
    pass


@runtime_checkable
class HasArea(Protocol):
    def area(self) -> float: ...


class Square:
    def area(self) -> float:
        return 4.0


class Point(NamedTuple):
    x: int
    y: int = 2


class TD(TypedDict, total=False):
    a: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    a: int = 1
    b: list[int] = dataclasses.field(default_factory=list)
    __c: int = 4
    user: UserId = UserId(1)


@dataclasses.dataclass
class Init:
    seed: dataclasses.InitVar[int]
    v: int = 0
    K: ClassVar[int] = 3

    def __post_init__(self, seed):
        self.v = seed


class Slots:
    __slots__ = ("__b", "__dict__", "a")

    def __init__(self):
        self.a = 1
        self.__b = 2
        self.c = 3

    def get(self):
        return self.a, self.__b, self.c


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...


@Shape.register
class Registered:
    pass


class Circle(Shape):
    def area(self):
        return 3


class CPoint(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]


class CPair(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("a", CPoint), ("b", ctypes.c_char * 3)]


@functools.lru_cache(maxsize=7)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@functools.cache
def table():
    return {"a": 1}


@functools.singledispatch
def kind(x):
    return "object"


@kind.register
def _(x: int):
    return "int"


@kind.register(Square)
def _(x):
    return "square"


add1 = np.frompyfunc(lambda x: x + 1, 1, 1)
vec = np.vectorize(lambda x: x * 2)
CTX = contextvars.ContextVar("ctx", default=5)
PATTERN = re.compile("a+")


def counter():
    n = 0

    def inc():
        nonlocal n
        n += 1
        return n

    def get():
        return n

    return inc, get


inc, get = counter()


def outer_fact():
    def fact(n):
        return 1 if n < 2 else n * fact(n - 1)

    fact.attr = fact
    return fact


fact = outer_fact()


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


SCALE = 7


def local_class():
    class L:
        scale = SCALE

    return L.scale


@contextlib.contextmanager
def ctx():
    yield 1


class MyProp(property):
    pass


class Lazy:
    calls = 0

    @functools.cached_property
    def value(self):
        return 9

    @functools.lru_cache
    def method(self):
        return 8

    @MyProp
    def prop(self):
        return 6

    part = functools.partialmethod(lambda self, a, b: (a, b), 1)

    @functools.singledispatchmethod
    def sd(self, x):
        return "o"

    @sd.register
    def _(self, x: str):
        return "s"

    def __class_getitem__(cls, item):
        return (cls.__name__, item)

    class Inner:
        class Deep:
            v = 1


@functools.total_ordering
class Ord:
    def __init__(self, v):
        self.v = v

    def __eq__(self, o):
        return self.v == o.v

    def __lt__(self, o):
        return self.v < o.v


class A:
    def who(self):
        return ["A"]


class B(A):
    def who(self):
        return ["B", *super().who()]


class C(A):
    def who(self):
        return ["C", *super().who()]


class D(B, C):
    def who(self):
        return ["D", *super().who()]


async def co():
    return 3


def gen(n):
    yield from range(n)


def setg():
    global MADE
    MADE = 4
    return MADE


log = logging.getLogger("x")
OPS = {"get": operator.itemgetter(1), "m": operator.methodcaller("upper"), "f": even, "cls": D}
ref = weakref.ref(Square)
registry_weak = weakref.WeakValueDictionary(sq=Square)
Shade = enum.Enum("Shade", "DARK LIGHT")
Named2 = collections.namedtuple("Named2", "p q", defaults=[5])


def drive(c):
    try:
        c.send(None)
    except StopIteration as e:
        return e.value


CASES = {
    "train": lambda: Train5()[0],
    "plugin": lambda: (
        sorted(Plugin.registry),
        Plugin.count,
        Plugin.registry["crop"] is Crop,
        Crop.body,
    ),
    "plugin_new": lambda: (
        type("Flip", (Plugin,), {"body": 1}, key="flip").__name__,
        sorted(Plugin.registry),
    ),
    "meta": lambda: (
        WithMeta.extra,
        sorted(Meta.made),
        WithMeta.__dict__["label"],
        WithMeta.label,
        WithMeta().called,
    ),
    "field": lambda: HasField.f,
    "colour": lambda: (
        Colour.RED.both(),
        Colour.GREEN.twice,
        Colour((2, "g")) is Colour.GREEN,
        Colour.ALIAS is Colour.RED,
        Colour("zz") is Colour.RED,
        list(Colour.__members__),
        repr(Colour.RED),
        Colour["RED"].letter,
        [c.name for c in Colour],
    ),
    "perm": lambda: (
        repr(Perm.R | Perm.X),
        (Perm.R | Perm.W) is Perm.RW,
        Perm(7),
        list(Perm),
        ~Perm.R,
        Perm.RW.value,
    ),
    "level": lambda: (Level.LOW < Level.HIGH, Level(2), Level.LOW + 1, repr(Level.HIGH)),
    "text": lambda: (Text.A.code, Text("b").code, Text.A == "a", Text.A.upper()),
    "auto": lambda: (str(Auto.X), Auto.Y.value, Auto("x!") is Auto.X),
    "generic": lambda: (
        IntBox(1).v,
        Box[int](3).v,
        IntBox.__orig_bases__,
        Box.__parameters__ == (T,),
        str(Box[str]),
    ),
    "newtype": lambda: (UserId(3), UserId.__name__, UserId.__supertype__),
    "proto": lambda: (isinstance(Square(), HasArea), isinstance(3, HasArea)),
    "point": lambda: (Point(1), Point(1)._replace(y=3), Point._fields, Point.__annotations__),
    "td": lambda: (TD(a=1), TD.__total__, TD.__annotations__),
    "config": lambda: (
        Config(),
        dataclasses.replace(Config(), a=4),
        Config.__slots__,
        [f.default is dataclasses.MISSING for f in dataclasses.fields(Config)],
        attempt(lambda: setattr(Config(), "a", 2)),
    ),
    "config_sub": lambda: repr(
        dataclasses.dataclass(type("Sub", (Init,), {"__annotations__": {"w": int}, "w": 2}))(5)
    ),
    "init": lambda: (Init(4), Init.K),
    "slots": lambda: Slots().get(),
    "abc": lambda: (
        attempt(Shape),
        Circle().area(),
        isinstance(Registered(), Shape),
        issubclass(int, Shape),
    ),
    "ctypes": lambda: (CPoint(1, 2.5).y, ctypes.sizeof(CPair), CPair(CPoint(3, 1), b"ab").a.x),
    "fib": lambda: (
        fib(20),
        fib.cache_parameters(),
        table(),
        fib.__wrapped__.__name__,
        fib.__wrapped__.__globals__["fib"] is fib,
    ),
    "dispatch": lambda: (
        kind(1),
        kind("a"),
        kind(Square()),
        kind.dispatch(int).__name__,
        len(kind.registry),
    ),
    "dispatch_new": lambda: (
        kind.register(float, lambda x: "float") and kind(1.0),
        len(kind.registry),
    ),
    "ufunc": lambda: (add1(np.arange(3)).tolist(), vec(np.arange(3)).tolist(), add1.nin),
    "ctx": CTX.get,
    "pattern": lambda: PATTERN.match("aa").group(),
    "cells": lambda: (inc(), inc(), get()),
    "fact": lambda: (fact(5), fact.attr is fact),
    "mutual": lambda: even(10),
    "local_class": local_class,
    "cm": lambda: ctx().__enter__(),
    "lazy": lambda: (
        Lazy().value,
        Lazy().method(),
        Lazy().prop,
        Lazy().part(2),
        Lazy().sd(1),
        Lazy().sd("a"),
        Lazy[3],
        Lazy.Inner.Deep.v,
        type(Lazy.__dict__["prop"]).__name__,
    ),
    "ord": lambda: (Ord(1) <= Ord(2), Ord(1) >= Ord(2), Ord.__hash__),
    "mro": lambda: (D().who(), [c.__name__ for c in D.__mro__]),
    "co": lambda: drive(co()),
    "gen": lambda: list(gen(3)),
    "setg": lambda: (setg(), MADE),
    "log": lambda: log.name,
    "ops": lambda: (OPS["get"]([1, 2]), OPS["m"]("a"), OPS["f"](3), OPS["cls"].__name__),
    "weak": lambda: (ref() is Square, dict(registry_weak)["sq"] is Square),
    "shade": lambda: (Shade.DARK.value, list(Shade), Shade.__module__),
    "named2": lambda: Named2(1),
    "hints": lambda: attempt(lambda: sorted(get_type_hints(Config).items(), key=lambda i: i[0])),
    "glob": lambda: sorted(k for k in globals() if k in ("train_never", "Colour", "never_class")),
}


def train_never():
    pass


class never_class:
    pass


class Own(Sequence):
    def __init__(self):
        self.cases = CASES
        self.names = list(CASES)

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return repr(attempt(self.cases[self.names[index]]))


def answers(**options):
    with OrderedEnqueuer(Own(), **options) as enqueuer:
        return dict(zip(CASES, enqueuer, strict=True))


# No guard. The forked workers are first: they inherit what the other ways change here.
print(
    json.dumps(
        {
            "fork": answers(workers=1, start_method="fork"),
            "spawn": answers(workers=1),
            "inline": answers(workers=0),
        }
    )
)
