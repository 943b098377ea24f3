"""Executors: what computes tickets. `protocol` says what each of them must do.

Nothing is imported here, because every worker process imports this package. What lies deeper and
is of use to whoever tries out or measures a Sequence is found here when it is first named:

    pickle_state    a Sequence, taken apart as it is sent to the workers; says what cannot be
    pickle_part     the same of anything that a Sequence holds, and says only that it cannot be
    dumps           a batch, pickled as a worker sends it; says what cannot be
    guard_life      this process ends with the one that holds the other end of a pipe
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqloader.executors.process.consumer.sending import pickle_part, pickle_state
    from seqloader.executors.process.wire.pickling import dumps
    from seqloader.executors.process.worker.life import guard_life

__all__ = ["dumps", "guard_life", "pickle_part", "pickle_state"]

_LATER = {
    "dumps": "seqloader.executors.process.wire.pickling",
    "guard_life": "seqloader.executors.process.worker.life",
    "pickle_part": "seqloader.executors.process.consumer.sending",
    "pickle_state": "seqloader.executors.process.consumer.sending",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
