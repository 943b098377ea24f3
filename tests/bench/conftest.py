from __future__ import annotations

from written_modules import write_module

__all__ = ["write_module"]
