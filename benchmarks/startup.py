"""What does it take to start workers on a Sequence that holds 1 GB?"""

from __future__ import annotations

from harness.script import described

if __name__ == "__main__":
    raise SystemExit(described(__file__).main())
