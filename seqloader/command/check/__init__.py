"""`seqloader check`: the user's own Sequence, tried out; what was found, in plain words."""

from __future__ import annotations
