"""Asks one of the closer questions: `python benchmarks/ask.py uneven [--quick] [--save]`.

Each has its TOML file beside this one; `--help` behind its name shows what is asked, and how.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.devices import unavailable
from harness.script import described

FILES = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.toml"))}

if __name__ == "__main__":
    name, *options = sys.argv[1:] or [""]
    if name not in FILES:
        sys.exit(f"usage: python benchmarks/ask.py {{{','.join(FILES)}}} [--quick] [--save]")
    needs = {"device": unavailable}.get(name, str)
    raise SystemExit(described(str(FILES[name]), needs).main(options))
