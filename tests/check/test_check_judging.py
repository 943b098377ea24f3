"""From facts to findings, case by case: no process, no clock."""

from __future__ import annotations

import dataclasses

import pytest

from seqloader.command.check.attributes import Change
from seqloader.command.check.facts import (
    Batches,
    Cause,
    Determinism,
    Failure,
    Growth,
    Held,
    Hooks,
    Kills,
    Mutation,
    Pickled,
    Question,
    Resume,
    Seen,
    Source,
    Split,
    Turn,
    Untried,
    Why,
)
from seqloader.command.check.finding import Status
from seqloader.command.check.judging import judge_growth, judge_hooks, judge_pickled, judge_untried
from seqloader.command.check.judging_batches import judge_batches
from seqloader.command.check.judging_runs import judge_kills, judge_resume
from seqloader.command.check.judging_sameness import judge_determinism, judge_mutation
from seqloader.command.check.leaves import Difference

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
TURNS = (Turn(0, 0.0, 0.001, 10), Turn(1, 0.0, 0.002, 10))


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
        judge_pickled(Pickled(900, 0, 0.001)),
        Status.OK,
        ["900 bytes, pickled in 1.00 ms"],
    ),
    "the largest attributes are named": (
        judge_pickled(Pickled(MB, 9 * MB, 0.001, (Held("x", 0, 9 * MB), Held("y", MB, 0)))),
        Status.OK,
        ["10.0 MB", "the largest: x 9.00 MB, y 1.00 MB"],
    ),
    "many Python objects": (
        judge_pickled(Pickled(50 * MB, 0, 0.1, (Held("names", 50 * MB, 0),))),
        Status.NOTE,
        ["50.0 MB of it are Python objects", "Each worker makes all these objects anew", "numpy"],
    ),
    "large arrays": (
        judge_pickled(Pickled(MB, 900 * MB, 0.1, (Held("table", 0, 900 * MB),))),
        Status.NOTE,
        ["900 MB of it are arrays", "share()", "numpy.memmap", "open the data in __getitem__"],
    ),
    "unpicklable": (
        judge_pickled(
            Pickled(
                problem="sequence.lock cannot be pickled. Workers get a pickle of the Sequence: no."
            )
        ),
        Status.PROBLEM,
        ["sequence.lock cannot be pickled. Workers are fresh", "start_method='fork'"],
    ),
    "the same each time": (
        judge_determinism(Determinism(compared=10, computed=24)),
        Status.OK,
        ["10 batches computed 24 times", "another PYTHONHASHSEED", "all the same"],
    ),
    "the same, as far as forked workers tell": (
        judge_determinism(Determinism(compared=10, computed=24, tried_hashes=False)),
        Status.OK,
        ["The order of sets was not tried"],
    ),
    "differs for a source": (
        judge_determinism(
            dataclasses.replace(
                DIFFERENT, cause=Cause.SOURCE, sources=(Source("os.urandom()", "data.py:31"),)
            )
        ),
        Status.PROBLEM,
        [
            "2 of 10 batches differ",
            ": 3, 7.",
            'batch["x"] (float64 (8, 10)) in 79 of 80 elements',
            "asks os.urandom() (at data.py:31)",
            "batch_context().rng",
        ],
    ),
    "differs for the clock": (
        judge_determinism(
            dataclasses.replace(
                DIFFERENT, cause=Cause.SOURCE, sources=(Source("time.time()", "data.py:31"),)
            )
        ),
        Status.PROBLEM,
        ["asks time.time() (at data.py:31)", "Do not let a batch depend on the time"],
    ),
    "differs for the order of a set": (
        judge_determinism(dataclasses.replace(DIFFERENT, cause=Cause.HASHES)),
        Status.PROBLEM,
        ["order of a set of strings", "PYTHONHASHSEED", "sorted(...)"],
    ),
    "differs for what it counts": (
        judge_determinism(dataclasses.replace(DIFFERENT, cause=Cause.HISTORY, changed=(COUNTER,))),
        Status.PROBLEM,
        ["what the same process computed before", "self.calls (int)"],
    ),
    "differs for a generator it holds": (
        judge_determinism(
            dataclasses.replace(DIFFERENT, cause=Cause.HISTORY, changed=(GENERATOR,))
        ),
        Status.PROBLEM,
        ["a random generator that outlives a batch, self.rng", "batch_context().rng"],
    ),
    "differs for what nobody sees": (
        judge_determinism(dataclasses.replace(DIFFERENT, cause=Cause.HISTORY)),
        Status.PROBLEM,
        ["no attribute of the Sequence or its class has changed", "another module"],
    ),
    "differs for its process": (
        judge_determinism(
            dataclasses.replace(
                DIFFERENT, cause=Cause.UNKNOWN, sources=(Source("os.getpid()", "data.py:31"),)
            )
        ),
        Status.PROBLEM,
        ["os.getpid() (at data.py:31), which is another in each process"],
    ),
    "differs for no known reason": (
        judge_determinism(dataclasses.replace(DIFFERENT, cause=Cause.UNKNOWN)),
        Status.PROBLEM,
        ["None of the usual causes explains it", "numpy.empty", "threads"],
    ),
    "differs, and no time to ask why": (
        judge_determinism(dataclasses.replace(DIFFERENT, cause=Cause.UNKNOWN, in_time=False)),
        Status.PROBLEM,
        ["no time to find out (--budget-seconds)"],
    ),
    "not computed twice": (
        judge_determinism(Determinism(compared=0, computed=0)),
        Status.UNTRIED,
        ["no batch could be computed twice", "--budget-seconds"],
    ),
    "state left alone": (
        judge_mutation(Mutation(10)),
        Status.OK,
        ["no attribute changed in 10 batches"],
    ),
    "a cache": (
        judge_mutation(Mutation(10, (CACHE,))),
        Status.NOTE,
        ["self.cache (dict, 5 bytes to 29.0 kB)", "batches are the same", "one of its own", "lost"],
    ),
    "state that matters": (
        judge_mutation(Mutation(10, (COUNTER,), matters=True, differs=True)),
        Status.PROBLEM,
        ["self.calls (int), and batches depend on it", "stays in that worker, and is lost"],
    ),
    "state beside another reason": (
        judge_mutation(Mutation(10, (COUNTER,), differs=True)),
        Status.NOTE,
        ["cannot be told, since they differ anyhow"],
    ),
    "batches alike": (
        judge_batches(Batches(tuple(seen(index, 0.001 * (1 + index)) for index in range(4)))),
        Status.OK,
        ["4 batches of 1.00 kB", "2.50 ms each (median)", "slowest 3 (4.00 ms), 2 (3.00 ms)"],
    ),
    "a batch that is large": (
        judge_batches(Batches((seen(0), seen(1), seen(2, nbytes=9000, kind="float64 (1125,)")))),
        Status.NOTE,
        ["1.00 kB to 9.00 kB", "different shapes in batch", "Batch 2 is 9 times as large"],
    ),
    "a batch that is slow": (
        judge_batches(Batches((seen(0), seen(1), seen(2, took_s=1.0)))),
        Status.NOTE,
        ["Batch 2 takes 1000 times as long as most", "max_queue_size"],
    ),
    "types that vary": (
        judge_batches(Batches((seen(0), seen(1, kind="float32 (250,)")))),
        Status.NOTE,
        ["batch is of float32 and float64"],
    ),
    "parts that vary": (
        judge_batches(Batches((seen(0), Seen(1, 0.001, 1000, (("[0]", "int"), ("[1]", "int")))))),
        Status.NOTE,
        ["not all made of the same parts"],
    ),
    "None batches": (
        judge_batches(Batches((seen(0), seen(1, none=True)))),
        Status.NOTE,
        ["None: 1", "A None batch is left out"],
    ),
    "nothing but None": (
        judge_batches(Batches((seen(0, none=True), seen(1, none=True)))),
        Status.PROBLEM,
        ["all 2 batches that were tried are None"],
    ),
    "a batch that raises": (
        judge_batches(Batches((seen(0),), raised=(Failure(5, 0, "KeyError: 'x'", "Traceback"),))),
        Status.PROBLEM,
        ["1 of 2 batches tried raised: batch 5 (KeyError: 'x')", "sequence[5]"],
    ),
    "a batch that kills": (
        judge_batches(Batches((seen(0),), died=(Failure(5, 0, "its process died by SIGSEGV"),))),
        Status.PROBLEM,
        ["batch 5 (its process died by SIGSEGV)", "WorkerLostError", "os._exit()"],
    ),
    "memory that stays": (
        judge_growth(growth([100 * MB] * 13)),
        Status.OK,
        ["12 rounds of 40 batches", "Below 312 kB per epoch could not be noticed"],
    ),
    "memory that leaks": (
        judge_growth(growth(LEAKING)),
        Status.PROBLEM,
        ["grew by 50.0 kB per batch", "5.00 MB per epoch of 100 batches", "a library in C"],
    ),
    "memory that leaks at a line": (
        judge_growth(growth(LEAKING, lines=(("data.py:31", 49_000),), changed=(CACHE,))),
        Status.PROBLEM,
        ["49.0 kB per batch of it at data.py:31", "self.cache grew from 5 bytes to 29.0 kB"],
    ),
    "a cache that has filled": (
        judge_growth(growth([100 * MB, 180 * MB, *[190 * MB] * 10])),
        Status.NOTE,
        ["90.0 MB in the first rounds, then no more", "100 batches would take about 225 MB"],
    ),
    "pages that were copied": (
        judge_growth(growth([100 * MB, 180 * MB, *[180 * MB] * 10], forked=True)),
        Status.NOTE,
        ["reference count", "pages of large lists and dicts are copied", "numpy arrays"],
    ),
    "hooks that behave": (
        judge_hooks(Hooks(begins=False, ends=True, turns=TURNS)),
        Status.OK,
        ["2 epochs turned: on_epoch_end took 2.00 ms at most"],
    ),
    "no hooks": (
        judge_hooks(Hooks(begins=False, ends=False, turns=TURNS)),
        Status.OK,
        ["none of its own"],
    ),
    "a hook that raises": (
        judge_hooks(
            Hooks(False, True, raised="on_epoch_end of epoch 0 raised OSError", traceback="Tr")
        ),
        Status.PROBLEM,
        ["on_epoch_end of epoch 0 raised OSError", "the traceback is below"],
    ),
    "a hook that makes it unpicklable": (
        judge_hooks(Hooks(False, True, TURNS, problem="sequence.file cannot be pickled")),
        Status.PROBLEM,
        ["cannot be pickled any more: sequence.file", "__getstate__"],
    ),
    "a length that changes": (
        judge_hooks(Hooks(True, True, (TURNS[0], dataclasses.replace(TURNS[1], length=9)))),
        Status.NOTE,
        ["on_epoch_begin and on_epoch_end", "the length changed: 10, 9"],
    ),
    "a length that comes late": (
        judge_hooks(Hooks(True, False, TURNS, early_length="TypeError: no")),
        Status.NOTE,
        ["before on_epoch_begin ran, the length raised TypeError: no", "len(enqueuer)"],
    ),
    "a hook that is slow": (
        judge_hooks(Hooks(False, True, (Turn(0, 0.0, 3.0, 10),))),
        Status.NOTE,
        ["took 3.00 s at most", "the training waits"],
    ),
    "resumed": (
        judge_resume(RESUMED),
        Status.OK,
        ["20 batches of epoch 0 and after 13 batches of epoch 1", "all 87 batches", "225 bytes"],
    ),
    "resumed without what hooks did": (
        judge_resume(DIFFERS),
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
        judge_resume(dataclasses.replace(DIFFERS, keeps_state=True)),
        Status.PROBLEM,
        ["state_dict() leaves something out"],
    ),
    "resumed without hooks": (
        judge_resume(dataclasses.replace(DIFFERS, hooks=False)),
        Status.PROBLEM,
        ["earlier batches or epochs left behind"],
    ),
    "made another one each time": (
        judge_resume(dataclasses.replace(DIFFERS, again_differs=0)),
        Status.PROBLEM,
        ["making the Sequence gives another one each time", "sorted(...)"],
    ),
    "hooks that are random": (
        judge_resume(dataclasses.replace(DIFFERS, again_differs=1)),
        Status.PROBLEM,
        ["from epoch 1 on: a hook draws random numbers that no seed reaches"],
    ),
    "refused": (
        judge_resume(dataclasses.replace(RESUMED, error="load_state_dict() raised ResumeError: x")),
        Status.PROBLEM,
        ["load_state_dict() raised ResumeError: x"],
    ),
    "refused for what hooks did": (
        judge_resume(
            dataclasses.replace(
                RESUMED, error="load_state_dict() raised ResumeError: length: 19", hooks=True
            )
        ),
        Status.PROBLEM,
        ["length: 19", "has not seen what hooks did", "state_dict() and load_state_dict(state)"],
    ),
    "survived": (
        judge_kills(Kills(3, 3, 80)),
        Status.OK,
        ["3 workers killed with SIGKILL", "3 replaced", "all 80 batches are the same"],
    ),
    "not survived": (
        judge_kills(Kills(3, 0, 40, error="the run raised OSError: in use")),
        Status.PROBLEM,
        ["then the run raised OSError: in use", "a lock"],
    ),
    "changed by kills": (
        judge_kills(Kills(3, 3, 80, 2)),
        Status.PROBLEM,
        ["2 of 80 batches differ from those of a run without kills"],
    ),
    "nobody killed": (judge_kills(Kills(0, 0, 2)), Status.NOTE, ["no worker was killed"]),
    "no time": (
        judge_untried(Untried(Question.MEMORY, Why.TIME, "the time was up")),
        Status.UNTRIED,
        ["the time was up", "--budget-seconds"],
    ),
    "something else first": (
        judge_untried(Untried(Question.KILLS, Why.BROKEN, "batches fail")),
        Status.NOTE,
        ["not tried: batches fail", "Mend what was found"],
    ),
    "left out": (
        judge_untried(Untried(Question.KILLS, Why.ASKED, "--kills 0")),
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
    finding = judge_batches(Batches((), raised=(Failure(5, 0, "KeyError", "Traceback\n  x"),)))

    assert finding.detail == "Traceback\n  x"
