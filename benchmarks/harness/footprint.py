"""seqloader's own count of CPU and memory, without the rest of it.

The file is loaded by itself: no peer is measured with seqloader loaded.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

__all__ = ["tree_cpu_s", "tree_memory_bytes", "tree_pids"]

_FILE = Path(__file__).resolve().parents[2] / "seqloader" / "command" / "footprint.py"
_spec: Any = importlib.util.spec_from_file_location("footprint_alone", _FILE)
_module: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

tree_cpu_s = _module.tree_cpu_s
tree_memory_bytes = _module.tree_memory_bytes
tree_pids = _module.tree_pids
