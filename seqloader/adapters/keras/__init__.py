"""Keras 3 trains from an enqueuer: `model.fit(KerasDataset(train, workers=4, seed=0))`.

    dataset.py   `KerasDataset`, the `keras.utils.PyDataset` over an enqueuer
    passes.py    which of Keras' passes are real: pure, and needs no Keras
    frames.py    who calls it, which tells the passes apart
    remarks.py   what is refused, or said once
    steps.py     the length, which Keras reads once and which may change
    images.py    Keras' own image iterators, so that workers can be sent them
    resume.py    `ResumeKeras`, beside `BackupAndRestore`

Keras is imported when one of the names is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqloader.adapters.keras.dataset import KerasDataset
    from seqloader.adapters.keras.resume import ResumeKeras

__all__ = ["KerasDataset", "ResumeKeras"]

_LATER = {"KerasDataset": "dataset", "ResumeKeras": "resume"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return value
