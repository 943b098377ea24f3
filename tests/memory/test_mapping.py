from __future__ import annotations

import ctypes
import gc
import os
import sys
from pathlib import Path

import pytest

from seqloader.memory.mapping import Mapping

NAME = "seqloader-mapping-test"


@pytest.fixture
def file():
    if not hasattr(os, "memfd_create"):
        pytest.skip("counts mappings of a memfd")
    fd = os.memfd_create(NAME)
    os.ftruncate(fd, 1 << 16)
    yield fd
    os.close(fd)


def mappings():
    return Path("/proc/self/maps").read_text().count(NAME)


def test_the_last_reference_unmaps(file):
    mapping = Mapping(file, 1 << 16)
    assert mappings() == 1

    del mapping

    assert mappings() == 0


def test_no_python_code_runs_when_it_is_unmapped(file):
    mapping = Mapping(file, 1 << 16)
    entered = []

    def note(frame, event, argument):
        if event == "call":
            entered.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        mapping._end.fill(None)
    finally:
        sys.setprofile(None)

    assert entered == []
    assert mappings() == 0
    mapping._addresses = ()  # it is not to unmap again


class Reader:
    """Reads the memory in its finalizer."""

    def __init__(self, mapping, seen):
        self.mapping = mapping
        self.seen = seen

    def __del__(self):
        self.seen.append(ctypes.string_at(self.mapping.address, 2))


def test_in_a_cycle_the_memory_ends_after_all_finalizers(file):
    os.pwrite(file, b"ok", 0)
    seen = []
    mapping = Mapping(file, 1 << 16)
    mapping.reader = Reader(mapping, seen)

    del mapping
    gc.collect()

    assert seen == [b"ok"]
    assert mappings() == 0


def test_interrupted_before_it_has_an_end_it_is_unmapped_all_the_same(file, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("seqloader.memory.mapping._unmapping", interrupted)

    with pytest.raises(KeyboardInterrupt):
        Mapping(file, 1 << 16)

    gc.collect()
    assert mappings() == 0
