from __future__ import annotations

import builtins
import pickle
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts import ROOT, both_ways, said_by_script

from seqloader.errors import WorkerError, WorkerLostError, WorkerTraceback, as_raisable
from seqloader.executors.process.wire import failures


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """The error as a worker has it: with a traceback."""
    try:
        if cause is not None:
            raise error from cause
        raise error
    except BaseException as caught:
        return caught


def through_the_wire(error: BaseException) -> BaseException:
    return failures.unpack(failures.pack(raised(error)))


def attributes(error: BaseException) -> dict[str, Any]:
    return {name: value for name, value in vars(error).items() if name != "__notes__"}


class TwoArguments(Exception):
    def __init__(self, path: str, line: int) -> None:
        super().__init__(f"{path}:{line}")
        self.path, self.line = path, line


class KeywordOnly(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Decorates(Exception):
    """Pickles without an error, and wrongly."""

    def __init__(self, path: str) -> None:
        super().__init__(f"cannot read {path}")


class PicklesAsAnother(Exception):
    def __reduce__(self) -> Any:
        return ValueError, self.args


class TwoArgumentOSError(OSError):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(5, reason, path)


class TwoArgumentUnicodeError(UnicodeDecodeError):
    def __init__(self, data: bytes, where: int) -> None:
        super().__init__("utf-8", data, where, where + 1, "bad")


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, *, code: int) -> None:
        super().__init__("slotted")
        self.code = code


class Frozen(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__("frozen")
        self.__dict__["code"] = code

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


class OwnNew(Exception):
    def __new__(cls, *, code: int) -> OwnNew:
        return super().__new__(cls, code)

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")


class Group(ExceptionGroup[Exception]):
    pass


def with_attribute(error: BaseException, **fields: object) -> BaseException:
    vars(error).update(fields)
    return error


# The type survives


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x", 3),
        KeyError("missing"),
        IndexError(),
        FileNotFoundError(2, "No such file", "a.png"),
        OSError(2, "No such file", "a.png", None, "b.png"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        UnicodeEncodeError("ascii", "\udc80", 0, 1, "bad"),
        SyntaxError("bad", ("a.py", 3, 4, "x = = 1")),
        ImportError("no", name="lib", path="/lib"),
        SystemExit(3),
        KeyboardInterrupt(),
        MemoryError("full"),
        RecursionError("deep"),
        TwoArguments("a.png", 3),
        KeywordOnly(code=5),
        Decorates("a.png"),
        TwoArgumentOSError("a.png", "broken"),
        TwoArgumentUnicodeError(b"ab\xff", 2),
        Slotted(code=5),
        Frozen(code=5),
        OwnNew(code=5),
        with_attribute(ValueError("x"), sample=7),
        ValueError("\udc80"),
        ValueError("x" * 10_000_000),
    ],
    ids=lambda error: type(error).__name__,
)
def test_type_arguments_and_attributes_survive(error: BaseException) -> None:
    arrived = through_the_wire(error)

    assert type(arrived) is type(error)
    assert arrived.args == error.args
    assert str(arrived) == str(error)
    assert attributes(arrived) == attributes(error)
    assert getattr(arrived, "code", None) == getattr(error, "code", None)
    assert getattr(arrived, "__notes__", []) == []


def test_fields_of_seqloaders_own_errors_survive() -> None:
    facts: dict[str, Any] = {"epoch": 1, "position": 2, "index": 3, "attempts": 3, "pid": 4}
    error = WorkerLostError("x", exitcode=-9, peak_rss_bytes=None, reason="died", **facts)

    arrived = through_the_wire(error)

    assert type(arrived) is WorkerLostError
    assert attributes(arrived) == attributes(error)


def test_fields_that_only_the_built_in_knows_survive() -> None:
    missing, broken = map(
        through_the_wire, (FileNotFoundError(2, "x", "a.png"), TwoArgumentOSError("b.png", "y"))
    )
    unicode = through_the_wire(TwoArgumentUnicodeError(b"ab\xff", 2))
    syntax = through_the_wire(SyntaxError("bad", ("a.py", 3, 4, "x = = 1")))

    assert isinstance(missing, OSError) and (missing.errno, missing.filename) == (2, "a.png")
    assert isinstance(broken, OSError) and (broken.errno, broken.filename) == (5, "b.png")
    assert isinstance(unicode, UnicodeDecodeError) and unicode.object == b"ab\xff"
    assert isinstance(syntax, SyntaxError) and syntax.lineno == 3


