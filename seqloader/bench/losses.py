"""Workers that died while they were measured: each is told of whole, on the command's console."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from seqloader.errors import WorkerLostWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

__all__ = ["tell_losses"]


@contextmanager
def tell_losses(console: Console) -> Iterator[None]:
    """Print every `WorkerLostWarning` without its place in the code, other warnings as usual."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", WorkerLostWarning)
        usual = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: Any
        ) -> None:
            if issubclass(category, WorkerLostWarning):
                # Redirected, it is one line to search in; a terminal wraps it between words.
                console.print(str(message), style="dim", soft_wrap=not console.is_terminal)
            else:
                usual(message, category, filename, lineno, *rest)

        warnings.showwarning = show  # type: ignore[assignment]  # *rest: file and line
        yield
