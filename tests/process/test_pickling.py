from __future__ import annotations

import collections
import dataclasses
import enum
import importlib.util
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from interpreter import run_code
from scripts import ROOT, both_ways, said_by_script

from seqloader.executors.process.wire import pickling


def through_the_wire(obj: object) -> Any:
    data, buffers = pickling.dumps(obj)
    return pickling.loads(data, [bytearray(buffer.raw()) for buffer in buffers])


class Point(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Sample:
    pixels: Any
    label: Any = 0


class Colour(enum.Enum):
    RED = 1


class Table(dict):  # type: ignore[type-arg]
    pass


# Arrays


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4),
        np.arange(12.0).reshape(3, 4).T,
        np.arange(48).reshape(4, 12)[::2, 1::3],
        np.array(5),
        np.empty((0, 3), np.float32),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array(["2026-01-01"], dtype="datetime64[D]"),
        np.array(["ab", "c"]),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_array_arrives_equal_and_writable(array: Any) -> None:
    arrived = through_the_wire({"x": array})["x"]

    np.testing.assert_array_equal(arrived, array)
    assert arrived.dtype == array.dtype
    assert arrived.shape == array.shape
    assert arrived.flags.writeable


@pytest.mark.parametrize(
    "array", [np.zeros((1000, 100)), np.zeros((1000, 100)).T, np.zeros((1000, 200))[:, ::2]]
)
def test_memory_of_an_array_stays_outside_the_pickle(array: Any) -> None:
    data, buffers = pickling.dumps([array])

    assert len(data) < 500
    assert [buffer.raw().nbytes for buffer in buffers] == [800_000]


def test_object_array_arrives_with_its_objects() -> None:
    array = np.array([{"a": 1}, None, "x"], dtype=object)

    assert through_the_wire(array).tolist() == [{"a": 1}, None, "x"]


def test_whole_pickle_needs_no_buffers() -> None:
    data = pickling.dumps_whole({"x": np.arange(5)})

    assert pickling.loads(data)["x"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "nest",
    [
        Point(1, (2, [3])),
        Sample([1], "cat"),
        Table(a=1),
        collections.OrderedDict(b=1, a=2),
        Colour.RED,
        {1, 2},
        (None, type(None), ..., NotImplemented, 1j, "\udc80", b"x", np.float32(3)),
    ],
    ids=lambda nest: type(nest).__name__,
)
def test_container_types_come_back_exactly(nest: Any) -> None:
    arrived = through_the_wire(nest)

    assert arrived == nest
    assert type(arrived) is type(nest)


def test_lambda_beside_an_array_leaves_the_array_outside() -> None:
    data, buffers = pickling.dumps({"x": np.zeros(100_000), "f": lambda x: x + 1})

    arrived = pickling.loads(data, [bytearray(buffer.raw()) for buffer in buffers])
    assert arrived["f"](2) == 3
    assert len(buffers) == 1
    assert len(data) < 5000


# What cannot be pickled

LOCK = threading.Lock()


def test_open_file_is_refused_and_not_sent_as_its_contents() -> None:
    with Path(__file__).open() as file, pytest.raises(pickle.PicklingError) as caught:
        pickling.dumps({"f": file})

    assert 'batch["f"], an _io.TextIOWrapper' in str(caught.value)
    assert "name or its contents" in str(caught.value)


def test_name_of_the_whole_can_be_given() -> None:
    with pytest.raises(pickle.PicklingError, match=r"^batch, a _thread\.lock, cannot"):
        pickling.dumps(LOCK)
    with pytest.raises(pickle.PicklingError, match=r"^sequence\[0\], a _thread\.lock"):
        pickling.dumps([LOCK], name="sequence")


def test_too_deep_a_nest_is_said_to_be_that() -> None:
    nest: list[Any] = []
    for _ in range(200_000):
        nest = [nest]

    try:
        with pytest.raises(pickle.PicklingError, match="nested too deeply"):
            pickling.dumps(nest)
    finally:
        while nest:
            nest = nest.pop()


class RaisesIn:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        raise self.error


def test_what_a_users_reduce_raises_is_the_cause() -> None:
    with pytest.raises(pickle.PicklingError, match=r"batch\[0\].*ValueError: mine") as caught:
        pickling.dumps([RaisesIn(ValueError("mine"))])
    assert type(caught.value.__cause__) is ValueError


def test_memory_error_is_not_blamed_on_the_batch() -> None:
    with pytest.raises(MemoryError):
        pickling.dumps([RaisesIn(MemoryError())])


# Classes that exist twice: real processes

WORKER = """
import pickle, sys
sys.path[:0] = {path!r}
from seqloader.executors.process.wire import pickling
make = pickle.loads(sys.stdin.buffer.read())
answers = []
for step in range(2):  # twice: the second meets what the first left behind
    data, buffers = pickling.dumps(make())
    answers.append((data, [bytes(buffer.raw()) for buffer in buffers]))
pickle.dump(answers, sys.stdout.buffer)
"""