def test_arrays_in_an_exception_arrive() -> None:
    error = with_attribute(ValueError("bad batch", np.arange(3)), batch=np.ones(2))

    arrived = through_the_wire(error)

    assert type(arrived) is ValueError
    assert arrived.args[1].tolist() == [0, 1, 2]
    assert arrived.batch.tolist() == [1, 1]  # type: ignore[attr-defined]


def test_every_built_in_exception_survives() -> None:
    special = (BaseExceptionGroup, UnicodeError, StopIteration, StopAsyncIteration, GeneratorExit)
    kinds = {
        kind
        for kind in vars(builtins).values()
        if isinstance(kind, type)
        and issubclass(kind, BaseException)
        and not issubclass(kind, special)
    }

    arrived = {type(through_the_wire(kind("x"))) for kind in kinds}

    assert arrived == kinds
    assert len(kinds) > 50


def test_class_defined_in_a_function_keeps_its_name_and_base() -> None:
    class Local(KeyError):
        pass

    arrived = through_the_wire(Local("x"))

    assert isinstance(arrived, KeyError)
    assert type(arrived).__qualname__ == Local.__qualname__


# What cannot travel


def test_attribute_that_cannot_be_pickled_is_left_behind_with_a_note() -> None:
    error = with_attribute(KeywordOnly(code=5), lock=threading.Lock(), sample=7)

    arrived = through_the_wire(error)

    assert type(arrived) is KeywordOnly
    assert attributes(arrived) == {"code": 5, "sample": 7}
    (note,) = arrived.__notes__
    assert note.startswith("seqloader: left behind in the worker: lock (")
    assert "_thread.lock" in note


def test_argument_that_cannot_be_pickled_is_replaced_with_a_note() -> None:
    arrived = through_the_wire(ValueError("bad", threading.Lock()))

    assert type(arrived) is ValueError
    assert arrived.args == ("bad", "<_thread.lock>")
    assert "args[1]" in arrived.__notes__[0]


def test_class_that_cannot_be_pickled_becomes_a_worker_error() -> None:
    lock = threading.Lock()

    class Local(Exception):
        def method(self) -> None:
            lock.acquire()

    arrived = through_the_wire(Local("what it says"))

    assert type(arrived) is WorkerError
    assert arrived.type_name.endswith("Local")
    assert arrived.text == "what it says"
    assert "its class cannot be pickled" in arrived.why
    assert "what it says" in str(arrived)
    assert isinstance(arrived.__cause__, WorkerTraceback)


def test_class_that_the_consumer_cannot_import_becomes_a_worker_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_in_the_worker.py").write_text("class Odd(Exception): pass")
    monkeypatch.syspath_prepend(tmp_path)
    data = failures.pack(raised(__import__("only_in_the_worker").Odd("what it says")))
    monkeypatch.undo()
    monkeypatch.delitem(sys.modules, "only_in_the_worker")

    arrived = failures.unpack(data)

    assert type(arrived) is WorkerError
    assert (arrived.type_name, arrived.text) == ("only_in_the_worker.Odd", "what it says")
    assert "No module named" in arrived.why


# Hostile user code. What a method does is decided by `does`, so that it can differ on both sides.

EVILS = [
    ValueError("evil"),
    SystemExit(1),
    KeyboardInterrupt(),
    GeneratorExit(),
    StopIteration(),
    RecursionError(),
    MemoryError(),
]
does: Any = None


def misbehave() -> Any:
    if isinstance(does, BaseException):
        raise does
    return does


class EvilReduce(Exception):
    def __reduce__(self) -> Any:
        return misbehave()


class EvilSetstate(Exception):
    def __reduce__(self) -> Any:
        return EvilSetstate, (), {"a": 1}

    def __setstate__(self, state: object) -> None:
        misbehave()


class EvilRebuilt(Exception):
    def __reduce__(self) -> Any:
        return misbehave, ()


