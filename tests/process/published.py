"""What the tests of the state file share."""

from __future__ import annotations

import os
import pickle

import numpy as np

from seqloader.executors.process.worker.state import StateLoader

BIG = 1 << 18
"""Elements of an array that travels beside the head."""
SMALL = 1 << 16
"""Bytes of the smallest such array."""


class Loaded:
    """A Sequence with whatever attributes a test gives it."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def method(self):
        return self


def load(file, loader=None):
    return (loader or StateLoader(file.fd)).load(file.version, file.offset)


def same(one, other):
    """Deep equality, types included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        if one.dtype.hasobject:
            return same(one.tolist(), other.tolist())
        return np.asarray(one).tobytes() == np.asarray(other).tobytes()
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Loaded):
        return same(one.__dict__, other.__dict__)
    return one == other


def start_child(work):
    """Run `work` in a forked child; its pid, and a pipe that brings what it returned, pickled."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, pickle.dumps(work()))
        finally:
            os._exit(0)
    os.close(write)
    return pid, read


def answer_of(pid, read):
    with os.fdopen(read, "rb") as answer:
        data = answer.read()
    os.waitpid(pid, 0)
    return pickle.loads(data)


def in_child(work):
    return answer_of(*start_child(work))
