"""From facts to findings, case by case: no process, no clock."""

from __future__ import annotations

import dataclasses

import pytest

from seqloader.command.check.batches import Batches, Seen
from seqloader.command.check.finding import Question, Status, Untried, Why
from seqloader.command.check.hooks import EpochHooks, Hooks
from seqloader.command.check.leaves import Difference
from seqloader.command.check.memory import Growth
from seqloader.command.check.probe import Failure
from seqloader.command.check.replaying import Kills, Resume
from seqloader.command.check.sameness import Cause, Determinism, Mutation, Split
from seqloader.command.check.sent import PICKLE_ADVICE, Change, SentAttribute, SentSequence

MB = 1_000_000
COUNTER = Change("self.calls", "int", 6, 6)
CACHE = Change("self.cache", "dict", 5, 29_000)
GENERATOR = Change("self.rng", "random generator", 300, 300)
DIFFERENT = Determinism(
    compared=10,
    computed=24,
    differing=(Split(7, 0), Split(3, 0), Split(3, 1)),
    leaves=(Difference('["x"]', "float64 (8, 10)", 79, 80),),
)
RESUMED = Resume(((0, 20), (1, 13)), compared=87, state_bytes=225, hooks=True)
DIFFERS = dataclasses.replace(RESUMED, differs_at=(1, 1, 13), differing=26)
TURNS = (EpochHooks(0, 0.0, 0.001, 10), EpochHooks(1, 0.0, 0.002, 10))


def seen(index, took_s=0.001, nbytes=1000, kind="float64 (125,)", none=False):
    return Seen(index, took_s, nbytes, (("", kind),), none)


def text(finding):
    return f"{finding.seen}. {finding.why}. {finding.advice}"


def growth(sizes, **known):
    """Weighed after every 40 calls, the first time before any."""
    points = tuple((40 * number, size) for number, size in enumerate(sizes))
    plain = {"rounds": len(sizes) - 1, "batches": 40, "length": 100, "batch_bytes": 1000.0}
    return Growth(points, **{**plain, **known})


LEAKING = [100 * MB + 2 * MB * number for number in range(13)]

