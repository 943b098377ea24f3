"""The message of what cannot be pickled names the way to it, and one way out."""

from __future__ import annotations

import collections
import dataclasses
import functools
import gc
import importlib
import pickle
import threading
import types
from pathlib import Path

import numpy as np
import pytest
from interpreter import run_code, run_python

from seqloader import OrderedEnqueuer
from seqloader.executors.process.consumer.sending import pickle_state
from seqloader.executors.process.wire import pickling

ROOT = Path(__file__).parents[2]
LOCK = threading.Lock()


class Holder:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def method(self):
        pass


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    number: int
    lock: object


class Slotted:
    __slots__ = ("lock", "value")


def slotted():
    made = Slotted()
    made.value, made.lock = 1, LOCK
    return made


class Listed:
    def __getstate__(self):
        return [1, LOCK]

    def __setstate__(self, state):
        pass


class Rebuilt:
    def __reduce__(self):
        return list, ((1, LOCK),)


def held():
    lock = LOCK
    return lambda: lock


def said_of(sequence):
    with pytest.raises(Exception) as caught:
        pickle_state(sequence)
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda: {"a": [1, {"b": LOCK}]}, '.x["a"][1]["b"]'),
        (lambda: {(1, "a"): LOCK}, ".x[(1, 'a')]"),
        (lambda: Frozen(1, LOCK), ".x.lock"),
        (lambda: collections.deque([1, LOCK]), ".x[1]"),
        (lambda: collections.namedtuple("Pair", "a b")(1, LOCK), ".x.b"),
        (lambda: functools.partial(print, 1, LOCK), ".x.args[1]"),
        (lambda: functools.partial(print, end=LOCK), '.x.keywords["end"]'),
        (lambda: Holder(lock=LOCK).method, ".x.__self__.lock"),
        (lambda: LOCK.acquire, ".x.__self__"),
        (lambda: lambda lock=LOCK: lock, ".x (the default of its argument lock)"),
        (lambda: lambda *, lock=LOCK: lock, ".x (the default of its argument lock)"),
        (held, ".x (its variable lock)"),
        (lambda: {LOCK}, ".x (an element)"),
        (lambda: {LOCK: 1}, ".x (a key)"),
        (lambda: iter([LOCK]), ".x (what it runs over)[0]"),
        (Listed, ".x (what its __getstate__ returns)[1]"),
        (Rebuilt, ".x (argument 0 of its __reduce__)[1]"),
        (lambda: ValueError("x", LOCK), ".x.args[1]"),
        (lambda: property(held()), ".x.fget (its variable lock)"),
        (lambda: types.MappingProxyType({"a": LOCK}), '.x["a"]'),
        (lambda: type("Some", (set,), {})([LOCK]), ".x (its elements)[0]"),
        (lambda: type("Some", (dict,), {})(a=LOCK), '.x["a"]'),
        (slotted, ".x.lock"),
        (lambda: np.array([0, LOCK], dtype=object), ".x.flat[1]"),
    ],
)
def test_way_to_the_culprit_is_named_on_both_ways(make, place):
    holder = Holder(x=make())

    with pytest.raises(pickle.PicklingError) as caught:
        pickling.dumps(holder)

    assert said_of(holder).startswith(f"sequence{place}, a _thread.lock, cannot")
    assert str(caught.value).startswith(f"batch{place}, a _thread.lock, cannot be pickled")
    assert isinstance(caught.value.__cause__, Exception)


@pytest.mark.parametrize("size", [8, 60_000])
def test_arrays_before_the_culprit_are_not_blamed_and_their_buffers_can_be_collected(size):
    sequence = types.SimpleNamespace()
    sequence.before = np.arange(size)[::-1]
    sequence.culprit = threading.Lock()

    said = said_of(sequence)

    gc.collect()
    assert said.startswith("sequence.culprit, a _thread.lock, cannot be pickled")


def test_a_process_is_named_and_not_the_lock_inside_it():
    assert "sequence.x, a threading.Thread, cannot" in said_of(Holder(x=threading.Thread()))


def test_the_search_goes_deeper_than_python_may_call():
    nest = [LOCK]
    for _ in range(400):
        nest = [nest]

    assert "[0], a _thread.lock, cannot" in said_of(Holder(x=nest))


def test_what_is_there_twice_and_leads_back_is_searched_once():
    parent, child = Holder(), Holder()
    parent.child, child.parent = child, parent
    parent.lock = LOCK

    assert said_of(Holder(x=parent, y=child)).startswith("sequence.x.lock, a _thread.lock")


class Ends:
    def __init__(self, kind):
        self.kind = kind

    def __getstate__(self):
        raise self.kind("the user's")


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration, GeneratorExit])
def test_a_state_that_raises_what_python_reads_as_an_end_is_named(kind):
    said = said_of(Holder(x=[Ends(kind)]))

    assert said.startswith(f"the pickling of sequence.x[0] raised {kind.__name__}\n")
    assert "sequence.x[0], a " in said
    assert "leave it out in __getstate__" in said


class Hostile:
    """Raises wherever code of a class may run."""

    def __init__(self):
        object.__setattr__(self, "lock", LOCK)

    def __getattr__(self, name):
        raise KeyError(name)

    def __eq__(self, other):
        raise RuntimeError("compared")

    def __hash__(self):
        return 1

    def __repr__(self):
        raise RuntimeError("shown")


@pytest.mark.parametrize("make", [Hostile, lambda: {Hostile(): 1}, lambda: [1, {Hostile()}]])
def test_objects_that_raise_at_every_question_do_not_end_the_search(make):
    assert ".lock, a _thread.lock, cannot be pickled" in said_of(Holder(x=make()))


