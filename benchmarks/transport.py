"""What does moving one batch from a worker to the consumer cost?"""

from __future__ import annotations

from harness.script import described

if __name__ == "__main__":
    raise SystemExit(described(__file__).main())
