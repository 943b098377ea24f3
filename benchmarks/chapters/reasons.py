"""Why a row is not reached: shown beside it, and only while it is not."""

from __future__ import annotations

__all__ = ["REASONS"]

REASONS: dict[str, str] = {
    "tiny, 1.3 KB": (
        "A hand-over is a few microseconds of Python in the consumer, which is the busiest of three"
        " processes on two cores: whatever else runs there meanwhile takes from it first, and shows"
        " in the spread."
    ),
    "images, consumer CPU a batch": (
        "Both read one element of every page, which is nearly all of it; ours adds the Python code"
        " of a hand-over that recovers from dead workers."
    ),
    "jpeg": "With few rounds, one batch more or less in the window decides a percent or two.",
    "1 MB, a template copied": (
        "The two copies of a batch fill the core's cache, so that the Python code which hands it"
        " over starts cold each time, in the worker as in the consumer: compare the consumer's CPU"
        " for a tiny batch."
    ),
    "uneven, queue 32": (
        "While a slow item is due, the others run out of the 32 permitted ones: an ordered window"
        " costs most of this whatever the loader does (the column x window divides by that). And"
        " sleeps take longer than they say: see the row below."
    ),
}
"""What the row is called -> the reason, in a sentence or two."""