PARENT = """
import dataclasses, enum, pickle, subprocess, sys, typing
sys.path[:0] = {path!r}
from seqloader.executors.process.wire.definitions.pickler import dumps as send
import numpy as np
from seqloader.executors.process.wire import pickling

def ask(make, forget=lambda: None):
    sent = send(make)
    done = subprocess.run([sys.executable, "-c", {worker!r}], input=sent, capture_output=True)
    if done.returncode:
        sys.exit(done.stderr.decode())
    forget()
    for data, buffers in pickle.loads(done.stdout):
        yield pickling.loads(data, [bytearray(buffer) for buffer in buffers])

"""

MAIN_CLASSES = """
BIG = np.zeros(1_000_000)

class Plain:
    def __init__(self):
        self.x = np.arange(3)
    def method(self):
        return BIG.size

@dataclasses.dataclass
class Data:
    x: int

class Named(typing.NamedTuple):
    x: int

class Colour(enum.Enum):
    RED = 1

class Outer:
    class Inner:
        pass

class Failure(Exception):
    pass

class Box(dict):
    pass

class Rebuilt:
    def __reduce__(self):
        return rebuild, ()

def rebuild():
    return Rebuilt()

KINDS = [Plain, Data, Named, Colour, Outer.Inner, Failure, Box, Rebuilt]

def make():
    values = [Plain(), Data(1), Named(1), Colour.RED, Outer.Inner(), Failure(1), Box(a=1)]
    return [*values, Rebuilt(), Plain, rebuild]

before = [dict(vars(kind)) for kind in KINDS]
for *values, kind, function in ask(make):
    assert [type(value) for value in values] == KINDS, values
    assert kind is Plain and function is rebuild
    assert values[3] is Colour.RED
    assert values[0].x.tolist() == [0, 1, 2]
assert [dict(vars(kind)) for kind in KINDS] == before
print("fine")
"""

LOCAL_CLASSES = """
def build():
    class Local:
        shared = []
        def method(self):
            return 1
    class Failure(ValueError):
        pass
    class Colour(enum.Enum):
        RED = 1
    return Local, Failure, Colour

Local, Failure, Colour = build()

def make():
    class Child(Local):  # made in the worker, of a base that came there
        pass
    return Local(), Failure("x"), Colour.RED, Child(), lambda: Local

before = [dict(vars(kind)) for kind in (Local, Failure, Colour)]
for local, failure, colour, child, function in ask(make):
    assert type(local) is Local and type(failure) is Failure and colour is Colour.RED
    assert isinstance(child, Local) and child.method() == 1
    assert function() is Local
assert [dict(vars(kind)) for kind in (Local, Failure, Colour)] == before
print("fine")
"""

MADE_IN_THE_WORKER = """
import collections

def make(made=[]):
    if not made:
        class Local:
            def method(self):
                return self.x
        made += [Local, collections.namedtuple("Made", "x y"), enum.Enum("Shade", "DARK")]
    Local, Made, Shade = made
    local = Local()
    local.x = np.arange(3)
    return local, Made(1, 2), Shade.DARK

answers = ask(make)
first, made, shade = next(answers)
method = type(first).method
second, made_again, shade_again = next(answers)
assert type(first).method is method  # not overwritten by the second answer's copy
assert first.method().tolist() == second.method().tolist() == [0, 1, 2]
assert type(first) is type(second) and type(made) is type(made_again) and shade is shade_again
assert made == (1, 2) and made._fields == ("x", "y") and shade.name == "DARK"
print("fine")
"""

CLASS_REPLACED = """
class Cell:
    pass

def make():
    return Cell()

def replace():  # as running a notebook cell again does
    import gc
    global Cell
    class Cell:
        pass
    gc.collect()

Cell.__qualname__ = "Cell"
for value in ask(make, replace):
    assert type(value) is Cell
print("fine")
"""

CLASS_GONE = """
class Cell:
    pass

def make():
    return Cell()

def remove():
    import gc
    global Cell
    del Cell
    gc.collect()

try:
    list(ask(make, remove))
except pickle.UnpicklingError as error:
    assert "__main__.Cell" in str(error)
    print("fine")
"""


@both_ways
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(MAIN_CLASSES, id="main"),
        pytest.param(LOCAL_CLASSES, id="local"),
        pytest.param(MADE_IN_THE_WORKER, id="made_in_the_worker"),
        pytest.param(CLASS_REPLACED, id="replaced"),
        pytest.param(CLASS_GONE, id="gone"),
    ],
)
def test_instance_arrives_as_one_of_the_consumers_own_class(
    body: str, how: str, tmp_path: Path
) -> None:
    path = [str(ROOT)]
    source = PARENT.format(path=path, worker=WORKER.format(path=path)) + body

    assert said_by_script(source, how, tmp_path) == ("fine\n", "")


def test_plain_batch_needs_no_cloudpickle() -> None:
    code = """
        import sys
        import numpy as np
        from seqloader.executors.process.wire import pickling
        pickling.loads(*pickling.dumps({"x": np.zeros(3), "y": [1, "a"]}))
        print([name for name in ("cloudpickle", "torch", "psutil") if name in sys.modules])
    """

    done = run_code(code)

    assert (done.stdout, done.stderr) == ("[]\n", "")


