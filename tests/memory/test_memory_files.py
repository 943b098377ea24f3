"""Descriptors that are kept, lifted and closed together, and memory files among them."""

from __future__ import annotations

import errno
import os
import sys

import pytest
from interpreter import printed_by

from seqloader.memory import memfile
from seqloader.memory.descriptors import Descriptors


@pytest.fixture
def descriptors():
    descriptors = Descriptors()
    yield descriptors
    descriptors.check()
    descriptors.close()


@pytest.mark.parametrize("without", ["", "memfd"])
def test_a_memory_file_has_no_name_and_is_closed_on_exec(descriptors, monkeypatch, without):
    monkeypatch.setenv("SEQLOADER_WITHOUT", without)

    fd = descriptors.memory("test")

    assert fd > 2
    assert not os.get_inheritable(fd)
    assert "(deleted)" in os.readlink(f"/proc/self/fd/{fd}")
    assert os.fstat(fd).st_size == 0
    assert os.fstat(fd).st_nlink == 0


def test_small_or_absent_shm_is_passed_over(descriptors, monkeypatch, tmp_path):
    monkeypatch.setenv("SEQLOADER_WITHOUT", "memfd")
    monkeypatch.setattr(memfile, "_SHM", str(tmp_path / "absent"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    fd = descriptors.memory("test")

    assert os.readlink(f"/proc/self/fd/{fd}").startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_imported_for_want_of_descriptors_is_told_as_that(descriptors, monkeypatch):
    monkeypatch.setenv("SEQLOADER_WITHOUT", "memfd")
    monkeypatch.setitem(sys.modules, "tempfile", None)  # importing it fails, as it does then

    with pytest.raises(OSError, match="Too many open files"):
        descriptors.memory("test")


def test_a_kernel_without_exec_seals_is_served(descriptors, monkeypatch):
    create = os.memfd_create

    def old(name, flags):
        if flags & 8:
            raise OSError(errno.EINVAL, "no")
        return create(name, flags)

    monkeypatch.setattr(os, "memfd_create", old)

    assert "memfd:test" in os.readlink(f"/proc/self/fd/{descriptors.memory('test')}")


def test_closed_standard_descriptors_are_not_taken():
    code = (
        "import os; os.close(0);"
        "from seqloader.memory.descriptors import Descriptors; made = Descriptors();"
        "fds = made.memory('test'), *made.pipe(), made.duplicate(1);"
        "assert min(fds) > 2, fds; made.check();"
        "print(os.path.exists('/proc/self/fd/0'))"
    )

    assert printed_by(code) == "False\n"


def test_one_is_closed_alone_and_what_is_not_here_is_left_alone(descriptors):
    read, write = descriptors.pipe()
    other = os.dup(write)

    assert descriptors.close_one(read) == descriptors.close_one(other) == -1

    with pytest.raises(OSError, match="descriptor"):
        os.fstat(read)
    os.fstat(write)
    os.close(other)