CASES = {
    "small": (
        SentSequence(900, 0, 0.001).finding(),
        Status.OK,
        ["900 bytes, pickled in 1.00 ms"],
    ),
    "the largest attributes are named": (
        SentSequence(
            MB, 9 * MB, 0.001, (SentAttribute("x", 0, 9 * MB), SentAttribute("y", MB, 0))
        ).finding(),
        Status.OK,
        ["10.0 MB", "the largest: x 9.00 MB, y 1.00 MB"],
    ),
    "many Python objects": (
        SentSequence(50 * MB, 0, 0.1, (SentAttribute("names", 50 * MB, 0),)).finding(),
        Status.NOTE,
        ["50.0 MB of it are Python objects", "Each worker makes all these objects anew", "numpy"],
    ),
    "large arrays": (
        SentSequence(MB, 900 * MB, 0.1, (SentAttribute("table", 0, 900 * MB),)).finding(),
        Status.NOTE,
        ["900 MB of it are arrays", "share()", "numpy.memmap", "open the data in __getitem__"],
    ),
    "unpicklable": (
        SentSequence(
            problem=f"sequence.lock cannot be pickled{PICKLE_ADVICE}open it later."
        ).finding(),
        Status.PROBLEM,
        [
            "sequence.lock cannot be pickled. Workers are fresh",
            "Open it later. Everything below was tried with start_method='fork'",
        ],
    ),
    "the same each time": (
        Determinism(compared=10, computed=24).finding(),
        Status.OK,
        ["10 batches computed 24 times", "another PYTHONHASHSEED", "all the same"],
    ),
    "the same, as far as forked workers tell": (
        Determinism(compared=10, computed=24, tried_hashes=False).finding(),
        Status.OK,
        ["The order of sets was not tried"],
    ),
    "differs for something that is new each time": (
        dataclasses.replace(DIFFERENT, cause=Cause.SOURCE).finding(),
        Status.PROBLEM,
        [
            "2 of 10 batches differ",
            ": 3, 7.",
            'batch["x"] (float64 (8, 10)) in 79 of 80 elements',
            "random numbers without a seed",
            "batch_context().rng",
            "Do not let a batch depend on the time",
        ],
    ),
    "differs for the order of a set": (
        dataclasses.replace(DIFFERENT, cause=Cause.HASHES).finding(),
        Status.PROBLEM,
        ["order of a set of strings", "PYTHONHASHSEED", "sorted(...)"],
    ),
    "differs for what it counts": (
        dataclasses.replace(DIFFERENT, cause=Cause.HISTORY, changed=(COUNTER,)).finding(),
        Status.PROBLEM,
        ["what the same process computed before", "self.calls (int)"],
    ),
    "differs for a generator it holds": (
        dataclasses.replace(DIFFERENT, cause=Cause.HISTORY, changed=(GENERATOR,)).finding(),
        Status.PROBLEM,
        ["a random generator that outlives a batch, self.rng", "batch_context().rng"],
    ),
    "differs for what nobody sees": (
        dataclasses.replace(DIFFERENT, cause=Cause.HISTORY).finding(),
        Status.PROBLEM,
        ["no attribute of the Sequence or its class has changed", "another module"],
    ),
    "differs for no known reason": (
        dataclasses.replace(DIFFERENT, cause=Cause.UNKNOWN).finding(),
        Status.PROBLEM,
        ["None of the usual causes explains it", "numpy.empty", "threads"],
    ),
    "differs, and no time to ask why": (
        dataclasses.replace(DIFFERENT, cause=Cause.UNKNOWN, in_time=False).finding(),
        Status.PROBLEM,
        ["no time to find out (--budget-seconds)"],
    ),
    "not computed twice": (
        Determinism(compared=0, computed=0).finding(),
        Status.UNTRIED,
        ["no batch could be computed twice", "--budget-seconds"],
    ),
    "state left alone": (
        Mutation(10).finding(),
        Status.OK,
        ["no attribute changed in 10 batches"],
    ),
    "a cache": (
        Mutation(10, (CACHE,)).finding(),
        Status.NOTE,
        ["self.cache (dict, 5 bytes to 29.0 kB)", "batches are the same", "one of its own", "lost"],
    ),
    "state that matters": (
        Mutation(10, (COUNTER,), matters=True, differs=True).finding(),
        Status.PROBLEM,
        ["self.calls (int), and batches depend on it", "stays in that worker, and is lost"],
    ),
    "state beside another reason": (
        Mutation(10, (COUNTER,), differs=True).finding(),
        Status.NOTE,
        ["cannot be told, since they differ anyhow"],
    ),
    "batches alike": (
        Batches(tuple(seen(index, 0.001 * (1 + index)) for index in range(4))).finding(),
        Status.OK,
        ["4 batches of 1.00 kB", "2.50 ms each (median)", "slowest 3 (4.00 ms), 2 (3.00 ms)"],
    ),
    "a batch that is large": (
        Batches((seen(0), seen(1), seen(2, nbytes=9000, kind="float64 (1125,)"))).finding(),
        Status.NOTE,
        ["1.00 kB to 9.00 kB", "different shapes in batch", "Batch 2 is 9 times as large"],
    ),
    "a batch that is slow": (
        Batches((seen(0), seen(1), seen(2, took_s=1.0))).finding(),
        Status.NOTE,
        ["Batch 2 takes 1000 times as long as most", "max_queue_size"],
    ),
    "types that vary": (
        Batches((seen(0), seen(1, kind="float32 (250,)"))).finding(),
        Status.NOTE,
        ["batch is of float32 and float64"],
    ),
    "parts that vary": (
        Batches((seen(0), Seen(1, 0.001, 1000, (("[0]", "int"), ("[1]", "int"))))).finding(),
        Status.NOTE,
        ["not all made of the same parts"],
    ),
    "None batches": (
        Batches((seen(0), seen(1, none=True))).finding(),
        Status.NOTE,
        ["None: 1", "A None batch is left out"],
    ),
    "nothing but None": (
        Batches((seen(0, none=True), seen(1, none=True))).finding(),
        Status.PROBLEM,
        ["all 2 batches that were tried are None"],
    ),
    "a batch that raises": (
        Batches((seen(0),), raised=(Failure(5, 0, "KeyError: 'x'", "Traceback"),)).finding(),
        Status.PROBLEM,
        ["1 of 2 batches tried raised: batch 5 (KeyError: 'x')", "sequence[5]"],
    ),
    "a batch that kills": (
        Batches((seen(0),), died=(Failure(5, 0, "its process died by SIGSEGV"),)).finding(),
        Status.PROBLEM,
        ["batch 5 (its process died by SIGSEGV)", "WorkerLostError", "os._exit()"],
    ),
    "a batch that cannot be sent": (
        Batches((seen(0),), unsent=(Failure(5, 0, 'batch["x"], a lock'),)).finding(),
        Status.PROBLEM,
        ["1 of 2 batches tried cannot be sent", '(5): batch["x"], a lock', "Return arrays"],
    ),
    "memory that stays": (
        growth([100 * MB] * 13).finding(),
        Status.OK,
        ["12 rounds of 40 batches", "Below 312 kB per epoch could not be noticed"],
    ),
    "memory that leaks": (
        growth(LEAKING).finding(),
        Status.PROBLEM,
        ["grew by 50.0 kB per batch", "5.00 MB per epoch of 100 batches", "a library in C"],
    ),
    "memory that leaks at a line": (
        growth(LEAKING, lines=(("data.py:31", 49_000),), changed=(CACHE,)).finding(),
        Status.PROBLEM,
        ["49.0 kB per batch of it at data.py:31", "self.cache grew from 5 bytes to 29.0 kB"],
    ),
    "a cache that has filled": (
        growth([100 * MB, 180 * MB, *[190 * MB] * 10]).finding(),
        Status.NOTE,
        ["90.0 MB in the first rounds, then no more", "100 batches would take about 225 MB"],
    ),
    "pages that were copied": (
        growth([100 * MB, 180 * MB, *[180 * MB] * 10], forked=True).finding(),
        Status.NOTE,
        ["reference count", "pages of large lists and dicts are copied", "numpy arrays"],
    ),
    "hooks that behave": (
        Hooks(begins=False, ends=True, turns=TURNS).finding(),
        Status.OK,
        ["2 epochs turned: on_epoch_end took 2.00 ms at most"],
    ),
    "no hooks": (
        Hooks(begins=False, ends=False, turns=TURNS).finding(),
        Status.OK,
        ["none of its own"],
    ),
    "a hook that raises": (
        Hooks(
            False, True, raised="on_epoch_end of epoch 0 raised OSError", traceback="Tr"
        ).finding(),
        Status.PROBLEM,
        ["on_epoch_end of epoch 0 raised OSError", "the traceback is below"],
    ),
    "a hook that makes it unpicklable": (
        Hooks(False, True, TURNS, problem="sequence.file cannot be pickled").finding(),
        Status.PROBLEM,
        ["cannot be pickled any more: sequence.file", "__getstate__"],
    ),
    "a length that changes": (
        Hooks(True, True, (TURNS[0], dataclasses.replace(TURNS[1], length=9))).finding(),
        Status.NOTE,
        ["on_epoch_begin and on_epoch_end", "the length changed: 10, 9"],
    ),
    "a length that comes late": (
        Hooks(True, False, TURNS, early_length="TypeError: no").finding(),
        Status.NOTE,
        ["before on_epoch_begin ran, the length raised TypeError: no", "len(enqueuer)"],
    ),
    "a hook that is slow": (
        Hooks(False, True, (EpochHooks(0, 0.0, 3.0, 10),)).finding(),
        Status.NOTE,
        ["took 3.00 s at most", "the training waits"],
    ),
    "resumed": (
        RESUMED.finding(),
        Status.OK,
        ["20 batches of epoch 0 and after 13 batches of epoch 1", "all 87 batches", "225 bytes"],
    ),
    "resumed without what hooks did": (
        DIFFERS.finding(),
        Status.PROBLEM,
        [
            "26 of 87 batches",
            "the first at position 13 of epoch 1",
            "what hooks did in earlier epochs",
            "state_dict() and load_state_dict(state)",
            "shuffle=True",
        ],
    ),
    "resumed with half a state": (
        dataclasses.replace(DIFFERS, keeps_state=True).finding(),
        Status.PROBLEM,
        ["state_dict() leaves something out"],
    ),
    "resumed without hooks": (
        dataclasses.replace(DIFFERS, hooks=False).finding(),
        Status.PROBLEM,
        ["earlier batches or epochs left behind"],
    ),
    "made another one each time": (
        dataclasses.replace(DIFFERS, again_differs=0).finding(),
        Status.PROBLEM,
        ["making the Sequence gives another one each time", "sorted(...)"],
    ),
    "hooks that are random": (
        dataclasses.replace(DIFFERS, again_differs=1).finding(),
        Status.PROBLEM,
        ["from epoch 1 on: a hook draws random numbers that no seed reaches"],
    ),
    "refused": (
        dataclasses.replace(RESUMED, error="load_state_dict() raised ResumeError: x").finding(),
        Status.PROBLEM,
        ["load_state_dict() raised ResumeError: x"],
    ),
    "refused for what hooks did": (
        dataclasses.replace(
            RESUMED, error="load_state_dict() raised ResumeError: length: 19", hooks=True
        ).finding(),
        Status.PROBLEM,
        ["length: 19", "has not seen what hooks did", "state_dict() and load_state_dict(state)"],
    ),
    "survived": (
        Kills(3, 3, 80).finding(),
        Status.OK,
        ["3 workers killed with SIGKILL", "3 replaced", "all 80 batches are the same"],
    ),
    "not survived": (
        Kills(3, 0, 40, error="the run raised OSError: in use").finding(),
        Status.PROBLEM,
        ["then the run raised OSError: in use", "a lock"],
    ),
    "changed by kills": (
        Kills(3, 3, 80, 2).finding(),
        Status.PROBLEM,
        ["2 of 80 batches differ from those of a run without kills"],
    ),
    "nobody killed": (Kills(0, 0, 2).finding(), Status.NOTE, ["no worker was killed"]),
    "no time": (
        Untried(Question.MEMORY, Why.TIME, "the time was up").finding(),
        Status.UNTRIED,
        ["the time was up", "--budget-seconds"],
    ),
    "something else first": (
        Untried(Question.KILLS, Why.BROKEN, "batches fail").finding(),
        Status.NOTE,
        ["not tried: batches fail", "Mend what was found"],
    ),
    "left out": (
        Untried(Question.KILLS, Why.ASKED, "--kills 0").finding(),
        Status.NOTE,
        ["not tried: --kills 0"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_finding_says_what_was_seen_why_and_what_to_do(case):
    finding, status, said = CASES[case]

    assert finding.status is status
    for words in said:
        assert words in text(finding)
    if status is Status.PROBLEM:
        assert finding.why
        assert finding.advice
    assert not finding.seen.endswith(".")


def test_the_traceback_of_a_batch_is_kept_as_it_is():
    finding = Batches((), raised=(Failure(5, 0, "KeyError", "Traceback\n  x"),)).finding()

    assert finding.detail == "Traceback\n  x"
