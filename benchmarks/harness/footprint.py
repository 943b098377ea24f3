"""seqloader's own count of CPU and memory, without the rest of it.

The file is loaded by itself: no peer is measured with seqloader loaded.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

_FILE = Path(__file__).resolve().parents[2] / "seqloader" / "command" / "footprint.py"
_footprint: Any = runpy.run_path(str(_FILE))

tree_cpu_s = _footprint["tree_cpu_s"]
tree_memory_bytes = _footprint["tree_memory_bytes"]
tree_pids = _footprint["tree_pids"]
