"""Workers that died, as a command tells of them: on its own console, not as Python warns."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from seqloader.errors import WorkerLostWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["telling_losses"]


@contextmanager
def telling_losses(tell: Callable[[str], object]) -> Iterator[None]:
    """Have `tell` called with the text of every `WorkerLostWarning`; other warnings as usual."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", WorkerLostWarning)
        usual = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: Any
        ) -> None:
            if issubclass(category, WorkerLostWarning):
                tell(str(message))
            else:
                usual(message, category, filename, lineno, *rest)

        warnings.showwarning = show  # type: ignore[assignment]  # *rest: file and line
        yield
