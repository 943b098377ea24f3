"""seqloader: batches of a `Sequence`, computed ahead in worker processes, delivered in order.

    from seqloader import OrderedEnqueuer, Sequence

`import seqloader` is light: the engine is loaded when `OrderedEnqueuer` is first named, because
every worker imports this package too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from seqloader.arrays import empty as empty  # public, but not for a star import
from seqloader.arrays import stack as stack
from seqloader.arrays import zeros as zeros
from seqloader.errors import (
    EnqueuerStopped,
    ForkedEnqueuerError,
    ResumeError,
    SeqloaderError,
    SeqloaderWarning,
    SlowBatchWarning,
    WorkerError,
    WorkerLostError,
    WorkerLostWarning,
    WorkerStartError,
    WorkerTraceback,
)
from seqloader.executors import origin as _origin  # noqa: F401 - it notes where it is imported
from seqloader.randomness.context import BatchContext, batch_context
from seqloader.sequence import Sequence

if TYPE_CHECKING:
    from seqloader.enqueuer import OrderedEnqueuer
    from seqloader.memory.shared_arrays import share, shared_empty
    from seqloader.run.tuning.log import TuningStep
    from seqloader.samples.arrays import ArraySequence
    from seqloader.samples.batched import BatchedSequence
    from seqloader.samples.mix import WeightedMix
    from seqloader.stats import Stats
    from seqloader.stats.verdict import Verdict

__version__ = "0.1.0"

# empty, zeros and stack are left out, so that a star import does not shadow numpy's.
__all__ = [
    "ArraySequence",
    "BatchContext",
    "BatchedSequence",
    "EnqueuerStopped",
    "ForkedEnqueuerError",
    "OrderedEnqueuer",
    "ResumeError",
    "SeqloaderError",
    "SeqloaderWarning",
    "Sequence",
    "SlowBatchWarning",
    "Stats",
    "TuningStep",
    "Verdict",
    "WeightedMix",
    "WorkerError",
    "WorkerLostError",
    "WorkerLostWarning",
    "WorkerStartError",
    "WorkerTraceback",
    "batch_context",
    "share",
    "shared_empty",
]


_LATER = {
    "ArraySequence": "seqloader.samples.arrays",
    "BatchedSequence": "seqloader.samples.batched",
    "OrderedEnqueuer": "seqloader.enqueuer",
    "Stats": "seqloader.stats",
    "TuningStep": "seqloader.run.tuning.log",
    "Verdict": "seqloader.stats.verdict",
    "WeightedMix": "seqloader.samples.mix",
    "share": "seqloader.memory.shared_arrays",
    "shared_empty": "seqloader.memory.shared_arrays",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LATER[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
