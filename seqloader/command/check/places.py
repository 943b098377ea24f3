"""Places in the user's code, as a person looks for them."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from seqloader.own_code import is_own

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["is_standard", "users_place"]

STANDARD = sysconfig.get_paths()["stdlib"] + os.sep
INSTALLED = "site-packages"


def users_place(frames: Iterable[tuple[str, int]]) -> str | None:
    """`data.py:31`, the innermost of the frames (innermost first) that is the user's.

    Where only an installed library is there, its place; None where there is neither. What lies
    outside the first frame of ours is not looked at: there is nothing of the user's beyond.
    """
    library: str | None = None
    for file, line in frames:
        if is_own(file):
            break
        if is_standard(file):
            continue
        place = f"{Path(file).name}:{line}"
        if INSTALLED not in file:
            return place
        library = library or place
    return library


def is_standard(file: str) -> bool:
    """Whether it is a file of Python's own."""
    return file.startswith("<frozen") or (file.startswith(STANDARD) and INSTALLED not in file)
