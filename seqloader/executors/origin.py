"""The directory that the program was in when it imported seqloader.

What a program imported through '' or another relative entry of `sys.path`, it found from there,
wherever it has gone since.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["DIRECTORY"]


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted: nothing can be imported from there
        return None


DIRECTORY: Final = _directory()
"""None where there was none."""
