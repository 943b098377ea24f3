"""Tests find the signals of a terminal, also where the run was started with them ignored."""

from __future__ import annotations

import sys

SHOWS = """
    SHOW = '''if True:
        import signal
        for name in ("SIGINT", "SIGHUP", "SIGTERM", "SIGCHLD"):
            signum = getattr(signal, name)
            blocked = signum in signal.pthread_sigmask(signal.SIG_BLOCK, [])
            print(name, signal.getsignal(signum) != signal.SIG_IGN and not blocked)
    '''

    def test_children_take_signals():
        shown = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True)
        assert shown.stdout.split() == "SIGINT True SIGHUP True SIGTERM True SIGCHLD True".split()

    def test_the_run_goes_on_ignoring_them():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGHUP)

    def test_a_child_can_be_interrupted():
        with subprocess.Popen(SLEEPER, stderr=subprocess.PIPE) as child:
            child.send_signal(signal.SIGHUP)
            assert child.wait() == -signal.SIGHUP
"""

STARTER = """
import signal, sys
import pytest

signals = {signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD}
blocked = {signal.SIGHUP, signal.SIGTERM}
for signum in signals:
    signal.signal(signum, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, blocked)

status = pytest.main(sys.argv[1:])

assert all(signal.getsignal(signum) == signal.SIG_IGN for signum in signals)
assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == blocked
sys.exit(status)
"""


def test_children_take_the_signals_that_the_run_ignores_or_blocks(guarded, pytester):
    arguments = guarded.arguments(SHOWS)

    result = pytester.run(sys.executable, "-c", STARTER, *arguments)

    result.assert_outcomes(passed=3)
    assert result.ret == 0
