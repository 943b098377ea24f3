"""How far an epoch is, as a saved state says it."""

from __future__ import annotations

from typing import Any

__all__ = ["batches_done"]


def batches_done(state: dict[str, Any], shards: int) -> int:
    """Batches of the state's epoch that were delivered, counted as on so many shards."""
    delivered: int = state["first"] + state["position"] * state["shard"][1]
    return delivered // shards
