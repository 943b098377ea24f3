"""Where no worker can be born: refused at once, with the way out."""

from __future__ import annotations

import importlib
import sys

import pytest

from seqloader.errors import WorkerStartError
from seqloader.executors.process.consumer.birth import check_startable


@pytest.fixture(params=[False, True], ids=["as Python says", "as multiprocessing says"])
def said_by_multiprocessing(request, monkeypatch):
    """Whether the module is imported that says what a worker is run with."""
    name = "multiprocessing.spawn"
    if request.param:
        importlib.import_module(name)
    else:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return request.param


@pytest.mark.usefixtures("said_by_multiprocessing")
def test_a_program_with_an_interpreter_can_start_workers():
    check_startable()


@pytest.mark.usefixtures("said_by_multiprocessing")
def test_a_frozen_program_is_refused_before_it_starts_itself_without_end(monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)

    with pytest.raises(WorkerStartError, match="this is a frozen program"):
        check_startable()


def test_a_frozen_program_may_name_an_interpreter(monkeypatch):
    spawn = importlib.import_module("multiprocessing.spawn")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    before = spawn.get_executable()
    spawn.set_executable("/some/python")
    try:
        check_startable()
    finally:
        spawn.set_executable(before)


def test_an_embedded_interpreter_without_a_name_is_refused(monkeypatch):
    monkeypatch.delitem(sys.modules, "multiprocessing.spawn", raising=False)
    monkeypatch.setattr(sys, "executable", "")

    with pytest.raises(WorkerStartError, match=r"sys\.executable is empty"):
        check_startable()
