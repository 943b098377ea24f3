"""The faults: what is done, what a good loader does, and by which rule a trial is judged."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["FAULTS", "Fault", "Rule", "find"]


class Rule(enum.Enum):
    """What must happen; `verdict` has one function for each."""

    GO_ON = "all batches of all epochs, in order, each once"
    REFUSE = "the batches before it, then an error that names the worker's death"
    RAISE = "the user's own exception, and a loader that can be used again"
    END = "the program ends at once, with its own exit status, and without noise"
    VANISH = "nothing of it is left"
    STAY_FLAT = "as many processes, threads and descriptors as before"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. Plain values only: programs and watchers look it up by name."""

    name: str
    done: str
    """What is done, in one sentence."""
    good: str
    """What a good loader does, in one sentence."""
    rule: Rule
    program: str = "iterate"
    """A file of `programs/`."""
    sequence: str = "Numbered"
    """A class of `victims`."""
    sequence_options: Mapping[str, Any] = field(default_factory=dict)
    length: int = 40
    nbytes: int = 1024
    epochs: int = 1
    pace_s: float = 0.0
    """The consumer sleeps that long over each batch."""
    from_start: bool = False
    """It is there before the loader is made."""
    blow: str = ""
    """A function of `blows`, for what is done from outside."""
    after_batches: int = 0
    """The blow falls when the consumer has had so many batches, or later."""
    within_s: float = 0.0
    """... how much later, at most: at random."""
    needs_workers: bool = True
    full_trials: int = 1
    """More than one where chance decides."""
    keeps: bool = False
    """The consumer keeps every batch."""
    raises: str = ""
    """The class of the user's own exception."""
    says: str = ""
    """A part of its text."""
    asks_again: bool = False
    """After that, the consumer asks the same loader for another epoch."""
    type_matters: bool = False
    """The exception must come with the user's own type; else its name and text are enough."""
    descriptors: int | None = None
    """RLIMIT_NOFILE of the program and of all that it starts."""
    shm_mb: int | None = None
    """Size of /dev/shm in a mount namespace of the trial's own."""
    timeout_s: float | None = None
    """Passed to peers that take `timeout_s`, a limit on one batch."""
    is_spawned: bool = False
    """Peers that have a start method which imports the main module anew are told to use it."""


def _at_random(name: str, nbytes: int, length: int, pace_s: float) -> Fault:
    return Fault(
        f"worker killed at a random time, {name}",
        f"One worker gets SIGKILL from outside at a random time; a batch is {name}.",
        "Delivers every batch of this and of the next epoch, in order.",
        Rule.GO_ON,
        # Two workers are hardly faster than the consumer: not even who knows no bound is done
        # with the epoch when the fault falls.
        sequence_options={"sleep_s": 1.6 * pace_s},
        length=length,
        nbytes=nbytes,
        epochs=2,
        pace_s=pace_s,
        blow="kill_one",
        after_batches=1,
        within_s=0.6 * length * pace_s,
        full_trials=5,
    )


