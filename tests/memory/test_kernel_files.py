"""What the kernel says of itself is read whole, and leaves nothing behind."""

from __future__ import annotations

import os
import warnings

import pytest

from seqloader.memory import kernel_files


def test_whole_text_is_read_of_files_without_a_size(tmp_path):
    (tmp_path / "short").write_bytes(b"a name \xff\n")

    assert kernel_files.read(str(tmp_path / "short")) == "a name \udcff\n"
    if os.path.exists("/proc/self/status"):
        assert kernel_files.read("/proc/self/status").endswith("\n")


def test_absent_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        kernel_files.read(str(tmp_path / "absent"))


def test_file_that_an_interrupt_drops_is_closed_without_a_word(tmp_path):
    (tmp_path / "short").touch()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dropped = kernel_files.UnheldFile(str(tmp_path / "short"))
        fd = dropped.fileno()
        del dropped

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
