"""What do save and resume cost? `resume.toml` says how it is asked."""

from __future__ import annotations

from harness.script import described

if __name__ == "__main__":
    raise SystemExit(described(__file__).main())