FAULTS: Final = (
    Fault(
        "nothing",
        "Nothing is done to it: this row checks the trial itself.",
        "Delivers every batch of two epochs in order, and ends.",
        Rule.GO_ON,
        epochs=2,
        from_start=True,
        needs_workers=False,
    ),
    Fault(
        "worker killed in __getitem__",
        "A worker gets SIGKILL while it computes batch 7, once.",
        "Has batch 7 computed again, and delivers every batch of this and of the next epoch.",
        Rule.GO_ON,
        sequence="Strikes",
        sequence_options={"how": "SIGKILL", "times": 1},
        epochs=2,
    ),
    _at_random("1 KB", 1 << 10, 200, 0.005),
    _at_random("1 MB", 1 << 20, 200, 0.005),
    _at_random("38 MB", 38_500_000, 24, 0.04),
    Fault(
        "all workers killed",
        "All workers get SIGKILL at the same time, from outside, after batch 10.",
        "Starts others, and delivers every batch of this and of the next epoch.",
        Rule.GO_ON,
        sequence_options={"sleep_s": 0.016},
        length=100,
        epochs=2,
        pace_s=0.01,
        blow="kill_all",
        after_batches=10,
    ),
    Fault(
        "poison index",
        "Batch 7 kills its worker with SIGKILL, whenever it is computed.",
        "Delivers batches 0 to 6, gives up on batch 7, and says in an error that it lost a worker.",
        Rule.REFUSE,
        sequence="Strikes",
        sequence_options={"how": "SIGKILL", "times": None},
    ),
    Fault(
        "consumer killed",
        "The consumer gets SIGKILL in mid-epoch, while its workers compute.",
        "Its workers are gone within 2 s; no shared memory and no temporary file is left.",
        Rule.VANISH,
        sequence_options={"sleep_s": 0.02},
        length=1000,
        nbytes=1 << 20,
        blow="kill_consumer",
        after_batches=10,
    ),
    Fault(
        "worker stopped",
        "A worker gets SIGSTOP while it computes batch 7, once; who takes a time limit for a batch"
        " is given one.",
        "Notices when the limit is over, and delivers every batch all the same.",
        Rule.GO_ON,
        sequence="Strikes",
        sequence_options={"how": "SIGSTOP", "times": 1},
        timeout_s=2.0,
    ),
    Fault(
        "tiny /dev/shm",
        "/dev/shm holds 64 MB, as in many containers, and a batch is 40 MB.",
        "Delivers every batch.",
        Rule.GO_ON,
        length=12,
        nbytes=40_000_000,
        shm_mb=64,
        from_start=True,
        needs_workers=False,
    ),
    Fault(
        "64 descriptors, 1,000 batches kept",
        "No process may have more than 64 open files, and the consumer keeps all 1,000 batches.",
        "Delivers every batch; none that is kept changes.",
        Rule.GO_ON,
        length=1000,
        nbytes=1 << 17,
        keeps=True,
        descriptors=64,
        from_start=True,
        needs_workers=False,
    ),
    Fault(
        "exception with two arguments",
        "Batch 7 raises, once, an exception whose constructor wants two arguments: it does not"
        " survive pickling by itself.",
        "Raises it, or an error that has its name and text; the next epoch is complete.",
        Rule.RAISE,
        sequence="Raises",
        raises="TornPage",
        says="page 7 is torn",
        asks_again=True,
        needs_workers=False,
    ),
    Fault(
        "exception defined in __main__",
        "Batch 7 raises, once, an exception that is defined in the script, as is the Sequence.",
        "Raises it with its own type; the next epoch is complete.",
        Rule.RAISE,
        program="own_classes",
        raises="OwnError",
        says="page 7 is torn",
        asks_again=True,
        type_matters=True,
        is_spawned=True,
        needs_workers=False,
    ),
    Fault(
        "on_epoch_end raises",
        "The hook at the end of the first epoch raises. For peers that know no hooks, the loop over"
        " their batches calls it.",
        "Delivers the epoch, and raises what the hook raised to the caller.",
        Rule.RAISE,
        sequence="BrokenHook",
        raises="MissingPage",
        says="the hook found no page",
        epochs=2,
        needs_workers=False,
    ),
    Fault(
        "__len__ raises",
        "`len(sequence)` raises from the start.",
        "Raises the same to the caller.",
        Rule.RAISE,
        sequence="BrokenLength",
        raises="MissingPage",
        says="nobody knows how many pages there are",
        needs_workers=False,
    ),
    Fault(
        "no __main__ guard",
        "The script has no `if __name__ == '__main__':`, and the workers are not forked from it"
        " where there is a choice.",
        "Delivers every batch.",
        Rule.GO_ON,
        program="no_guard",
        from_start=True,
        is_spawned=True,
        needs_workers=False,
    ),
    Fault(
        "Ctrl-C",
        "The process group gets SIGINT while the consumer waits for a batch; the script catches"
        " nothing.",
        "The program ends within seconds, with one traceback at most; no process is left.",
        Rule.END,
        sequence_options={"sleep_s": 0.1},
        length=1000,
        blow="interrupt",
        after_batches=10,
        needs_workers=False,
    ),
    Fault(
        "iterators abandoned",
        "The loop over an epoch is left after three batches, 20 times, and the next epoch begun.",
        "Each epoch begins with batch 0; processes, threads and descriptors stay as many.",
        Rule.STAY_FLAT,
        program="abandon",
        from_start=True,
        length=100,
        needs_workers=False,
    ),
    Fault(
        "exit with a live iterator",
        "The script ends with exit status 7 while an iterator is in mid-epoch; nothing is closed.",
        "The interpreter ends within seconds, with that status and nothing on standard error.",
        Rule.END,
        program="leave",
        from_start=True,
        length=1000,
        needs_workers=False,
    ),
)


def find(name: str) -> Fault:
    """The fault of that name."""
    for fault in FAULTS:
        if fault.name == name:
            return fault
    raise ValueError(f"no fault {name!r}; there are: {', '.join(fault.name for fault in FAULTS)}")
