"""Is a run that was saved and resumed, or whose workers were killed, the run that it would be?

One process records two epochs, with a state saved in each. Another makes the Sequence anew, and
resumes each state; and it runs the two epochs with workers killed on the way.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import cloudpickle
import numpy as np

from seqloader.command import words
from seqloader.command.chaos import Chaos
from seqloader.command.check.child import Said, Tell, make_sequence
from seqloader.command.check.finding import Finding, Question, Untried, Why, note, ok, problem
from seqloader.command.check.leaves import leaves_of
from seqloader.command.check.options import Settings
from seqloader.command.check.sameness import DEPEND_ON
from seqloader.command.faults import fault_text
from seqloader.enqueuer import OrderedEnqueuer
from seqloader.sequence.interface import overrides_hook

__all__ = ["Kills", "Recording", "Resume", "Setup", "record", "replay"]

EPOCHS = 2
CARRY = "Give the Sequence state_dict() and load_state_dict(state), which carry what hooks"


class Recording(NamedTuple):
    """Two epochs that nothing interrupted."""

    epochs: tuple[tuple[bytes, ...], ...]  # a digest of each batch that was delivered
    states: tuple[tuple[int, int, str], ...]  # epoch, batches delivered in it, state as JSON


@dataclass(frozen=True)
class Resume:
    """A run that was saved and resumed, beside one that was not interrupted."""

    positions: tuple[tuple[int, int], ...]  # epoch and position of each state that was resumed
    compared: int = 0  # batches after all resumes together
    differs_at: tuple[int, int, int] | None = None  # epoch of the state; epoch, position of batch
    differing: int = 0
    again_differs: int = -1  # epoch from which a plain second run differs as well; -1: it does not
    error: str = ""  # what raised, and what it said
    traceback: str = ""
    hooks: bool = False  # whether the Sequence has hooks of its own
    keeps_state: bool = False  # whether it has `state_dict` and `load_state_dict`
    state_bytes: int = 0
    question = Question.RESUME

    def finding(self) -> Finding:
        if self.error:
            why = "The state is saved in one process and loaded in another, on a Sequence made anew"
            advice = "Mend what raised; the traceback is below"
            if "ResumeError" in self.error and self.hooks and not self.keeps_state:
                why += ", which has not seen what hooks did in earlier epochs"
                advice = f"{CARRY} change; or let it depend on the epoch alone"
            return problem(self.error, why, advice, self.traceback)
        told = [f"after {words.count(n, 'batch')} of epoch {epoch}" for epoch, n in self.positions]
        where = f"saved {' and '.join(told)}, loaded in a new process"
        if self.differs_at is None:
            state = f"The state is {words.size(self.state_bytes)}"
            return ok(f"{where}: all {self.compared} batches that followed are the same. {state}")
        of_epoch, epoch, position = self.differs_at
        return problem(
            f"{where}: {self.differing} of {self.compared} batches that followed differ from the "
            f"uninterrupted run, the first at position {position} of epoch {epoch} (state of "
            f"epoch {of_epoch})",
            *self._why(),
        )

    def _why(self) -> tuple[str, str]:
        if self.again_differs == 0:
            return (
                "So does a second run from the beginning: making the Sequence gives another one "
                "each time (the order of a set or of a folder's files, random numbers, the time)",
                "Make it of the same each time: sorted(...) for sets and files, a fixed seed",
            )
        if self.again_differs > 0:
            return (
                f"So does a second run that nothing interrupted, from epoch {self.again_differs} "
                "on: a hook draws random numbers that no seed reaches, or looks at the time",
                "Draw in hooks from numpy.random or random, which are seeded for each epoch",
            )
        same = "A second run that nothing interrupted is the same: so"
        if self.keeps_state:
            return (
                f"{same} the Sequence's state_dict() leaves something out that its batches depend "
                "on, or load_state_dict() does not bring it back",
                "Let both carry all that hooks change, as the order that on_epoch_end shuffles",
            )
        if self.hooks:
            return (
                f"{same} the batches depend on what hooks did in earlier epochs, and a Sequence "
                "made anew has not seen those",
                f"{CARRY} change; or let it depend on the epoch alone, instead of shuffling in a "
                "hook: batch_context().epoch in __getitem__, shuffle=True of the enqueuer, or "
                "BatchedSequence(..., shuffle=True)",
            )
        return (
            f"{same} the batches depend on something that earlier batches or epochs left behind",
            f"{DEPEND_ON}. {CARRY} set",
        )


@dataclass(frozen=True)
class Kills:
    """A run whose workers were killed, beside one whose workers were not."""

    kills: int
    respawns: int = 0
    compared: int = 0
    differing: int = 0
    error: str = ""
    traceback: str = ""
    question = Question.KILLS

    def finding(self) -> Finding:
        killed = f"{words.count(self.kills, 'worker')} killed with SIGKILL at random moments"
        if self.error:
            return problem(
                f"{killed}: then {self.error}",
                "A file, a lock or a connection that the dead one left behind may be in the way",
                "Let __getitem__ open what it needs, and write nowhere that another worker reads",
                self.traceback,
            )
        if self.differing:
            differ = f"{self.differing} of {self.compared} batches differ"
            return problem(
                f"{killed}: {differ} from those of a run without kills",
                "A batch depends on what its worker computed before, or on what one left half done",
                DEPEND_ON,
            )
        if not self.kills:
            return note("no worker was killed: the run was over too soon for it")
        return ok(f"{killed}, {self.respawns} replaced: all {self.compared} batches are the same")


class Setup(NamedTuple):
    """How the enqueuer is made; of each epoch, `settings.batches` are taken at most."""

    settings: Settings
    start_method: Literal["spawn", "fork"]

    @contextmanager
    def enqueuer(self, sequence: Any, **options: Any) -> Iterator[OrderedEnqueuer[Any]]:
        """Started; nobody looks at warnings here, and none may become an error."""
        workers, executor = self.settings.workers, self.settings.executor
        options |= {"executor": executor, "workers": workers, "seed": self.settings.seed}
        options["start_method"] = self.start_method if executor == "process" else None
        options["timeout_s"] = self.settings.patience_s / 2 if workers else None
        quiet = warnings.catch_warnings(action="ignore")
        with quiet, OrderedEnqueuer(sequence, **options) as enqueuer:
            yield enqueuer


def record(tell: Tell, setup: Setup) -> None:
    """Make the Sequence, and tell what two epochs of it are; or what is wrong."""
    sequence = make_sequence(setup.settings, tell)
    tell(Said("two epochs, saved in the middle of each", Question.RESUME))
    tell(recorded(sequence, setup))


def replay(tell: Tell, setup: Setup, recording: Recording) -> None:
    """Make the Sequence anew, and tell whether it goes on from what was saved, and bears kills."""
    make: Callable[[], Any] = partial(make_sequence, setup.settings, tell)
    can_be_copied = setup.start_method == "spawn"
    if can_be_copied:
        make = copies_of(make())
    tell(Said("resuming what was saved", Question.RESUME))
    found = resumed(make, setup, recording)
    tell(found)
    if not (setup.settings.kills and setup.settings.workers):
        return
    differs = found.again_differs
    if differs == 0 and can_be_copied:
        # Making it draws something. Copies of one are alike, and their runs can be compared.
        tell(Said("two epochs, to compare with", Question.KILLS))
        alike = recorded(make(), setup)
        if isinstance(alike, Recording):
            recording, differs = alike, again_differs(make, setup, alike)
    if differs >= 0:
        said = "two runs that nothing interrupts differ, so there is nothing to compare with"
        tell(Untried(Question.KILLS, Why.BROKEN, said))
    else:
        tell(Said("killing workers", Question.KILLS))
        tell(killed(make(), setup, recording))


def copies_of(sequence: Any) -> Callable[[], Any]:
    """Makes copies of it as it is now; mapped files, which may be huge, are shared."""
    maps: list[Any] = []

    class MapsPickler(cloudpickle.Pickler):  # type: ignore[misc]
        def persistent_id(self, obj: Any) -> int | None:
            array = obj
            while isinstance(array, np.ndarray):
                if isinstance(array, np.memmap) and array.filename is not None:
                    maps.append(obj)
                    return len(maps) - 1
                array = array.base
            return None

    class Unpickler(pickle.Unpickler):
        persistent_load = staticmethod(maps.__getitem__)

    data = io.BytesIO()
    MapsPickler(data, protocol=5).dump(sequence)
    return lambda: Unpickler(io.BytesIO(data.getvalue())).load()


def recorded(sequence: Any, setup: Setup) -> Recording | Resume:
    """Take two epochs, and save in the middle of the first and at a third of the second."""
    batches = setup.settings.batches
    epochs: list[tuple[bytes, ...]] = []
    states: list[tuple[int, int, str]] = []
    asked = "the run"
    try:
        with setup.enqueuer(sequence) as enqueuer:
            for epoch in range(EPOCHS):
                save_at = batches // (2 + epoch) or 1
                digests: list[bytes] = []
                if batches == 1 and not epoch:  # there is no middle
                    states.append((0, 0, json.dumps(enqueuer.state_dict())))
                for digest in _taken(enqueuer, batches):
                    digests.append(digest)
                    if len(digests) == save_at and batches > 1:
                        asked = "json.dumps(enqueuer.state_dict())"
                        states.append((epoch, save_at, json.dumps(enqueuer.state_dict())))
                        asked = "the run"
                epochs.append(tuple(digests))
    except Exception as error:
        said = f"{asked} raised {type(error).__name__}: {error}"
        return Resume((), error=said, traceback=fault_text(error))
    return Recording(tuple(epochs), tuple(states))


def resumed(make: Callable[[], Any], setup: Setup, recording: Recording) -> Resume:
    """Resume each state on a Sequence made anew, and compare all that follows."""
    sequence, states = make(), recording.states
    found = Resume(
        tuple((epoch, position) for epoch, position, _ in states),
        hooks=any(overrides_hook(sequence, f"on_epoch_{name}") for name in ("begin", "end")),
        keeps_state=any("sequence" in json.loads(state) for *_, state in states),
        state_bytes=max((len(state) for *_, state in states), default=0),
    )
    different: list[tuple[int, int, int]] = []
    for number, (epoch, position, state) in enumerate(states):
        asked = "load_state_dict()"
        try:
            with setup.enqueuer(make() if number else sequence) as enqueuer:
                enqueuer.load_state_dict(json.loads(state))
                asked = "the run"
                for at, same in _compared(enqueuer, setup, recording, epoch, position):
                    found = replace(found, compared=found.compared + 1)
                    different += [] if same else [(epoch, *at)]
        except Exception as error:
            said = f"{asked} raised {type(error).__name__}: {error}"
            said += f" (state of epoch {epoch}, position {position})"
            return replace(found, error=said, traceback=fault_text(error))
    if not different:
        return found
    again = again_differs(make, setup, recording)
    first, differing = different[0], len(different)
    return replace(found, differs_at=first, differing=differing, again_differs=again)


def again_differs(make: Callable[[], Any], setup: Setup, recording: Recording) -> int:
    """The first epoch in which a second run differs that nothing interrupted; -1: none."""
    with setup.enqueuer(make()) as enqueuer:
        compared = _compared(enqueuer, setup, recording)
        return next((epoch for (epoch, _), same in compared if not same), -1)


def killed(sequence: Any, setup: Setup, recording: Recording) -> Kills:
    """The two epochs once more, with workers killed at random moments."""
    total, kills = sum(map(len, recording.epochs)), setup.settings.kills
    compared = differing = 0
    chaos = Chaos(total, kills, random.Random(setup.settings.seed))
    try:
        with setup.enqueuer(sequence, crash_retries=kills + 2) as enqueuer:
            chaos.strike(0)
            for _, same in _compared(enqueuer, setup, recording):
                compared += 1
                differing += not same
                chaos.strike(compared)
            return Kills(chaos.kills, enqueuer.stats().respawns, compared, differing)
    except Exception as error:
        said = f"the run raised {type(error).__name__}: {error}"
        return Kills(chaos.kills, 0, compared, differing, said, fault_text(error))


def _taken(enqueuer: OrderedEnqueuer[Any], most: int) -> Iterator[bytes]:
    """Digests of the next epoch's batches, as far as they are wanted."""
    if most > 0:
        for number, batch in enumerate(enqueuer, start=1):
            yield blake2b(repr(sorted(leaves_of(batch))).encode(), digest_size=16).digest()
            if number == most:
                return


def _compared(
    enqueuer: OrderedEnqueuer[Any],
    setup: Setup,
    recording: Recording,
    epoch: int = 0,
    done: int = 0,
) -> Iterator[tuple[tuple[int, int], bool]]:
    """Epoch and position of each batch from there on, and whether it is the recorded one."""
    for number in range(epoch, EPOCHS):
        expected = recording.epochs[number]
        for digest in _taken(enqueuer, setup.settings.batches - done):
            yield (number, done), done < len(expected) and digest == expected[done]
            done += 1
        for missing in range(done, len(expected)):
            yield (number, missing), False
        done = 0
