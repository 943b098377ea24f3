"""Who calls a dataset, as Python's frames tell: which walk, and which pass over the data."""

from __future__ import annotations

import inspect
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["forget_gone", "generator_of", "walk_of"]

WALK_DEPTH = 6
"""Frames: a hook is called by Keras' adapter, and that by the generator over the steps."""


def generator_of(frame: FrameType) -> FrameType | None:
    """The frame, if it is that of a generator; None: of a plain call."""
    return frame if frame.f_code.co_flags & inspect.CO_GENERATOR else None


def walk_of(frame: FrameType | None) -> int | None:
    """Which generator a hook was called from, nearest first; None: from none."""
    for _ in range(WALK_DEPTH):
        if frame is None:
            return None
        if generator_of(frame) is not None:
            return id(frame)  # not the frame itself: it would keep the walk's iterator
        frame = frame.f_back
    return None


def forget_gone(generators: deque[Any]) -> None:
    """Let go of the frames whose generators are gone: these ask no more.

    A frame holds what its generator had, and that is the dataset.
    """
    for count in _holders(generators):
        generator = generators.popleft()
        if count > ALONE:
            generators.append(generator)


def _holders(generators: deque[Any]) -> list[int]:
    return [sys.getrefcount(generator) for generator in generators]


[ALONE] = _holders(deque([object()]))
"""What is counted where nobody else holds it, not even the generator whose frame it is."""
