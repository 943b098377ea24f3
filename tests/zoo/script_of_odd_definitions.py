"""As script_of_definitions.py, with less usual classes; test_definitions_zoo.py runs it."""

# What scripts hold, good style or not:
# ruff: noqa: RUF012, B006, UP042

from __future__ import annotations

import abc
import collections
import collections.abc
import contextlib
import copyreg
import ctypes
import dataclasses
import datetime
import decimal
import enum
import functools
import json
import operator
import pickle
import random
import string
import threading
import types
import weakref
from typing import (
    ClassVar,
    Generic,
    NamedTuple,
    Protocol,
    TypeVar,
    get_type_hints,
)

import numpy as np

from seqloader import OrderedEnqueuer, Sequence


def attempt(case):
    try:
        return case()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


class Planet(enum.Enum):
    EARTH = datetime.date(2020, 1, 2)


class DateEnum(datetime.date, enum.Enum):
    A = 2020, 1, 2


class DecEnum(decimal.Decimal, enum.Enum):
    A = "1.5"


class TupEnum(tuple, enum.Enum):
    A = (1, 2)


@dataclasses.dataclass
class Mix:
    size: int
    legs: int = 4


class DEnum(Mix, enum.Enum):
    CAT = 3
    DOG = 5, 3


class Base1Enum(enum.Enum):
    def hello(self):
        return "hi " + self.name

    @classmethod
    def first(cls):
        return next(iter(cls))


class SubEnum(Base1Enum):
    A = enum.auto()
    B = enum.auto()
    __private = 3
    _ignore_ = ["z"]
    z = 3

    @staticmethod
    def st():
        return SubEnum.A

    @enum.nonmember
    class Inner:
        pass


class FnEnum(enum.Enum):
    ADD = enum.member(operator.add)
    SUB = enum.member(staticmethod(lambda a, b: a - b))

    def __call__(self, *a):
        return self.value(*a)


class FlagI(enum.IntFlag, boundary=enum.KEEP):
    A = 1
    B = 4


