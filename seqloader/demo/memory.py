"""How much memory this process and its workers occupy."""

from __future__ import annotations

from contextlib import suppress

import psutil

__all__ = ["tree_memory_bytes"]


def tree_memory_bytes() -> int:
    """Memory of this process and all below it, what they share counted once where Linux says so.

    Linux attributes a page that n processes have mapped to each by 1/n (PSS): shared memory
    is in the sum once. Elsewhere it is what each process holds alone.
    """
    me = psutil.Process()
    total = 0
    for process in [me, *me.children(recursive=True)]:
        with suppress(psutil.Error):  # ended meanwhile
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.uss)
    return total
