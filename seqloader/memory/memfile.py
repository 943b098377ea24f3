"""How anonymous memory files are made, by `Descriptors.memory`: memory that has a descriptor and no
name, so that nothing can be left.

`memfd_create` where the system has it. Elsewhere, or where the environment variable
`SEQLOADER_WITHOUT` names `memfd`, a file that is unlinked as soon as it is open. (macOS's
`shm_open` gives memory that can be neither read, written nor mapped privately.)
"""

from __future__ import annotations

import errno
import os
from typing import Final

from seqloader.memory.fallbacks import without

__all__ = ["FILE_SIZE_HINT", "REFUSALS", "memfd_flags", "unlinked_file"]

REFUSALS: Final = {errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EINVAL}
"""The kernel does not know the call or the flag, or a sandbox refuses it. Anything else, as too
many open files, is an error of its own."""

FILE_SIZE_HINT: Final = (
    "this process may not make files as large, and shared memory counts as a file: raise "
    "`ulimit -f` (RLIMIT_FSIZE)"
)
"""What EFBIG means here."""

_MFD_NOEXEC_SEAL: Final = 8
"""Not in Python's `os` yet. Without it, Linux may be set to refuse or to warn; old kernels do not
know it."""

_SHM: Final = "/dev/shm"
_USABLE_SHM_BYTES: Final = 256 << 20
"""Containers often mount 64 MB there, which no two picture batches fit into; a temporary file on
disk is slower and has room."""


def memfd_flags() -> tuple[int, ...]:
    """Flags to try `os.memfd_create` with, in turn; none: it is not to be used."""
    if not hasattr(os, "memfd_create") or without("memfd"):
        return ()
    return os.MFD_CLOEXEC | _MFD_NOEXEC_SEAL, os.MFD_CLOEXEC


def unlinked_file(name: str) -> int:
    """The descriptor of an empty file that is gone when it is closed."""
    try:
        import tempfile  # not above: it takes long, and where there is memfd nobody needs it
    except ImportError as error:  # there is no descriptor left to read it by
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from error
    fd, path = tempfile.mkstemp(prefix=f"{name}-", dir=_roomy_folder())
    os.unlink(path)
    return fd


def _roomy_folder() -> str | None:
    """`/dev/shm`, which is memory, unless it is absent, closed to us or very small."""
    try:
        room = os.statvfs(_SHM)
    except OSError:
        return None
    if not os.access(_SHM, os.W_OK | os.X_OK):
        return None
    return _SHM if room.f_bavail * room.f_frsize >= _USABLE_SHM_BYTES else None
