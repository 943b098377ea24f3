"""Rounds of one measurement: how far they lie apart, and when they lie too far apart to tell."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SPREAD_LIMIT", "spread"]

SPREAD_LIMIT = 0.5
"""What lies further apart is UNSTABLE: on a machine that does nothing else, rounds stay well within
it."""


def spread(values: Sequence[float]) -> float:
    """How far the values lie apart: (largest - smallest) / median."""
    middle = abs(statistics.median(values))
    width = max(values) - min(values)
    if width == 0:
        return 0.0
    return width / middle if middle else float("inf")