class Rights(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4

    def both(self):
        return BOTH


# Members that a flag has by its value only, in places that are reached before the flag is whole.
BOTH = Rights.READ | Rights.WRITE
NOT_READ = ~Rights.READ
Rights.usual = Rights.READ | Rights.RUN
KEPT = FlagI(10)


class ListEnum(list, enum.Enum):
    A = [1, 2]


class DictEnum(dict, enum.Enum):
    A = {"a": 1}


class SetEnum(set, enum.Enum):
    A = {3}


class CountsEnum(collections.defaultdict, enum.Enum):
    A = (int, {"a": 1})


@enum.unique
class Uniq(enum.Enum):
    X = "x"


class RegMeta(type):
    registry = {}

    def __new__(m, n, b, ns, **kw):
        c = super().__new__(m, n, b, ns)
        m.registry[n] = c
        return c

    def __init__(c, n, b, ns, **kw):
        super().__init__(n, b, ns)

    def __iter__(cls):
        return iter([1, 2])

    def __len__(cls):
        return 2

    def __contains__(cls, x):
        return x == 1

    def __getattr__(cls, n):
        if n.startswith("dyn_"):
            return n
        raise AttributeError(n)

    def __eq__(cls, o):
        return cls is o

    def __hash__(cls):
        return 7

    def __instancecheck__(cls, o):
        return o == 5 or type.__instancecheck__(cls, o)


class RA(metaclass=RegMeta):
    pass


class RB(RA, extra=1):
    v = 2


class AbcReg(abc.ABCMeta, RegMeta):
    pass


class AR(metaclass=AbcReg):
    @property
    @abc.abstractmethod
    def p(self): ...


class Slot1:
    __slots__ = {"a": "doc a", "b": "doc b"}


class Slot2(Slot1):
    __slots__ = "c"


class Slot3(Slot2):
    __slots__ = ("__weakref__",)
    d = 4


class Desc:
    def __init__(self, f):
        self.f = f

    def __get__(self, o, t=None):
        return self if o is None else self.f(o)

    def __set__(self, o, v):
        raise AttributeError("ro")


class UseDesc:
    @Desc
    def x(self):
        return 5

    @property
    def name(self):
        return self._n

    @name.setter
    def name(self, v):
        self._n = v

    @staticmethod
    def s():
        return "s"

    @classmethod
    def c(cls):
        return cls.__name__

    __name__ = "odd"
    __doc__ = "docs"


def factory(n):
    class Made:
        k = n

        def get(self):
            return __class__.k + self.extra

        @property
        def extra(self):
            return n

    return Made


M1, M2 = factory(1), factory(2)


class SelfRef:
    children: ClassVar[list] = []
    parent: SelfRef | None = None


SelfRef.me = SelfRef
SelfRef.children.append(SelfRef())


class MyDict(dict):
    def __missing__(self, k):
        return k * 2


class MyList(list):
    tag = 1


class MyStr(str):
    pass


class MyErr(ValueError):
    def __init__(self, a, b):
        super().__init__(a)
        self.b = b


class Counter2(collections.Counter):
    pass


class UD(collections.UserDict):
    pass


class Gen2(Generic[TypeVar("K"), TypeVar("V")]):
    pass


class Proto2(Protocol):
    x: int


class Thr(threading.Thread):
    def run(self):
        self.r = 3


class Cm(contextlib.ContextDecorator):
    def __enter__(self):
        return self

    def __exit__(self, *e):
        return False


class Abc2(collections.abc.Mapping):
    def __getitem__(self, k):
        return k

    def __iter__(self):
        return iter([1])

    def __len__(self):
        return 1


@collections.abc.Sequence.register
class Virtual:
    pass


@functools.singledispatch
def kind_of(x):
    return "object"


@kind_of.register(collections.abc.Sequence)
def _(x):
    return "sequence"


class Hard:
    def __init__(self, name):
        self.name = name
        self.lines = iter(lambda: name, None)
        self.lock = threading.Lock()


copyreg.pickle(Hard, lambda hard: (Hard, (f"copy of {hard.name}",)))
# Of a library, and reduced by a function of the script.
copyreg.pickle(string.Formatter, lambda formatter: (str, ("reduced",)))


class Tmpl(string.Template):
    delimiter = "%"


class JE(json.JSONEncoder):
    def default(self, o):
        return "O"


class Rnd(random.Random):
    def random(self):
        return 0.5


class NpSub(np.ndarray):
    extra = 3


class Node(ctypes.Structure):
    pass


Node._fields_ = [("v", ctypes.c_int), ("next", ctypes.POINTER(Node))]


class Un(ctypes.Union):
    _fields_ = [("i", ctypes.c_int), ("f", ctypes.c_float)]


class Big(ctypes.BigEndianStructure):
    _fields_ = [("i", ctypes.c_uint16)]


class CE(ctypes.c_int):
    pass


SN = types.SimpleNamespace(f=factory, c=RB)


class NT(NamedTuple("NTB", [("a", int)])):
    def plus(self):
        return self.a + 1


class GNT(NamedTuple, Generic[TypeVar("Q")]):
    q: int


class Hidden:
    def __getattr__(self, n):
        return n


class Callable1:
    def __call__(self, x):
        return x + 1


part = functools.partial(factory, 3)


def deco(f):
    @functools.wraps(f)
    def inner(*a):
        return f(*a) + deco.bonus

    deco.seen.append(f.__name__)
    return inner


deco.bonus = 1
deco.seen = []


@deco
def decorated(x, *, k: Node = 3):
    "doc"
    return x + k


@functools.wraps(len)
def counting(x):
    return 10 + len(x)


class Comparing(type):  # noqa: PLW1641  (that is the point)
    def __eq__(cls, other):
        return True


class Compared(metaclass=Comparing):
    v = 4


class AlsoCompared(metaclass=Comparing):
    w = 5


class Beautified:
    v = 3


Beautified.__module__ = "builtins"


def kwd(a, /, b=M1, *args, c=[1], **kw):
    return b.k, c, args, kw


LAM = [lambda i=i: i for i in range(3)]


def agen():
    async def g():
        yield 1

    return g


def meth(self):
    return self.v


RB.meth = meth
RB.bound = staticmethod(len)
chain = collections.ChainMap({"a": 1})
dd = collections.defaultdict(lambda: factory)


class Base9:
    def __init_subclass__(cls, **kw):
        super().__init_subclass__(**kw)
        cls.inited = getattr(cls, "inited", 0) + 1


class Mid9(Base9):
    pass


class Leaf9(Mid9):
    pass


class P9(Base9, Generic[TypeVar("Z")]):
    pass


class Frozen(types.SimpleNamespace):
    pass


class Enum3(str, enum.Enum):
    A = "a"

    def __str__(self):
        return self.value

    @property
    def pretty(self):
        return self.value.title()


CASES = {
    "planet": lambda: (
        Planet.EARTH.value,
        DateEnum.A.year,
        DateEnum.A,
        DecEnum.A + 1,
        TupEnum.A[1],
        repr(DecEnum.A),
    ),
    "denum": lambda: (DEnum.CAT.size, DEnum.DOG.legs, repr(DEnum.DOG), DEnum(Mix(3)) is DEnum.CAT),
    "subenum": lambda: (
        SubEnum.A.hello(),
        SubEnum.first() is SubEnum.A,
        SubEnum._SubEnum__private,
        SubEnum.st(),
        SubEnum.B.value,
        SubEnum.Inner.__name__,
        len(SubEnum),
    ),
    "fnenum": lambda: (FnEnum.ADD(1, 2), FnEnum.SUB(3, 1)),
    "flagi": lambda: (FlagI(7), FlagI.A | FlagI.B, FlagI(5).name, int(FlagI(2))),
    "rights": lambda: (
        BOTH is Rights.READ | Rights.WRITE,
        BOTH.both() is Rights(3),
        NOT_READ is ~Rights.READ,
        ~BOTH,
        list(NOT_READ),
        Rights.usual is Rights(5),
        KEPT is FlagI(10),
    ),
    "filled": lambda: (
        ListEnum.A[:],
        dict(DictEnum.A),
        set(SetEnum.A),
        CountsEnum.A["a"],
        CountsEnum.A["none"],
    ),
    "regmeta": lambda: (
        sorted(RegMeta.registry),
        list(RB),
        len(RB),
        1 in RB,
        RB.dyn_x,
        isinstance(5, RB),
        RB.v,
        RegMeta.registry["RB"] is RB,
        {RB: 1}[RB],
        "AR" in RegMeta.registry,
    ),
    "regnew": lambda: (RegMeta("RC", (RA,), {}).__name__, "RC" in RegMeta.registry),
    "abcreg": lambda: (attempt(AR), AR.__abstractmethods__),
    "slots": lambda: (
        sorted(Slot3.__slots__),
        hasattr(Slot2(), "__dict__"),
        hasattr(Slot3(), "__dict__"),
        Slot3.d,
        weakref.ref(Slot3()) and 1,
        Slot1.a.__name__,
        Slot1.__slots__["a"],
    ),
    "desc": lambda: (
        UseDesc().x,
        UseDesc.s(),
        UseDesc.c(),
        UseDesc.__name__,
        UseDesc().__name__,
        UseDesc.__doc__,
        attempt(lambda: setattr(UseDesc(), "x", 1)),
    ),
    "prop": lambda: (lambda o: (setattr(o, "name", 3), o.name))(UseDesc()),
    "factory": lambda: (M1().get(), M2().get(), M1.__qualname__, M1 is not M2, part().k),
    "selfref": lambda: (
        SelfRef.me is SelfRef,
        type(SelfRef.children[0]) is SelfRef,
        sorted(get_type_hints(SelfRef)),
    ),
    "builtin_subs": lambda: (
        MyDict()["a"],
        MyList([1]).tag,
        MyStr("a").upper(),
        attempt(lambda: (_ for _ in ()).throw(MyErr(1, 2))),
        Counter2("aab").most_common(1),
        UD(a=1)["a"],
    ),
    "gen2": lambda: (str(Gen2[int, str]), Gen2.__parameters__, len(Gen2.__parameters__)),
    "thread": lambda: (lambda t: (t.start(), t.join(), t.r)[2])(Thr()),
    "cm": lambda: Cm().__enter__() is not None,
    "abc2": lambda: (
        Abc2()[3],
        dict(Abc2()),
        isinstance(Abc2(), collections.abc.Mapping),
        1 in Abc2(),
    ),
    "virtual": lambda: (
        isinstance(Virtual(), collections.abc.Sequence),
        issubclass(Virtual, collections.abc.Collection),
        isinstance(Virtual(), collections.abc.Mapping),
        kind_of(Virtual()),
    ),
    "copyreg": lambda: (
        pickle.loads(pickle.dumps(Hard("a"))).name,
        pickle.loads(pickle.dumps(string.Formatter())),
    ),
    "tmpl": lambda: (Tmpl("%a").substitute(a=1), json.dumps({1: RA}, cls=JE), Rnd().random()),
    "np": lambda: np.zeros(2).view(NpSub).extra,
    "ctypes": lambda: (
        Node._fields_[0][0],
        Un(f=1.0).i,
        bytes(Big(1)),
        ctypes.sizeof(Node),
        CE(3).value,
        (ctypes.c_int * 2)(1, 2)[1],
    ),
    "sn": lambda: (SN.f(3).k, SN.c is RB),
    "nt": lambda: (NT(1).plus(), NT(1), GNT(3), GNT.__orig_bases__[0].__name__),
    "hidden": lambda: Hidden().zip,
    "deco": lambda: (
        decorated(1),
        decorated.__wrapped__(1),
        deco.seen,
        decorated.__doc__,
        decorated.__name__,
    ),
    "compared": lambda: (
        Compared.v,
        AlsoCompared.w,
        Compared.__name__,
        attempt(lambda: {Compared}),
    ),
    "builtins": lambda: (counting("ab"), counting.__module__, Beautified().v),
    "kwd": lambda: kwd(1, M2, 3, d=4),
    "lam": lambda: [f() for f in LAM],
    "meth": lambda: (RB().meth(), RB.bound([1])),
    "dd": lambda: (chain["a"], dd["z"](4).k),
    "init9": lambda: (
        Base9.__dict__.get("inited"),
        Mid9.inited,
        Leaf9.inited,
        P9.inited,
        type("N9", (Leaf9,), {}).inited,
    ),
    "frozen": lambda: Frozen(a=1),
    "enum3": lambda: (str(Enum3.A), Enum3.A.pretty, Enum3("a"), f"{Enum3.A}", json.dumps(Enum3.A)),
    "dicts": lambda: {
        c.__name__: sorted(set(c.__dict__) - {"__slotnames__", "__abc__"})
        for c in (Mix, DEnum, SubEnum, RB, AR, Slot3, Gen2, Proto2, NT, Enum3, Leaf9, SelfRef)
    },
    "mods": lambda: (decorated.__module__, M1.get.__qualname__, SubEnum.__module__),
}


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
