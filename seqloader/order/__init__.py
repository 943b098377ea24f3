"""What is visited and when: pure, without clock, process or executor."""

from __future__ import annotations

from seqloader.order.cursor import Cursor
from seqloader.order.plan import REMAINDERS, Plan, Remainder, Shard
from seqloader.order.ranges import NOTHING, Ranges
from seqloader.order.shuffle import SHUFFLE_VERSION
from seqloader.order.window import Window

__all__ = [
    "NOTHING",
    "REMAINDERS",
    "SHUFFLE_VERSION",
    "Cursor",
    "Plan",
    "Ranges",
    "Remainder",
    "Shard",
    "Window",
]
