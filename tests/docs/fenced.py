"""The examples in README and docs, as scripts.

Every fenced block of `python` is a script of its own, run as pasted, unless a comment on the line
before its fence says otherwise:

    <!-- continues -->        it goes on from the block before
    <!-- needs: torch -->     it runs only where that module is installed

A block of `text title="Output"` says what the block before it prints; `...` stands for anything.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SEPARATOR", "Script", "examples_in", "first_block_after"]

FENCE: Final = re.compile(r"^(?P<indent> *)```(?P<info>[^`]*)$")
COMMENT: Final = re.compile(r"^ *<!-- *(?P<text>.*?) *-->$")
OUTPUT: Final = 'text title="Output"'
SEPARATOR: Final = "\x1e"
"""Printed between the parts of a script, so that each can be held against its own output."""


@dataclass
class Block:
    """A fenced block."""

    line: int
    info: str
    comments: list[str]
    text: str


@dataclass
class Script:
    """Blocks that are run together."""

    page: Path
    line: int
    needs: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    outputs: list[str | None] = field(default_factory=list)

    @property
    def source(self) -> str:
        """The whole script."""
        head = f"# {self.page.name}, line {self.line}\n"
        return head + f"\nprint({SEPARATOR!r}, flush=True)\n".join(self.parts)


def examples_in(page: Path) -> list[Script]:
    """Every script of a Markdown page, in order."""
    scripts: list[Script] = []
    for block in _blocks(page.read_text(encoding="utf-8")):
        if block.info == "python":
            if "continues" not in block.comments:
                scripts.append(Script(page, block.line))
            script = scripts[-1]
            script.parts.append(block.text)
            script.outputs.append(None)
            script.needs += [c.removeprefix("needs: ") for c in block.comments if "needs: " in c]
        elif block.info == OUTPUT:
            assert scripts[-1].outputs[-1] is None, f"{page}:{block.line}: two outputs of one block"
            scripts[-1].outputs[-1] = block.text
    return scripts


def first_block_after(page: Path, comment: str) -> str:
    """The text of the fenced block that follows a comment."""
    blocks = _blocks(page.read_text(encoding="utf-8"))
    return next(block.text for block in blocks if comment in block.comments)


def _blocks(text: str) -> Iterator[Block]:
    comments: list[str] = []
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        if comment := COMMENT.match(line):
            comments.append(comment["text"])
        elif fence := FENCE.match(line):
            body = []
            for _, inner in lines:
                if inner.strip() == "```":
                    break
                body.append(inner)
            content = textwrap.dedent("\n".join(body)) + "\n"
            yield Block(number, fence["info"].strip(), comments, content)
            comments = []
        elif line.strip():
            comments = []
