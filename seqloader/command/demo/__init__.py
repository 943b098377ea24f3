"""`seqloader demo`: real pictures through a plain loop and through the enqueuer, compared."""

from __future__ import annotations

__all__: list[str] = []