# Frameworks


def missing(name: str) -> Any:
    return pytest.mark.skipif(
        importlib.util.find_spec(name) is None, reason=f"{name} is not installed"
    )


TENSORS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda torch: torch.arange(12.0).reshape(3, 4),
    "bfloat16": lambda torch: torch.arange(4).to(torch.bfloat16),
    "float8": lambda torch: torch.ones(3).to(torch.float8_e4m3fn),
    "bool": lambda torch: torch.tensor([True, False]),
    "complex": lambda torch: torch.tensor([1 + 2j]),
    "0-d": lambda torch: torch.tensor(5),
    "0-d bfloat16": lambda torch: torch.tensor(5, dtype=torch.bfloat16),
    "zero-size": lambda torch: torch.empty(0, 3),
    "non-contiguous": lambda torch: torch.arange(12).reshape(3, 4).t()[::2],
    "requires grad": lambda torch: torch.ones(2, requires_grad=True),
    "computed": lambda torch: torch.ones(2, requires_grad=True) * 2,
    "conjugated": lambda torch: torch.tensor([1 + 2j]).conj(),
    "negated": lambda torch: torch.tensor([1 + 2j]).conj().imag,
    "sparse": lambda torch: torch.eye(2).to_sparse(),
    "parameter": lambda torch: torch.nn.Parameter(torch.ones(2)),
}


@pytest.mark.torch
@missing("torch")
@pytest.mark.parametrize("name", TENSORS)
def test_torch_cpu_tensor_arrives_as_it_was(name: str) -> None:
    import torch

    tensor = TENSORS[name](torch)
    arrived = through_the_wire({"x": [tensor]})["x"][0]

    assert type(arrived) is type(tensor)
    assert arrived.dtype == tensor.dtype
    assert arrived.shape == tensor.shape
    assert arrived.layout == tensor.layout
    assert arrived.requires_grad == tensor.requires_grad
    assert torch.equal(
        arrived.detach().to_dense().to(torch.complex64),
        tensor.detach().to_dense().to(torch.complex64),
    )


@pytest.mark.torch
@missing("torch")
def test_torch_memory_stays_outside_and_is_viewed() -> None:
    import torch

    data, (buffer,) = pickling.dumps(torch.zeros(100_000, dtype=torch.bfloat16))
    memory = bytearray(buffer.raw())
    arrived = pickling.loads(data, [memory])
    memory[1] = 64  # the upper byte of the first number

    assert len(data) < 500
    assert arrived[0] == 2.0


@pytest.mark.torch
@missing("torch")
def test_torch_tensor_inside_a_whole_pickle_arrives_writable() -> None:
    import torch

    arrived = pickling.loads(pickling.dumps_whole(torch.zeros(3)))
    arrived += 1

    assert arrived.tolist() == [1, 1, 1]


@pytest.mark.torch
@missing("torch")
def test_torch_tensor_on_a_device_is_refused_with_the_way_out() -> None:
    import torch

    with pytest.raises(pickle.PicklingError) as caught:
        pickling.dumps({"x": torch.empty(3, device="meta")})

    assert str(caught.value).startswith('batch["x"], a torch.Tensor')
    assert "'meta'" in str(caught.value)
    assert ".cpu()" in str(caught.value)


@pytest.mark.torch
@missing("torch")
def test_torch_tensor_keeps_strides_that_fill_its_memory() -> None:
    import torch

    pictures = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    arrived = through_the_wire([pictures, torch.ones(3, 4, dtype=torch.bfloat16).t()])

    assert [tensor.stride() for tensor in arrived] == [pictures.stride(), (1, 4)]
    assert torch.equal(arrived[0], pictures)


@missing("jax")
def test_weak_type_of_a_jax_scalar_arrives() -> None:
    import jax.numpy as jnp

    weak, strong = through_the_wire([jnp.asarray(2.0), jnp.ones(1, jnp.bfloat16)])

    assert weak.weak_type
    assert (weak * strong).dtype == jnp.bfloat16


@missing("jax")
def test_jax_array_arrives_as_one() -> None:
    import jax
    import jax.numpy as jnp

    for array in (jnp.arange(3.0), jnp.ones((2, 0)), jnp.ones(3, jnp.bfloat16)):
        arrived = through_the_wire([array])[0]
        assert isinstance(arrived, jax.Array)
        assert (arrived.dtype, arrived.tolist()) == (array.dtype, array.tolist())


@missing("tensorflow")
def test_tensorflow_tensor_arrives_as_one() -> None:
    import tensorflow as tf

    for tensor in (tf.range(3.0), tf.constant(5), tf.constant([b"a"])):
        arrived = through_the_wire([tensor])[0]
        assert type(arrived) is type(tensor)
        assert arrived.dtype == tensor.dtype
        assert arrived.numpy().tolist() == tensor.numpy().tolist()
