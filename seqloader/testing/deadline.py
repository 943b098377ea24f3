"""Calls and collections that fail within a deadline, with all stacks, where others would hang."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, Final, TypeVar

from seqloader.randomness.drawn_values import Noticed
from seqloader.tickets import Death, Lost, Outcome, Raised, Shortage, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from seqloader.executors.protocol import Executor

__all__ = ["DEADLINE_S", "all_stacks", "answers_to", "collect", "open_all", "tickets", "within"]

DEADLINE_S: Final = 30.0
"""Time for anything that should take well under a second, workers' start included."""

Result = TypeVar("Result")


def within(deadline_s: float, call: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
    """Return `call(*args, **kwargs)`, made in a thread; fail with all stacks if it takes longer."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call(*args, **kwargs))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="within", daemon=True)
    thread.start()
    thread.join(deadline_s)
    if thread.is_alive():
        name = getattr(call, "__qualname__", call)
        raise AssertionError(f"{name} did not return within {deadline_s} s\n{all_stacks()}")
    if errors:
        raise errors.pop()
    return results.pop()


def all_stacks() -> str:
    """What each thread of this process is doing."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"--- thread {names.get(ident, ident)}\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
    )


def collect(executor: Executor, count: int, *, deadline_s: float = DEADLINE_S) -> list[Outcome]:
    """Wait for `count` outcomes and return them, in the order they came; fail if they do not.

    Deaths of workers that held no ticket are left out, and what was noticed.
    """
    outcomes: list[Outcome] = []

    def gather() -> None:
        deadline = time.monotonic() + deadline_s
        while len(outcomes) < count and time.monotonic() < deadline:
            executor.wait(max(0.0, deadline - time.monotonic()))
            told = executor.collect()
            outcomes.extend(one for one in told if not isinstance(one, (Death, Shortage, Noticed)))

    # A little more, for the case that `wait` keeps to its time: then it is known what is missing.
    within(deadline_s + 2.0, gather)
    assert len(outcomes) == count, (
        f"{len(outcomes)} of {count} outcomes came within {deadline_s} s: "
        f"{[outcome.ticket for outcome in outcomes[:20]]}\n{all_stacks()}"
    )
    return outcomes


def answers_to(executor: Executor, given: Sequence[Ticket]) -> list[Outcome]:
    """Submit tickets, and collect as many outcomes."""
    for ticket in given:
        executor.submit(ticket)
    return collect(executor, len(given))


def tickets(count: int, *, epoch: int = 0, first: int = 0) -> list[Ticket]:
    """Tickets for positions 0 ... count - 1, whose index is `first` + position."""
    return [Ticket(epoch, position, first + position) for position in range(count)]


def open_all(outcomes: Iterable[Outcome]) -> dict[int, Any]:
    """The batches of outcomes by index; fails on an outcome that is not a batch."""
    batches = {}
    for outcome in outcomes:
        if isinstance(outcome, Raised):
            raise AssertionError(f"{outcome.ticket} raised") from outcome.error
        assert not isinstance(outcome, Lost), f"{outcome.ticket} was lost: {outcome.death}"
        batches[outcome.ticket.index] = outcome.open()
    return batches
