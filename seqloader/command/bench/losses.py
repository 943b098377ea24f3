"""Workers that died while they were measured: each is told of whole, on the command's console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqloader.command.losses import telling_losses

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import Console

__all__ = ["tell_losses"]


def tell_losses(console: Console) -> AbstractContextManager[None]:
    """Print every `WorkerLostWarning` without its place in the code, other warnings as usual."""
    # Redirected, it is one line to search in; a terminal wraps it between words.
    whole = not console.is_terminal
    return telling_losses(lambda text: console.print(text, style="dim", soft_wrap=whole))
