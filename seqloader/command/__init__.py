"""What the sub-commands share: the Sequence that is named, faults of the user's code, words."""

from __future__ import annotations

__all__: list[str] = []
