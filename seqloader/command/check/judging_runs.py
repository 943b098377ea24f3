"""From facts to findings: is a run the same when it is resumed, or its workers are killed? Pure."""

from __future__ import annotations

from seqloader.command import words
from seqloader.command.check.facts import Kills, Question, Resume
from seqloader.command.check.finding import Finding, Status

__all__ = ["judge_kills", "judge_resume"]

REFUSED = "ResumeError"


def judge_resume(found: Resume) -> Finding:
    """Does save-and-resume give the same stream?"""
    question = Question.RESUME
    if found.error:
        return _failed(found)
    where = " and ".join(
        f"after {words.count(position, 'batch')} of epoch {epoch}"
        for epoch, position in found.positions
    )
    if found.differs_at is None:
        return Finding(
            question,
            Status.OK,
            f"saved {where}, loaded in a new process: all {found.compared} batches that followed "
            f"are the same. The state is {words.size(found.state_bytes)}",
        )
    of_epoch, epoch, position = found.differs_at
    seen = (
        f"saved {where}, loaded in a new process: {found.differing} of {found.compared} batches "
        f"that followed differ from the uninterrupted run, the first at position {position} of "
        f"epoch {epoch} (state of epoch {of_epoch})"
    )
    return Finding(question, Status.PROBLEM, seen, *_why_resumed_differs(found))


def _failed(found: Resume) -> Finding:
    why = "The state is saved in one process and loaded in another, on a Sequence made anew"
    advice = "Mend what raised; the traceback is below"
    if REFUSED in found.error and found.hooks and not found.keeps_state:
        why += ", which has not seen what hooks did in earlier epochs"
        advice = (
            "Give the Sequence state_dict() and load_state_dict(state), which carry what hooks "
            "change; or let it depend on the epoch alone"
        )
    return Finding(Question.RESUME, Status.PROBLEM, found.error, why, advice, found.traceback)


def _why_resumed_differs(found: Resume) -> tuple[str, str]:
    if found.again_differs == 0:
        return (
            "So does a second run from the beginning that nothing interrupted: making the Sequence "
            "gives another one each time (the order of a set or of a folder's files, random "
            "numbers, the time)",
            "Make what it is made of the same each time: sorted(...) for sets and lists of files, "
            "a fixed seed for random numbers",
        )
    if found.again_differs > 0:
        return (
            f"So does a second run that nothing interrupted, from epoch {found.again_differs} on: "
            "a hook draws random numbers that no seed reaches, or looks at the time",
            "Draw in hooks from numpy.random or random themselves, which are seeded for each "
            "epoch; or from a generator made of a seed and the number of the epoch",
        )
    if found.keeps_state:
        return (
            "A second run that nothing interrupted is the same: so the Sequence's state_dict() "
            "leaves something out that its batches depend on, or load_state_dict() does not bring "
            "it back",
            "Let both carry all that hooks change, as the order that on_epoch_end shuffles",
        )
    if found.hooks:
        return (
            "A second run that nothing interrupted is the same: so the batches depend on what "
            "hooks did in earlier epochs, and a Sequence made anew has not seen those",
            "Either give the Sequence state_dict() and load_state_dict(state), which carry what "
            "hooks change; or let it depend on the epoch alone: batch_context().epoch in "
            "__getitem__, shuffle=True of the enqueuer, or BatchedSequence(..., shuffle=True), "
            "instead of shuffling in a hook",
        )
    return (
        "A second run that nothing interrupted is the same: so the batches depend on something "
        "that earlier batches or epochs left behind in the training process",
        "Let a batch depend on its index, batch_context() and what hooks set; and give the "
        "Sequence state_dict() and load_state_dict(state) for what they set",
    )


def judge_kills(found: Kills) -> Finding:
    """Does it survive random kills?"""
    question = Question.KILLS
    killed = f"{words.count(found.kills, 'worker')} killed with SIGKILL at random moments"
    if found.error:
        return Finding(
            question,
            Status.PROBLEM,
            f"{killed}: then {found.error}",
            "A worker that is replaced begins with the Sequence as the epoch began: a file, a lock "
            "or a connection that the dead one left behind may be in the way",
            "Let __getitem__ open what it needs, and write nowhere that another worker reads",
            found.traceback,
        )
    if found.differing:
        return Finding(
            question,
            Status.PROBLEM,
            f"{killed}: {found.differing} of {found.compared} batches differ from those of a run "
            "without kills",
            "A batch depends on what its worker computed before, or on something outside (files, "
            "shared memory) that a worker changed and left half done",
            "Let a batch depend on its index, batch_context() and what hooks set",
        )
    if not found.kills:
        return Finding(
            question, Status.NOTE, "no worker was killed: the run was over too soon for it"
        )
    return Finding(
        question,
        Status.OK,
        f"{killed}, {found.respawns} replaced: all {found.compared} batches are the same",
    )
