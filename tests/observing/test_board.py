"""The board under interrupts and errors: whoever stores a word finds one, and nothing is left."""

from __future__ import annotations

import os
import sys

import pytest
from observing.strikes import Interrupt, Strike, take_all
from observing.traces import Numbers
from run.stand_ins import Executor

from seqloader import OrderedEnqueuer
from seqloader.run.board import BOARD_NAME


def boards() -> int:
    """Descriptors of boards that this process has."""
    if sys.platform != "linux":
        return 0
    found = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            found += BOARD_NAME in os.readlink(f"/proc/self/fd/{number}")
        except OSError:  # that of the listing itself
            continue
    return found


@pytest.mark.parametrize("executor", ["inline", "thread"])
def test_an_interrupt_at_any_line_leaves_an_enqueuer_that_works(executor: str) -> None:
    """Raised at each line of the board's modules in turn: while it starts, runs and stops."""
    ours = [f"{os.sep}run{os.sep}{name}.py" for name in ("board", "observed")]
    line, strike = 0, Strike(0, "")
    while strike.left <= 0:
        line += 1
        strike = Strike(line, *ours)
        enqueuer = OrderedEnqueuer(Numbers(3), workers=1, executor=executor)  # type: ignore[arg-type]
        sys.settrace(strike)
        try:
            take_all(enqueuer)
            enqueuer.stop()
        except Interrupt:
            pass  # in stop()
        finally:
            sys.settrace(None)
        assert take_all(enqueuer) == [0, 1, 2], f"struck at line {line}"
        enqueuer.stop()
        assert boards() == 0, f"struck at line {line}"
    assert line > 40


class Broken(Executor):
    """Has two workers, and cannot go on."""

    workers = 2

    def wait(self, timeout_s: float | None = None) -> None:
        raise OSError("the cluster is gone")


def test_an_executor_that_fails_while_the_consumer_waits_is_what_is_told() -> None:
    """The error ends the session, and with it the board that the wait is noted on."""
    enqueuer = OrderedEnqueuer(Numbers(3), executor=Broken())
    with pytest.raises(OSError, match="the cluster is gone"):
        next(iter(enqueuer))
    assert boards() == 0