class EvilStr(Exception):
    def __str__(self) -> str:
        return misbehave()  # type: ignore[no-any-return]

    __repr__ = __str__


class EvilInit(Exception):
    def __init__(self, *args: object) -> None:
        if args == ("again",):
            misbehave()
        super().__init__("again")


class EvilAttributes(Exception):
    def __getattribute__(self, name: str) -> Any:
        return misbehave()


class EvilText(str):
    def __str__(self) -> str:
        return self

    def __reduce__(self) -> Any:
        return misbehave, ()


HOSTILE = [EvilReduce, EvilSetstate, EvilRebuilt, EvilStr, EvilInit, EvilAttributes]


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize(
    "deed", [*EVILS, None, 3, "nonsense", (), (int, "x"), int], ids=lambda deed: repr(deed)[:20]
)
def test_hostile_code_in_the_worker_is_survived(
    kind: type[Exception], deed: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = raised(kind("x"))
    monkeypatch.setattr(sys.modules[__name__], "does", deed)
    data = failures.pack(error)
    monkeypatch.undo()

    arrived = failures.unpack(data)

    assert type(arrived) is kind


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("deed", [*EVILS, None, 3], ids=repr)
def test_hostile_code_in_the_consumer_is_survived(
    kind: type[Exception], deed: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "does", (ValueError, ("fine",)))
    data = failures.pack(raised(kind("x")))
    monkeypatch.setattr(sys.modules[__name__], "does", deed)

    arrived = failures.unpack(data)

    assert type(arrived) in (kind, WorkerError)


def test_text_that_is_a_hostile_str_is_made_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "does", EvilText("sly"))
    data = failures.pack(raised(EvilStr("x")))
    monkeypatch.setattr(sys.modules[__name__], "does", SystemExit(1))

    assert b"EvilText" not in data
    assert type(failures.unpack(data)) is EvilStr


@pytest.mark.parametrize("data", [b"", b"garbage", pickle.dumps(3), pickle.dumps(((), "x"))])
def test_bytes_that_are_no_failure_become_a_worker_error(data: bytes) -> None:
    assert type(failures.unpack(data)) is WorkerError


# The chain


def test_cause_context_and_suppression_survive() -> None:
    inner = raised(KeyError("first"))
    middle = raised(TwoArguments("a", 1), cause=inner)
    outer = with_context(ValueError("last"), middle)

    arrived = through_the_wire(outer)

    assert arrived.__cause__ is None
    assert type(arrived.__context__) is TwoArguments
    assert arrived.__suppress_context__ is False
    assert type(arrived.__context__.__cause__) is KeyError
    assert arrived.__context__.__suppress_context__ is True
    assert isinstance(arrived.__context__.__cause__.__cause__, WorkerTraceback)


def with_context(error: BaseException, context: BaseException) -> BaseException:
    error.__context__ = context
    return error


def test_suppressed_context_stays_suppressed_and_the_traceback_is_still_shown() -> None:
    error = with_context(ValueError("last"), KeyError("hidden"))
    error.__suppress_context__ = True

    arrived = through_the_wire(error)

    assert type(arrived.__context__) is KeyError
    assert arrived.__suppress_context__ is True
    assert isinstance(arrived.__cause__, WorkerTraceback)


def test_same_exception_as_cause_and_context_stays_one() -> None:
    inner = KeyError("x")
    error = with_context(raised(ValueError("y"), cause=inner), inner)

    arrived = through_the_wire(error)

    assert type(arrived.__cause__) is KeyError
    assert arrived.__context__ is arrived.__cause__


def test_circular_chain_arrives_without_its_circle() -> None:
    first, second = ValueError(1), KeyError(2)
    first.__context__, second.__context__ = second, first
    second.__cause__ = second

    arrived = through_the_wire(first)

    assert type(arrived.__context__) is KeyError
    assert arrived.__context__.__context__ is None
    assert isinstance(arrived.__context__.__cause__, WorkerTraceback)
    assert "ValueError: 1" in "".join(traceback.format_exception(arrived))


