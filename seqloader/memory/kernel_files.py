"""The small files in which the kernel says how things stand.

Plain strings and `io` alone: every worker imports this module.
"""

from __future__ import annotations

import io

__all__ = ["UnheldFile", "read"]


class UnheldFile(io.FileIO):
    """Closed without a word when it is dropped: an interrupt may come before `with` holds it."""

    def __del__(self) -> None:
        self.close()


def read(file: str) -> str:
    """The text of a small file, as it stands now.

    Raises:
        OSError: there is none, or it may not be read.
    """
    with UnheldFile(file) as opened:
        return opened.readall().decode(errors="surrogateescape")
