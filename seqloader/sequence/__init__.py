"""Sequences: random access to whole batches."""

from __future__ import annotations

from seqloader.sequence.base import Sequence

__all__ = ["Sequence"]