def test_long_chain_is_cut_and_its_start_kept() -> None:
    error: BaseException = ValueError(0)
    for number in range(1, 5000):
        error = with_context(ValueError(number), error)

    arrived = through_the_wire(error)

    numbers = []
    while arrived is not None and not isinstance(arrived, WorkerTraceback):
        numbers.append(arrived.args[0])
        arrived = arrived.__cause__ or arrived.__context__  # type: ignore[assignment]
    assert numbers == list(range(4999, 4799, -1))


def test_awkward_link_costs_the_others_nothing() -> None:
    arrived = through_the_wire(
        with_context(
            ValueError("x"), with_context(unpicklable_class()("odd"), TwoArguments("a", 1))
        )
    )

    assert type(arrived) is ValueError
    assert type(arrived.__context__) is WorkerError
    assert type(arrived.__context__.__context__) is TwoArguments


def unpicklable_class() -> type[Exception]:
    lock = threading.Lock()
    return type("Odd", (Exception,), {"lock": lock})


def test_notes_survive_even_where_they_are_no_text() -> None:
    error = ValueError("x")
    error.add_note("while reading a.png")
    error.__notes__.append(threading.Lock())  # type: ignore[arg-type]

    arrived = through_the_wire(error)

    assert type(arrived) is ValueError
    first, second = arrived.__notes__
    assert first == "while reading a.png"
    assert "_thread.lock" in second


def test_notes_arrive_once() -> None:
    error = ValueError("x")
    error.add_note("while reading a.png")

    assert through_the_wire(error).__notes__ == ["while reading a.png"]


def test_exception_that_pickles_as_another_type_keeps_its_own() -> None:
    arrived = through_the_wire(PicklesAsAnother("x"))

    assert type(arrived) is PicklesAsAnother
    assert arrived.args == ("x",)


@pytest.mark.parametrize("kind", [ExceptionGroup, Group, BaseExceptionGroup])
def test_group_arrives_with_its_members_and_their_chains(kind: type[Any]) -> None:
    nested = ExceptionGroup("inner", [raised(KeyError("k"), cause=OSError(2, "x", "f"))])
    group = with_attribute(kind("outer", [TwoArguments("a", 1), nested]), sample=7)
    group.add_note("a note")

    arrived: Any = through_the_wire(group)

    assert type(arrived) is type(group)
    assert (arrived.message, arrived.sample, arrived.__notes__) == ("outer", 7, ["a note"])
    first, second = arrived.exceptions
    assert type(first) is TwoArguments
    assert type(second) is ExceptionGroup
    assert type(second.exceptions[0]) is KeyError
    assert second.exceptions[0].__cause__.filename == "f"


def test_group_keeps_the_place_of_a_member_that_cannot_travel() -> None:
    arrived: Any = through_the_wire(ExceptionGroup("g", [unpicklable_class()("x"), ValueError(1)]))

    assert [type(member) for member in arrived.exceptions] == [WorkerError, ValueError]


def test_group_of_base_exceptions_arrives() -> None:
    arrived: Any = through_the_wire(BaseExceptionGroup("g", [KeyboardInterrupt(), ValueError(1)]))

    assert type(arrived) is BaseExceptionGroup
    assert [type(member) for member in arrived.exceptions] == [KeyboardInterrupt, ValueError]


def test_very_large_group_says_how_many_were_cut() -> None:
    arrived: Any = through_the_wire(ExceptionGroup("g", [ValueError(i) for i in range(1000)]))

    assert len(arrived.exceptions) == 199
    assert arrived.__notes__ == ["seqloader: 801 more exceptions of this group were cut"]


# The traceback


def fails_inside() -> None:
    try:
        raise KeyError("the first")
    except KeyError as error:
        raise ValueError("the last") from error


def caught_inside() -> BaseException:
    try:
        fails_inside()
    except ValueError as error:
        return error
    raise AssertionError


def test_workers_whole_traceback_ends_the_chain() -> None:
    arrived = failures.unpack(failures.pack(caught_inside()))

    assert arrived.__cause__ is not None
    last = arrived.__cause__.__cause__
    assert isinstance(last, WorkerTraceback)
    for text in ("KeyError: 'the first'", "ValueError: the last", "in fails_inside"):
        assert text in str(last)


