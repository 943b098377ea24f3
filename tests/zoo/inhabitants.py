"""Values that a Sequence may hold, one maker for each: what travels, and what is refused."""

from __future__ import annotations

import array
import bz2
import collections
import concurrent.futures
import contextvars
import ctypes
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import io
import logging
import lzma
import mmap
import multiprocessing
import operator
import os
import pathlib
import queue
import random
import re
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import types
import uuid
import weakref
import zlib
import zoneinfo

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

LARGE = 1 << 15
"""Numbers of an array whose memory travels beside the pickle."""


class Colour(enum.Enum):
    RED = 1


class Flags(enum.Flag):
    A = 1
    B = 2


class Point(collections.namedtuple("Point", "x y")):
    def norm(self):
        return self.x


class Table(dict):
    pass


class Slotted:
    __slots__ = ("a", "b")


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    a: object
    b: object = 2


class Labelled(np.ndarray):
    pass


class Holder:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def method(self):
        return 1


def _half_used(iterator):
    next(iterator)
    return iterator


def _read_only(made):
    made.flags.writeable = False
    return made


def _labelled(size):
    made = np.arange(size).view(Labelled)
    made.names = ["a", {"b": 1}]
    return made


def _slotted():
    made = Slotted()
    made.a = [1]
    return made


def _recursive():
    made = [1]
    made += [made, {"self": made}]
    return made


def _attributed(partial):
    partial.note = "kept"
    return partial


def _drawn(generator, draw):
    draw(generator)
    return generator


def _closure():
    shared = [1, 2]
    return [lambda: shared, shared]


def _views(size):
    whole = np.arange(float(size))
    return [whole, whole[3:], whole[::2], whole[::-1], whole[5:9], whole.reshape(2, -1).T]


def _views_without_their_base(size):
    return _views(size)[1:]


def _two_readers_of_one():
    numbers = iter(range(9))
    return [numbers, zip(numbers, numbers, strict=False)]


def _shared_bits():
    bits = np.random.PCG64(1)
    return [np.random.Generator(bits), np.random.Generator(bits)]


def _dict_and_its_views():
    held = {"a": [1], "b": 2}
    return [held, held.keys(), held.values(), held.items(), types.MappingProxyType(held)]


def _ordered_and_its_views():
    held = collections.OrderedDict(b=1, a=2)
    return [held.values(), held]


class Kept:
    def __init__(self):
        self.method = _half_used


KEPT = Kept()

