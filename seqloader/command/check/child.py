"""The processes in which the user's code runs, so that whatever it does ends there.

A child is told what to do through one pipe, whose end ends it, as workers end with their consumer;
through another it tells what it finds, as soon as it knows. What user code prints goes to standard
error. It leads a process group of its own, so that Ctrl-C reaches the command alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any

from seqloader.command import words
from seqloader.command.check.finding import Question
from seqloader.command.check.options import Settings
from seqloader.command.faults import SequenceFault, fault_text
from seqloader.command.target import TargetError, load_sequence, parse_arguments
from seqloader.executors import guard_life

__all__ = ["ChildGoneError", "Said", "Subject", "UnmadeError", "make_sequence", "messages", "serve"]

Tell = Callable[[Any], object]

ENTRY = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "given = [*map(int, sys.argv[2:])]; sys.argv[1:] = []; "  # user code may read them
    "from seqloader.command.check.child import serve; serve(*given)"
)
LEAVE_S = 2.0  # to end by itself, once it was interrupted or has told everything


@dataclass(frozen=True)
class Said:
    """What is about to be done."""

    words: str
    question: Question | None = None  # what for; None: the Sequence is made


@dataclass(frozen=True)
class Subject:
    """What is being checked, and how much of it."""

    kind: str
    length: int | None  # batches in the first epoch; None: endless
    tried: int = 0  # different batches that were computed


class UnmadeError(Exception):
    """The Sequence could not be made: the text says why, with the user's traceback."""


class ChildGoneError(Exception):
    """The child was gone before it had finished: the text says how."""


LAST_WORDS = (type(None), TargetError, UnmadeError)


def messages(work: Callable[[Tell], object], patience_s: float) -> Generator[Any]:
    """Have a child do some work, which is given a function that tells; hand out what it tells.

    Raises what it could not do: TargetError, UnmadeError, ChildGoneError.
    """
    (reader, orders), (answers, writer) = Pipe(duplex=False), Pipe(duplex=False)
    with orders, answers:
        with reader, writer:
            child = _start([reader.fileno(), writer.fileno()])
        message: Any = ""
        try:
            with contextlib.suppress(BrokenPipeError):  # it is gone, which is told below
                orders.send(work)
            while not isinstance(message := _next_of(answers, child, patience_s), LAST_WORDS):
                yield message
        finally:
            # After its last word it leaves: a SIGINT would meet it in the middle of that, and an
            # exit handler would print a KeyboardInterrupt.
            _end(child, finished=isinstance(message, LAST_WORDS))
        if message is not None:
            raise message


def _start(passed: list[int]) -> subprocess.Popen[bytes]:
    flags = [f"-W{option}" for option in sys.warnoptions]
    arguments = [json.dumps(sys.path), *map(str, passed)]
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-P", *flags, "-c", ENTRY, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=2,
        pass_fds=passed,
        process_group=0,
    )


def _next_of(
    answers: Connection[Any, Any], child: subprocess.Popen[bytes], patience_s: float
) -> Any:
    try:
        if answers.poll(patience_s):
            return answers.recv()
    except (EOFError, ConnectionError):
        _end(child, finished=True)
        raise ChildGoneError(words.ending(child.returncode)) from None
    raise ChildGoneError(f"it did not end within {patience_s:.3g} s")


def _end(child: subprocess.Popen[bytes], *, finished: bool) -> None:
    try:
        if not finished:
            child.send_signal(signal.SIGINT)
        child.wait(LEAVE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        child.kill()
        child.wait()


def serve(orders: int, answers: int) -> None:
    """Entry of the child."""
    for passed in (orders, answers):
        os.set_inheritable(passed, False)  # not for the user's own children
    try:
        with Connection(orders, writable=False) as life, Connection(answers) as connection:
            work = life.recv()
            guard_life(orders)  # nothing more is written to it
            try:
                work(connection.send)
            except TargetError as error:
                connection.send(error)
            except SequenceFault as fault:
                connection.send(UnmadeError(fault_text(fault.error)))
            connection.send(None)
    except (KeyboardInterrupt, EOFError, ConnectionError):
        os._exit(130)


def make_sequence(settings: Settings, tell: Tell) -> Any:
    """What the command names."""
    tell(Said("making the Sequence"))
    return load_sequence(settings.target, parse_arguments([*settings.arg]))
