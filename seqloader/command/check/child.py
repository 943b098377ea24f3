"""The processes in which the user's code runs, so that whatever it does ends there.

    command                              child
    order         == connection ==>      makes the Sequence, tries it
    facts, words  <== connection ==      each as soon as it is known
    (its end)                            the end of the connection: nothing more to be told

The child writes nothing to standard output: what user code prints there goes to standard error.
It leads a process group of its own, so that Ctrl-C reaches the command alone, which then interrupts
it; and it dies with the command, as workers do with their consumer.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from types import NoneType
from typing import TYPE_CHECKING, Any

from seqloader.command.check.facts import Question, Untried, Why
from seqloader.executors.process.worker.life import guard_life

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from seqloader.command.check.original import Original
    from seqloader.command.check.replaying import Recording, Run
    from seqloader.command.check.settings import Settings

__all__ = ["Ended", "Fault", "Order", "Refused", "Said", "messages", "serve"]

ENTRY = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "given = [*map(int, sys.argv[2:])]; sys.argv[1:] = []; "  # user code may read them
    "from seqloader.command.check.child import serve; serve(*given)"
)
LEAVE_S = 2.0
"""What a child has to end by itself, once it was interrupted or has told everything."""


@dataclass(frozen=True)
class Order:
    """What a child is to do; all but the settings is for recording and replaying."""

    role: str
    """"examine", "record" or "replay"."""
    settings: Settings
    seconds: float = 0.0
    run: Run | None = None
    recording: Recording | None = None


@dataclass(frozen=True)
class Said:
    """What the child is about to do."""

    words: str
    question: Question | None = None
    """What for; None: the Sequence is made."""


@dataclass(frozen=True)
class Refused:
    """What the command line names is not there, or no Sequence."""

    text: str


@dataclass(frozen=True)
class Fault:
    """Making the Sequence raised."""

    traceback: str


@dataclass(frozen=True)
class Ended:
    """The child was gone before it had finished."""

    how: str


def messages(order: Order, patience_s: float) -> Generator[Any]:
    """Start a child, and hand out what it tells; last an `Ended` if it does not finish.

    Args:
        order: What it is to do.
        patience_s: How long it may be silent before it is ended.
    """
    with contextlib.ExitStack() as stack:
        ours, theirs = Pipe()
        stack.enter_context(ours)
        life, held = os.pipe()
        stack.callback(os.close, held)
        with theirs, open(life, "rb", buffering=0):
            passed = [theirs.fileno(), life]
            child = _start(passed)
        finished = False
        try:
            for message in _conversation(ours, child, order, patience_s):
                # After its last word it leaves: a SIGINT would meet it in the middle of that, and
                # an exit handler would print a KeyboardInterrupt.
                finished = isinstance(message, (Refused, Fault, NoneType))
                if message is not None:
                    yield message
        finally:
            _end(child, finished=finished)


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


def _conversation(
    ours: Connection[Any, Any], child: subprocess.Popen[bytes], order: Order, patience_s: float
) -> Iterator[Any]:
    try:
        ours.send(order)
        while True:
            if not ours.poll(patience_s):
                yield Ended(f"it did not end within {patience_s:.3g} s")
                return
            message = ours.recv()
            yield message
            if message is None:
                return
    except (EOFError, ConnectionError):
        pass
    yield Ended(_how(child.wait()))


def _how(exitcode: int) -> str:
    if exitcode >= 0:
        return f"its process ended with exit status {exitcode}"
    try:
        return f"its process died by {signal.Signals(-exitcode).name}"
    except ValueError:
        return f"its process died by signal {-exitcode}"


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


# --- in the child ---------------------------------------------------------------------------


def serve(descriptor: int, life: int) -> None:
    """Entry of the child."""
    for passed in (descriptor, life):
        os.set_inheritable(passed, False)  # not for the user's own children
    guard_life(life)
    try:
        with Connection(descriptor) as connection:
            order: Order = connection.recv()
            _obey(order, connection.send)
            connection.send(None)
    except (KeyboardInterrupt, BrokenPipeError, EOFError, ConnectionError):
        os._exit(130)


def _obey(order: Order, tell: Callable[[Any], object]) -> None:
    from seqloader.command.faults import SequenceFault, fault_text
    from seqloader.command.target import TargetError

    try:
        _do(order, tell)
    except TargetError as error:
        tell(Refused(str(error)))
    except SequenceFault as fault:
        tell(Fault(fault_text(fault.error)))


def _do(order: Order, tell: Callable[[Any], object]) -> None:
    def say(words: str, question: Question | None = None) -> None:
        tell(Said(words, question))

    say("making the Sequence")
    if order.role == "examine":
        from seqloader.command.check.examining import Examination

        sequence = _make(order.settings)
        Examination(sequence, order.settings, tell, say, order.seconds).run()
        return
    from seqloader.command.check import replaying

    assert order.run is not None
    make = _Maker(order.settings, order.run.start_method)
    if order.role == "record":
        say("two epochs, saved in the middle of each", Question.RESUME)
        tell(replaying.record(make(), order.run))
        return
    assert order.recording is not None
    say("resuming what was saved", Question.RESUME)
    resumed = replaying.resume(make, order.run, order.recording)
    tell(resumed)
    recording = order.recording
    differs_from = resumed.again_differs
    if differs_from == 0 and make.copies:
        # Making it draws something. Copies of one are alike, and their runs can be compared.
        say("two epochs, to compare with", Question.KILLS)
        recording = replaying.record(make(), order.run)
        differs_from = replaying.again_differs(make, order.run, recording)
    if differs_from >= 0:
        said = "two runs that nothing interrupts differ, so there is nothing to compare with"
        tell(Untried(Question.KILLS, Why.BROKEN, said))
    elif order.run.kills and order.run.workers:
        say("killing workers", Question.KILLS)
        tell(replaying.kill(make(), order.run, recording))


def _make(settings: Settings) -> Any:
    from seqloader.command.target import load_sequence, parse_arguments

    return load_sequence(settings.target, parse_arguments([*settings.arg]))


class _Maker:
    """Makes the Sequence, and then copies of it as it was: making may take long.

    What cannot be pickled cannot be copied; it is made again each time.
    """

    def __init__(self, settings: Settings, start_method: str) -> None:
        self._settings = settings
        self.copies = start_method == "spawn"
        self._original: Original | None = None

    def __call__(self) -> Any:
        from seqloader.command.check.original import Original

        if self._original is not None:
            return self._original.copy()
        sequence = _make(self._settings)
        if self.copies:
            self._original = Original(sequence)
        return sequence
