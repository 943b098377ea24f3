"""Which frames of a traceback are ours, and which the user's."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["is_own"]


def is_own(file: str) -> bool:
    """Whether a code object with this file name is of seqloader.

    A frame's `co_filename`; what a symbolic link or an archive makes of the name of our own files
    is in all of them, since Python names them all after the path of the package.
    """
    return file.startswith(PACKAGE)


PACKAGE: Final = os.path.dirname(is_own.__code__.co_filename) + os.sep
"""With the separator, for else it would be the beginning of `.../seqloader_data/...` as well. From
a code object and not from `__file__`: they are what it is compared with."""
