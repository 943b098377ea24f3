"""`seqloader bench`: the user's own Sequence, measured with several numbers of workers."""

from __future__ import annotations

__all__: list[str] = []
