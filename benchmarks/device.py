"""How fast do batches reach a GPU, and does a training step wait for them?"""

from __future__ import annotations

from harness.devices import unavailable
from harness.script import described

if __name__ == "__main__":
    raise SystemExit(described(__file__, unavailable).main())