def test_frames_of_the_workers_own_loop_are_left_out() -> None:
    own = {"__name__": "seqloader.executors.process.worker.loop", "call": fails_inside}
    exec(compile("def loop():\n    call()", "loop.py", "exec"), own)
    try:
        own["loop"]()  # type: ignore[operator]
    except ValueError as caught:
        caught.__traceback__ = caught.__traceback__.tb_next  # type: ignore[union-attr]
        error = caught

    text = str(failures.unpack(failures.pack(error)).__cause__.__cause__)  # type: ignore[union-attr]

    assert "in fails_inside" in text
    assert "loop.py" not in text


def test_traceback_with_no_frames_but_ours_is_kept() -> None:
    own: dict[str, Any] = {"__name__": "seqloader.executors.process.worker.loop"}
    exec(compile("def loop():\n    1 / 0", "loop.py", "exec"), own)
    try:
        own["loop"]()
    except ZeroDivisionError as caught:
        caught.__traceback__ = caught.__traceback__.tb_next  # type: ignore[union-attr]
        error = caught

    assert "loop.py" in str(failures.unpack(failures.pack(error)).__cause__)


def test_long_traceback_is_cut_in_its_middle() -> None:
    arrived = through_the_wire(ValueError("start" + "x" * 10_000_000 + "end"))

    text = str(arrived.__cause__)
    assert len(text) < 41_000
    assert "start" in text
    assert text.rstrip().endswith("end")
    assert "characters cut" in text
    assert len(str(arrived)) == 10_000_008


# Exceptions that would end a loop


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration, GeneratorExit])
def test_exception_that_would_end_a_loop_is_wrapped(kind: type[BaseException]) -> None:
    arrived = through_the_wire(kind("x"))

    assert type(arrived) is RuntimeError
    assert str(arrived) == f"__getitem__ raised {kind.__name__}"
    assert type(arrived.__cause__) is kind
    assert arrived.__cause__.args == ("x",)
    assert isinstance(arrived.__cause__.__cause__, WorkerTraceback)


def test_any_other_exception_is_raisable_as_it_is() -> None:
    error = KeyError(1)

    assert as_raisable(error) is error


# Real processes

WORKER = """
import pickle, sys
sys.path[:0] = {path!r}
from seqloader.executors.process.wire import failures
make = pickle.loads(sys.stdin.buffer.read())
answers = []
for kind in range(4):
    try:
        make(kind)
    except BaseException as error:
        answers.append(failures.pack(error))
pickle.dump(answers, sys.stdout.buffer)
"""

PARENT = """
import pickle, subprocess, sys
sys.path[:0] = {path!r}
from seqloader.executors.process.wire.definitions.pickler import dumps as send
from seqloader.executors.process.wire import failures

class Plain(Exception):
    pass

class Two(Plain):
    def __init__(self, path, line):
        super().__init__(f"{{path}}:{{line}}")
        self.path, self.line = path, line

class Reduced(Plain):
    def __reduce__(self):
        return rebuild, self.args

def rebuild(*args):
    return Reduced(*args)

def local():
    class Local(Plain):
        pass
    return Local

Local = local()

def make(kind):
    raise [Plain("x"), Two("a.png", 3), Reduced("y"), Local("z")][kind] from Two("b", 1)

sent = send(make)
done = subprocess.run([sys.executable, "-c", {worker!r}], input=sent, capture_output=True)
if done.returncode:
    sys.exit(done.stderr.decode())
arrived = [failures.unpack(data) for data in pickle.loads(done.stdout)]
assert [type(error) for error in arrived] == [Plain, Two, Reduced, Local], arrived
assert all(type(error.__cause__) is Two for error in arrived)
assert vars(arrived[1]) == {{"path": "a.png", "line": 3}}
assert [str(error) for error in arrived] == ["x", "a.png:3", "y", "z"]
assert "in make" in str(arrived[0].__cause__.__cause__)
print("fine")
"""


@both_ways
def test_exception_of_main_arrives_as_one_of_the_consumers_own_class(
    how: str, tmp_path: Path
) -> None:
    path = [str(ROOT)]
    source = PARENT.format(path=path, worker=WORKER.format(path=path))

    assert said_by_script(source, how, tmp_path) == ("fine\n", "")
