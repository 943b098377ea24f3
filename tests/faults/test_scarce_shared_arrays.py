"""Shared arrays where descriptors, memory or `/proc` are wanting."""

from __future__ import annotations

import os

import pytest
from programs import run

from seqloader.executors.process.wire import procfd

HOLDS = """
import os, resource, sys
import numpy as np
from seqloader import OrderedEnqueuer, share

class Holds:
    def __init__(self, count):
        self.arrays = [share(np.full(10_000, number)) for number in range(count)]
    def __len__(self):
        return len(self.arrays)
    def __getitem__(self, index):
        return self.arrays[index]
    def on_epoch_end(self):
        self.arrays = [share(array + 1) for array in self.arrays]
"""


@pytest.mark.parametrize("without", ["", "procfd", "memfd"])
def test_some_shared_arrays_pass_with_64_descriptors(without, tmp_path):
    program = (
        HOLDS
        + """
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
with OrderedEnqueuer(Holds(10), workers=3) as enqueuer:
    print([[int(batch[0]) for batch in enqueuer] == [n + e for n in range(10)] for e in range(3)])
print(len(os.listdir("/proc/self/fd")) < 20)
"""
    )
    completed = run(program, tmp_path, SEQLOADER_WITHOUT=without)

    assert completed.stderr == ""
    assert completed.stdout == "[True, True, True]\nTrue\n"


def test_too_many_shared_arrays_are_an_error_that_names_the_way_out(tmp_path):
    program = (
        HOLDS
        + """
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    Holds(100)
except OSError as error:
    print(error)
"""
    )
    completed = run(program, tmp_path)

    assert completed.stderr == ""
    assert "Each shared array takes one open file" in completed.stdout
    assert "hold slices of it" in completed.stdout


def test_a_program_with_shared_arrays_and_a_live_iterator_ends_quietly(tmp_path):
    program = (
        HOLDS
        + """
enqueuer = OrderedEnqueuer(Holds(8), workers=2)
iterator = iter(enqueuer)
kept = next(iterator)
"""
    )
    completed = run(program, tmp_path)

    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "", "")


def test_descriptors_are_not_sought_in_proc_where_workers_may_not(monkeypatch):
    assert procfd.are_open_to_children()

    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    assert not procfd.are_open_to_children()


def test_descriptors_are_not_sought_in_the_proc_of_another_namespace(monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1 << 30)

    assert not procfd.are_open_to_children()
