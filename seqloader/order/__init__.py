"""What is visited and when: pure, without clock, process or executor."""

from __future__ import annotations

from seqloader.order.plan import Plan, Shard
from seqloader.order.shuffle import SHUFFLE_VERSION
from seqloader.order.window import Window

__all__ = ["SHUFFLE_VERSION", "Plan", "Shard", "Window"]