TRAVELS = {
    "nan with a payload": lambda: struct.unpack("d", bytes.fromhex("010000000000f87f"))[0],
    "numbers": lambda: [10**30, -0.0, 1j, True, float("inf")],
    "text": lambda: ["\udc80", "x" * 70_000, b"\0" * 70_000, bytearray(b"ab")],
    "range and slice": lambda: [range(3, 9, 2), slice(1, None)],
    "recursive list": _recursive,
    "large lists": lambda: [list(range(2000)), tuple(range(2000)), set(range(2000))],
    "table": lambda: Table(a=1),
    "ordered": lambda: collections.OrderedDict(b=1, a=[2]),
    "default": lambda: collections.defaultdict(list, a=[1]),
    "counter": lambda: collections.Counter("aab"),
    "chain map": lambda: collections.ChainMap({"a": 1}, {"b": 2}),
    "deque": lambda: collections.deque([1, [2]], maxlen=2),
    "named tuple": lambda: Point([1], 2),
    "slots": _slotted,
    "frozen with slots": lambda: Frozen([1]),
    "object": lambda: Holder(a=[1]),
    "enum": lambda: [Colour.RED, Flags.A | Flags.B],
    "exception": lambda: ValueError("x", [1]),
    "namespace": lambda: types.SimpleNamespace(a=1),
    "dict views": _dict_and_its_views,
    "ordered dict views": _ordered_and_its_views,
    "weak set": lambda: weakref.WeakSet([KEPT]),
    "weak dictionaries": lambda: [
        weakref.WeakValueDictionary(a=KEPT),
        weakref.WeakKeyDictionary({KEPT: 1}),
    ],
    "weak reference": lambda: (lambda held: [held, weakref.ref(held)])(Holder(a=1)),
    "list iterator": lambda: _half_used(iter([1, 2, 3])),
    "used up iterator": lambda: [*(made := iter([1]))] and made,
    "enumerate": lambda: _half_used(enumerate(["a", "b"])),
    "zip and map": lambda: [_half_used(zip([1, 2], [3, 4], strict=True)), map(str, [1])],
    "reversed": lambda: _half_used(reversed([1, 2, 3])),
    "readers of one iterator": _two_readers_of_one,
    "partial": lambda: _attributed(functools.partial(int, base=2)),
    "item getter": lambda: [operator.itemgetter(1), operator.attrgetter("a.b")],
    "bound method": lambda: (lambda held: [held, held.method])(Holder(a=1)),
    "method of a list": lambda: (lambda held: [held, held.append])([1]),
    "closure": _closure,
    "default argument": lambda: [lambda a, b=[1]: a],
    "regular expression": lambda: re.compile("a+", re.IGNORECASE),
    "path": lambda: pathlib.Path("/a/b"),
    "moment": lambda: datetime.datetime(
        2026, 10, 25, 2, 30, tzinfo=zoneinfo.ZoneInfo("UTC"), fold=1
    ),
    "exact numbers": lambda: [decimal.Decimal("1.10"), fractions.Fraction(1, 3)],
    "decimal context": lambda: decimal.Context(prec=5),
    "uuid": lambda: uuid.UUID(int=5),
    "array.array": lambda: array.array("i", [1, 2]),
    "string file": lambda: _drawn(io.StringIO("abc\r\n", newline=""), lambda file: file.seek(2)),
    "bytes file": lambda: _drawn(io.BytesIO(b"abc"), lambda file: file.seek(2)),
    "ctypes": lambda: [ctypes.c_int(5)],
    "random generator": lambda: _drawn(random.Random(1), lambda it: it.random()),
    "the global random generators": lambda: [random.random, random._inst, np.random.mtrand._rand],
    "numpy generators": lambda: [np.random.default_rng(1), np.random.RandomState(1)],
    "generators of the same bits": _shared_bits,
    "module and class": lambda: [types, Holder, int],
    "properties": lambda: [property(operator.itemgetter(0)), staticmethod(len), classmethod(len)],
    "numpy scalars": lambda: [np.float32(1.5), np.datetime64("2026-01-01"), np.bool_(True)],
    "record": lambda: np.array([(1, 2.0)], [("a", "<i4"), ("b", ">f8")])[0],
    "array without dimensions": lambda: np.array(5.0),
    "empty array": lambda: np.zeros((0, 3), np.float32)[:, ::2],
    "big-endian": lambda: np.arange(5, dtype=">i4"),
    "dtype with metadata": lambda: np.zeros(3, np.dtype("i4", metadata={"unit": "m"})),
    "records": lambda: np.rec.fromarrays([np.arange(3), np.ones(3)], names="a,b"),
    "text array": lambda: np.array(["ab", "c"]),
    "objects": lambda: np.array([{"a": 1}, None], dtype=object),
    "matrix": lambda: np.array([[1, 2]]).view(np.matrix),
    "masked": lambda: np.ma.masked_less(np.arange(5), 2),
    "subclass": lambda: _labelled(5),
    "large subclass": lambda: _labelled(LARGE),
    "fortran": lambda: np.asfortranarray(np.ones((3, 4))),
    "negative strides": lambda: np.arange(12).reshape(3, 4)[::-1, ::-1],
    "large negative strides": lambda: np.arange(LARGE)[::-1],
    "read-only": lambda: _read_only(np.arange(5)),
    "read-only dates": lambda: _read_only(np.array(["2026-01-01"], "M8[D]")),
    "large read-only": lambda: _read_only(np.arange(LARGE)),
    "broadcast": lambda: np.broadcast_to(np.arange(5), (4, 5)),
    "windows": lambda: sliding_window_view(np.arange(100), 7),
    "large windows": lambda: sliding_window_view(np.arange(LARGE), 100),
    "views": lambda: _views(100),
    "large views": lambda: _views(LARGE),
    "views without their base": lambda: _views_without_their_base(100),
    "large views without their base": lambda: _views_without_their_base(LARGE),
}


def _sockets():
    left, right = socket.socketpair()
    right.close()
    return left


def _directory_entry():
    with os.scandir(os.sep) as entries:
        return next(entries)


def _process():
    made = subprocess.Popen.__new__(subprocess.Popen)
    made._waitpid_lock = threading.Lock()
    return made


def _open(mode):
    return lambda: open(os.devnull, mode)


FORKING = multiprocessing.get_context("fork")

REFUSED = {
    "open files": [
        _open("r"),
        _open("rb"),
        _open("wb"),
        lambda: open(os.devnull, "rb", buffering=0),  # noqa: SIM115
        tempfile.NamedTemporaryFile,
    ],
    "memory-mapped files": [lambda: mmap.mmap(-1, 4096)],
    "directory entries": [_directory_entry],
    "locks, and what waits": [
        threading.Lock,
        threading.RLock,
        threading.Condition,
        threading.Event,
        threading.Semaphore,
        lambda: threading.Barrier(2),
        queue.Queue,
        queue.SimpleQueue,
    ],
    "locks, queues and values of multiprocessing, made for forked children": [
        FORKING.Lock,
        FORKING.RLock,
        FORKING.Semaphore,
        FORKING.Condition,
        FORKING.Event,
        FORKING.SimpleQueue,
        FORKING.Queue,
    ],
    "threads, processes and pools": [
        threading.Thread,
        _process,
        concurrent.futures.Future,
        lambda: concurrent.futures.ThreadPoolExecutor(1),
    ],
    "connections": [lambda: sqlite3.connect(":memory:"), _sockets],
    "handlers of loggers": [logging.StreamHandler],
    "generators": [lambda: (i for i in range(3))],
    "memoryviews": [lambda: memoryview(b"abc")],
    "weak proxies": [lambda: weakref.proxy(KEPT), lambda: weakref.proxy(KEPT.method)],
    "what belongs to one thread or context": [
        threading.local,
        contextvars.copy_context,
    ],
    "running digests and compressors": [
        hashlib.sha256,
        hashlib.blake2b,
        zlib.compressobj,
        bz2.BZ2Compressor,
        lzma.LZMACompressor,
    ],
    "pointers of ctypes": [
        lambda: ctypes.c_void_p(8),
        lambda: ctypes.pointer(ctypes.c_int(1)),
        lambda: ctypes.CDLL(None),
    ],
    "frames": [sys._getframe],
}
