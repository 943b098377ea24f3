"""Memory that processes share: anonymous files, their descriptors, mappings, and room for them."""

from __future__ import annotations

from seqloader.memory.headroom import available_bytes

__all__ = ["available_bytes"]
