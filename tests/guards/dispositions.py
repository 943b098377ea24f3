"""Gives the tests and their children the signals of a terminal, wherever the run was started.

`nohup`, `&` in a shell script and many runners start a program with SIGINT or SIGHUP ignored, some
with signals blocked. Both go through exec to every process below: a test then waits for a Ctrl-C
that nobody notices. A signal with a handler is none of that: exec gives it back its default. So
what came ignored gets a handler that does nothing, for the run. The run goes on ignoring it, and
its children do not; no test needs to remember it.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Final

import pytest

__all__: list[str] = []

_NAMES: Final = (
    *("SIGINT", "SIGHUP", "SIGTERM", "SIGQUIT", "SIGCHLD", "SIGALRM", "SIGIO"),
    *("SIGUSR1", "SIGUSR2"),
)
"""What tests send, or wait for. Not SIGPIPE, which Python ignores for itself; nor what a terminal
sends to background jobs, whose calls would fail with a handler."""

_SIGNALS: Final = frozenset(getattr(signal, name) for name in _NAMES if hasattr(signal, name))

_IGNORED: Final = pytest.StashKey[list[signal.Signals]]()
_BLOCKED: Final = pytest.StashKey[set[signal.Signals]]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[_IGNORED] = [s for s in _SIGNALS if signal.getsignal(s) == signal.SIG_IGN]
    for signum in config.stash[_IGNORED]:
        signal.signal(signum, _do_nothing)
    if hasattr(signal, "pthread_sigmask"):
        config.stash[_BLOCKED] = signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS) & _SIGNALS


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    for signum in config.stash.get(_IGNORED, ()):
        signal.signal(signum, signal.SIG_IGN)
    if blocked := config.stash.get(_BLOCKED, None):
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)


def _do_nothing(signum: int, frame: FrameType | None) -> None: ...
