"""Executors: what computes tickets. `protocol` says what each of them must do.

Nothing is imported here, because every worker process imports this package.
"""

from __future__ import annotations
