"""Is a run that was saved and resumed, or whose workers were killed, the run that it would be?

Two processes. The first records: two epochs, uninterrupted, with a state saved in each. The second
makes the Sequence anew, as a program does that is started again, and resumes each state; and it
runs the two epochs with workers killed on the way. Batches are compared by digests.
"""

from __future__ import annotations

import json
import random
import warnings
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from seqloader.bookmarks import carries_state
from seqloader.command.chaos import Chaos
from seqloader.command.check.facts import Kills, Resume
from seqloader.command.check.leaves import leaves_of
from seqloader.command.faults import fault_text
from seqloader.enqueuer import OrderedEnqueuer
from seqloader.sequence import overrides_hook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Recording", "Run", "again_differs", "kill", "record", "resume"]

EPOCHS = 2


@dataclass(frozen=True)
class Run:
    """How the enqueuer is made, and how much of each epoch is taken."""

    workers: int
    seed: int
    start_method: str
    timeout_s: float
    batches: int
    """Of each epoch, at most."""
    kills: int = 0

    def enqueuer(self, sequence: Any, **options: Any) -> OrderedEnqueuer[Any]:
        """An enqueuer that is not started yet."""
        return OrderedEnqueuer(
            sequence,
            workers=self.workers,
            seed=self.seed,
            start_method=self.start_method,
            timeout_s=self.timeout_s if self.workers else None,
            **options,
        )


@dataclass(frozen=True)
class Recording:
    """Two epochs that nothing interrupted."""

    epochs: tuple[tuple[bytes, ...], ...]
    """A digest of each batch that was delivered."""
    states: tuple[tuple[int, int, str], ...] = ()
    """Epoch, batches delivered in it, and the state as JSON."""
    error: str = ""
    traceback: str = ""


@dataclass
class _Place:
    """The last thing that was asked for: what an error is about."""

    said: str = "the run"


def record(sequence: Any, run: Run) -> Recording:
    """Take two epochs, and save in the middle of the first and at a third of the second."""
    epochs: list[list[bytes]] = []
    states: list[tuple[int, int, str]] = []
    place = _Place()

    def save(epoch: int, position: int) -> None:
        place.said = "json.dumps(enqueuer.state_dict())"
        states.append((epoch, position, json.dumps(enqueuer.state_dict())))
        place.said = "the run"

    try:
        with _quiet(), run.enqueuer(sequence) as enqueuer:
            if run.batches == 1:  # there is no middle
                save(0, 0)
            for epoch in range(EPOCHS):
                epochs.append([])
                for digest in _taken(enqueuer, run.batches, place):
                    epochs[-1].append(digest)
                    if len(epochs[-1]) == _save_at(epoch, run.batches):
                        save(epoch, len(epochs[-1]))
    except Exception as error:
        return Recording((), (), _said(place.said, error), fault_text(error))
    return Recording(tuple(map(tuple, epochs)), tuple(states))


def _save_at(epoch: int, batches: int) -> int:
    """After how many batches of an epoch; 0: never."""
    return max(1, batches // (2 + epoch)) if batches > 1 else 0


def _taken(enqueuer: OrderedEnqueuer[Any], most: int, place: _Place) -> Iterator[bytes]:
    """Digests of the next epoch's batches, as far as they are wanted."""
    place.said = "the run"
    if most <= 0:
        return
    for number, batch in enumerate(enqueuer, start=1):
        yield _digest(batch)
        if number == most:
            return


def _digest(batch: Any) -> bytes:
    whole = blake2b(digest_size=16)
    for leaf in sorted(leaves_of(batch)):
        whole.update(repr(leaf).encode())
    return whole.digest()


def _quiet() -> warnings.catch_warnings[None]:
    """Nobody looks at warnings here, and none may become an error."""
    return warnings.catch_warnings(action="ignore")


def _said(what: str, error: BaseException) -> str:
    return f"{what} raised {type(error).__name__}: {error}"


# --- resumed --------------------------------------------------------------------------------


def resume(make: Callable[[], Any], run: Run, recording: Recording) -> Resume:
    """Resume each state on a Sequence made anew, and compare all that follows."""
    sequence = make()
    known: dict[str, Any] = {
        "positions": tuple((epoch, position) for epoch, position, _ in recording.states),
        "hooks": any(overrides_hook(sequence, f"on_epoch_{name}") for name in ("begin", "end")),
        "keeps_state": carries_state(sequence),
        "state_bytes": max((len(state) for *_, state in recording.states), default=0),
    }
    compared = differing = 0
    first: tuple[int, int, int] | None = None
    place = _Place()
    for number, (epoch, position, state) in enumerate(recording.states):
        try:
            place.said = "load_state_dict()"
            with _quiet(), run.enqueuer(make() if number else sequence) as enqueuer:
                enqueuer.load_state_dict(json.loads(state))
                for at, same in _compared(enqueuer, run, recording, place, epoch, position):
                    compared += 1
                    differing += not same
                    if not same and first is None:
                        first = (epoch, *at)
        except Exception as error:
            text = f"{_said(place.said, error)} (state of epoch {epoch}, position {position})"
            return Resume(**known, compared=compared, error=text, traceback=fault_text(error))
    again = again_differs(make, run, recording) if differing else -1
    return Resume(
        **known, compared=compared, differs_at=first, differing=differing, again_differs=again
    )


def again_differs(make: Callable[[], Any], run: Run, recording: Recording) -> int:
    """The first epoch in which a second run differs that nothing interrupted; -1: none."""
    with _quiet(), run.enqueuer(make()) as enqueuer:
        for (epoch, _), same in _compared(enqueuer, run, recording, _Place(), 0, 0):
            if not same:
                return epoch
    return -1


def _compared(
    enqueuer: OrderedEnqueuer[Any],
    run: Run,
    recording: Recording,
    place: _Place,
    epoch: int,
    position: int,
) -> Iterator[tuple[tuple[int, int], bool]]:
    """Epoch and position of each batch from there on, and whether it is the recorded one."""
    for number in range(epoch, EPOCHS):
        done = position if number == epoch else 0
        expected = recording.epochs[number]
        for digest in _taken(enqueuer, run.batches - done, place):
            same = done < len(expected) and digest == expected[done]
            yield (number, done), same
            done += 1
        for missing in range(done, len(expected)):
            yield (number, missing), False


# --- killed ---------------------------------------------------------------------------------


def kill(sequence: Any, run: Run, recording: Recording) -> Kills:
    """The two epochs once more, with workers killed at random moments."""
    total = sum(map(len, recording.epochs))
    compared = differing = 0
    chaos = Chaos(total, run.kills, random.Random(run.seed))
    try:
        with _quiet(), run.enqueuer(sequence, crash_retries=run.kills + 2) as enqueuer:
            chaos.strike(0)
            for _, same in _compared(enqueuer, run, recording, _Place(), 0, 0):
                compared += 1
                differing += not same
                chaos.strike(compared)
            respawns = enqueuer.stats().respawns
    except Exception as error:
        text = _said("the run", error)
        return Kills(chaos.kills, 0, compared, differing, text, fault_text(error))
    return Kills(chaos.kills, respawns, compared, differing)
