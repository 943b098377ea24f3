"""A signal whose handler raises, and which comes while functions of ours return."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from interrupts.arrivals import SIGNAL, TRIGGER, Interrupt

__all__ = ["interrupted_at_return", "read"]


def read(batches: Any, got: list[Any]) -> None:
    """Note each batch that reaches a loop. Without a call, at whose end a signal could come before
    the note is taken."""
    for batch in batches:
        got += [batch]


@contextmanager
def interrupted_at_return(count: int, *functions: Callable[..., Any]) -> Iterator[None]:
    """What is done inside is interrupted when one of the functions returns, at the `count`-th time:
    the handler runs, and raises, as soon as Python lets it, which is in the caller."""
    codes = {function.__code__ for function in functions}
    left = count

    def raises(signum: int, frame: Any) -> None:
        raise Interrupt

    def enters(frame: Any, event: str, arg: Any) -> Any:
        return returns if frame.f_code in codes else None

    def returns(frame: Any, event: str, arg: Any) -> Any:
        nonlocal left
        if event == "return":
            left -= 1
            if not left:
                -TRIGGER  # noqa: B018  (see [arrival])
        return returns

    handler, tracer = signal.signal(SIGNAL, raises), sys.gettrace()
    try:
        sys.settrace(enters)
        with pytest.raises(Interrupt):
            yield
    finally:
        sys.settrace(tracer)
        signal.signal(SIGNAL, handler)
