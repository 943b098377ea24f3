"""Features of the platform that are done without: because a test of the fall-backs says so."""

from __future__ import annotations

import os

__all__ = ["without"]


def without(feature: str) -> bool:
    """Whether a feature of the platform is to be treated as absent.

    The environment variable SEQLOADER_WITHOUT holds names separated by commas: memfd, pidfd,
    procfd, sigio.
    """
    return feature in os.environ.get("SEQLOADER_WITHOUT", "").split(",")
