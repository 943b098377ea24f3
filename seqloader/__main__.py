"""`python -m seqloader` is the `seqloader` command."""

from __future__ import annotations

import sys

from seqloader.command.cli import main

if __name__ == "__main__":
    sys.exit(main())
