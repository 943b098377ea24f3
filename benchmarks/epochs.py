"""What does the turn from one epoch to the next cost? `epochs.toml` says how it is asked."""

from __future__ import annotations

from harness.script import described

if __name__ == "__main__":
    raise SystemExit(described(__file__).main())
