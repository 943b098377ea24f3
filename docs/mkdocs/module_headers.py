"""Puts the head of a source file on a page, so that rules stand in one place.

A line `<!-- head of seqloader/executors/protocol.py -->` becomes a block with the file's docstring.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent.parent
MARK = re.compile(r"^<!-- head of (?P<path>\S+\.py) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls this with every page."""
    return MARK.sub(lambda mark: _head(REPOSITORY / mark["path"]), markdown)


def _head(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return f"```text\n{text}\n```"