def test_each_object_is_asked_once_for_its_state_in_the_search():
    asked = []

    class Counting:
        def __getstate__(self):
            asked.append(1)
            return {}

    said_of(Holder(x=[Counting(), LOCK]))

    assert len(asked) <= 2  # pickle's own question, and the search's


SCRIPT = """
import sqlite3, sys, threading
sys.path[:0] = {path!r}
from seqloader import OrderedEnqueuer, Sequence

lock = threading.Lock()
connection = sqlite3.connect(":memory:")
file = open({file!r})
config = {{"locks": [threading.Lock()]}}
numbers = (n for n in range(3))

def helper():
    return lock

class Base(Sequence):
    def __len__(self):
        return 1
    def __getitem__(self, index):
        return index

class Direct(Base):
    def __getitem__(self, index):
        with lock:
            return index

class Connected(Base):
    def __getitem__(self, index):
        return connection.execute("select 1").fetchone()

class Reading(Base):
    def __getitem__(self, index):
        return file.readline()

class Configured(Base):
    def __getitem__(self, index):
        return config["locks"]

class Drawing(Base):
    def __getitem__(self, index):
        return next(numbers)

class Indirect(Base):
    def __getitem__(self, index):
        return helper()

class Static(Base):
    @staticmethod
    def locked():
        return lock

class Derived(Base):
    @property
    def locked(self):
        return lock

class Inner(Base):
    def __getitem__(self, index):
        return [(lambda: lock)() for _ in range(2)]

class Attribute(Base):
    lock = threading.Lock()

class Default(Base):
    def __getitem__(self, index, lock=lock):
        return index

for cls in (Direct, Connected, Reading, Configured, Drawing, Indirect, Static, Derived, Inner,
            Attribute, Default):
    try:
        OrderedEnqueuer(cls(), workers=1).start()
    except TypeError as error:
        print(str(error).partition(", cannot be pickled")[0], end="|")
        print(str(error).partition("Workers get a pickle of the Sequence: ")[2])
"""

IN_SCRIPTS = {
    "Direct": ("the global `lock`, a _thread.lock, used by Direct.__getitem__", "Direct.__get"),
    "Connected": (
        "the global `connection`, a sqlite3.Connection, used by Connected.__getitem__",
        "Make it inside Connected.__getitem__",
    ),
    "Reading": (
        "the global `file`, an _io.TextIOWrapper, used by Reading.__getitem__",
        "into a module that workers can import",
    ),
    "Configured": (
        'the global `config["locks"][0]`, a _thread.lock, used by Configured.__getitem__',
        "Make it inside Configured.__getitem__",
    ),
    "Drawing": ("the global `numbers`, a generator, used by Drawing.__getitem__", "make it a list"),
    "Indirect": ("the global `lock`, a _thread.lock, used by helper", "Make it inside helper"),
    "Static": ("the global `lock`, a _thread.lock, used by Static.locked", "Static.locked"),
    "Derived": ("the global `lock`, a _thread.lock, used by Derived.locked", "Derived.locked"),
    "Inner": ("the global `lock`, a _thread.lock, used by Inner.__getitem__", "Inner.__getitem__"),
    "Attribute": (
        "the class attribute Attribute.lock, a _thread.lock",
        "Make it in __getitem__ when it is first used",
    ),
    "Default": (
        "Default.__getitem__ (the default of its argument lock), a _thread.lock",
        "make it inside Default.__getitem__",
    ),
}


@pytest.fixture(scope="module")
def said_by_script(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    script = folder / "train.py"
    script.write_text(SCRIPT.format(path=[str(ROOT)], file=str(script)))
    done = run_python(script, cwd=folder)
    assert done.stderr == ""
    return dict(zip(IN_SCRIPTS, done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize("cls", IN_SCRIPTS)
def test_what_a_script_has_beside_its_classes_is_named_with_its_user(cls, said_by_script):
    place, way_out = IN_SCRIPTS[cls]
    said, _, advice = said_by_script[cls].partition("|")

    assert said == place
    assert way_out in advice


def test_search_in_a_script_runs_from_the_command_line_too(tmp_path):
    source = """
        import threading
        from seqloader import OrderedEnqueuer
        lock = threading.Lock()
        class Locked:
            def __len__(self): return 1
            def __getitem__(self, index): return lock
        try:
            OrderedEnqueuer(Locked(), workers=1).start()
        except TypeError as error:
            print(str(error)[:30])
    """

    done = run_code(source, cwd=tmp_path)

    assert done.stdout == "the global `lock`, a _thread.l\n"


def test_what_keeps_worker_init_from_travelling_is_named():
    def init(slot, lock=LOCK):
        pass

    with pytest.raises(TypeError) as caught:
        OrderedEnqueuer([1], workers=1, worker_init=init).start()

    assert str(caught.value).startswith(
        "worker_init (the default of its argument lock), a _thread.lock, cannot be pickled"
    )
    assert "Workers get a pickle of worker_init" in str(caught.value)


def test_what_a_library_holds_is_no_matter_of_getstate(tmp_path, monkeypatch):
    packages = tmp_path / "site-packages"
    packages.mkdir()
    (packages / "library_with_locks.py").write_text(
        "import threading\nclass Iterator:\n    def __init__(self):\n"
        "        self.lock = threading.Lock()\n"
    )
    monkeypatch.syspath_prepend(packages)
    theirs = importlib.import_module("library_with_locks").Iterator()

    said = said_of({"inner": collections.deque([theirs])})

    assert said.startswith('sequence["inner"][0].lock, a _thread.lock, cannot be pickled')
    assert "Iterator is a class of a library" in said
    assert "start_method='fork'" in said
    assert "__getstate__" not in said
