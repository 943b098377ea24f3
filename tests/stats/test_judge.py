"""The judge: facts in, a cause and a change out. Nothing is measured here."""

from __future__ import annotations

import inspect
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stats.planted import GB, MB, PLANTED, facts

from seqloader.stats.facts import Stragglers, straggling
from seqloader.stats.judge import QUESTIONS, judge
from seqloader.stats.verdict import Cause


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_named(planted):
    cause, known = PLANTED[planted]

    verdict = judge(known)

    assert verdict.cause is cause
    assert str(verdict).startswith(f"{cause}: ")
    assert verdict.advice
    assert cause is Cause.UNKNOWN or any(digit in verdict.seen for digit in "0123456789")


def test_every_cause_is_planted_and_has_a_word():
    assert {cause for cause, _ in PLANTED.values()} == set(Cause)
    assert all(" " not in cause for cause in Cause)


def test_every_question_is_explained():
    assert all(inspect.getdoc(question) for question in QUESTIONS)


@pytest.mark.parametrize("planted", [name for name in PLANTED if name != "before the first batch"])
def test_a_loop_that_hardly_waits_is_never_told_to_change_the_loader(planted):
    _, known = PLANTED[planted]

    verdict = judge(replace(known, wait_s=0.0005, hand_s=0.0001, step_s=0.010))

    assert verdict.cause is Cause.CONSUMER
    assert "Loading keeps up" in verdict.advice


@given(
    wait_s=st.floats(0.0, 0.04),
    hand_s=st.floats(0.0, 0.4),
    step_s=st.floats(1.0, 10.0),
    respawns=st.integers(0, 1000),
    retried=st.integers(0, 1000),
    held=st.integers(0, 10**6),
    workers=st.integers(0, 256),
    busy_share=st.floats(0.0, 1.0),
    wanted=st.floats(0.0, 300.0),
    blocked=st.floats(0.0, 1.0),
    memory=st.floats(0.0, 1e12),
)
def test_whatever_else_is_so_an_idle_loader_is_not_to_blame(
    wait_s,
    hand_s,
    step_s,
    respawns,
    retried,
    held,
    workers,
    busy_share,
    wanted,
    blocked,
    memory,
):
    verdict = judge(
        facts(
            wait_s=wait_s,
            hand_s=hand_s,
            step_s=step_s,
            respawns=respawns,
            retried=retried,
            held_batches=held,
            held_bytes=held * MB,
            workers=workers,
            busy_share=busy_share,
            cpus_wanted=wanted,
            blocked_share=blocked,
            memory_bytes=memory,
        )
    )

    assert verdict.cause is Cause.CONSUMER


@pytest.mark.parametrize(
    ("known", "change"),
    [
        (facts(), "Take more workers than 2, up to the 4 CPUs"),
        (facts(workers=4), "4 CPUs give no more"),
        (facts(tuned=True), 'Give "auto" some seconds'),
        (facts(tuned=True, workers=4), "4 CPUs give no more"),
        (facts(tuned=True, wants_cpus=0.1), 'Give "auto" some seconds'),
        (facts(tuned=True, blocked_share=0.8), 'Give "auto" some seconds'),
        (facts(workers=0), "Take workers"),
        (facts(threads=True, cpus_wanted=1.0), "take processes"),
        (PLANTED["a slow disk"][1], "Take more workers than 2"),
        (PLANTED["the queue is too short"][1], "max_queue_size=48"),
        (PLANTED["one range of indices is slow"][1], "enqueuer.compute(300)"),
        (PLANTED["threads of a library"][1], "threads_per_worker=1"),
        (facts(cpus_wanted=3.9, library_threads=8), "threads_per_worker=1"),
        (PLANTED["more workers than CPUs"][1], "no more than 4"),
        (PLANTED["a quota of CPU time"][1], "no more than 2"),
        (replace(PLANTED["more workers than CPUs"][1], tuned=True), "leave it at that, or take 4"),
        (PLANTED["batches too small"][1], "Make batches larger"),
        (PLANTED["batches too large"][1], "seqloader.empty"),
        (facts(nbytes=MB, hand_s=0.008), "no copy=True"),
        (PLANTED["memory is short"][1], "max_queue_bytes"),
        (PLANTED["the loop keeps batches"][1], "Let go of each batch"),
        (PLANTED["a short run"][1], "one enqueuer for all epochs"),
        (PLANTED["workers die"][1], "warnings"),
        (PLANTED["batches raise"][1], "retries=0"),
    ],
)
def test_the_change_fits_what_was_seen(known, change):
    assert change in judge(known).advice


def test_a_quota_is_named():
    assert "1.50 CPUs' worth" in judge(PLANTED["a quota of CPU time"][1]).seen


@pytest.mark.parametrize(
    ("known", "cause"),
    [
        (facts(respawns=2), Cause.COMPUTE),  # 0.6 s of 2.5 s waited
        (facts(respawns=3), Cause.DEATHS),
        (facts(shortages=1), Cause.DEATHS),
        (facts(retried=100), Cause.COMPUTE),
        (facts(retried=101), Cause.RETRIES),
        (facts(memory_bytes=12.7 * GB), Cause.COMPUTE),
        (facts(memory_bytes=12.8 * GB), Cause.MEMORY),
        (facts(memory_bytes=12.8 * GB, available_bytes=None), Cause.COMPUTE),
        (facts(held_batches=15, held_bytes=GB), Cause.COMPUTE),
        (facts(held_batches=16, held_bytes=GB), Cause.HOLDING),
        (facts(held_batches=1000, held_bytes=10 * MB), Cause.COMPUTE),
        (facts(first_s=1.25), Cause.COMPUTE),
        (facts(first_s=1.27), Cause.START_UP),
        (facts(batches=2, wait_s=0.5, busy_s=0.9, first_s=1.0), Cause.COMPUTE),  # it is long
        (facts(workers=8, cpus_wanted=3.1), Cause.COMPUTE),
        (facts(workers=8, cpus_wanted=0.4, wants_cpus=0.05), Cause.STORAGE),
        (facts(blocked_share=0.49), Cause.COMPUTE),
        (facts(blocked_share=0.9, workers=1), Cause.COMPUTE),  # nobody else could go on
        (facts(wants_cpus=0.51), Cause.COMPUTE),
        (facts(wants_cpus=None), Cause.COMPUTE),
        (facts(wait_s=0.00013, first_s=0.0), Cause.CONSUMER),
        (facts(wait_s=0.00014, first_s=0.0), Cause.COMPUTE),
    ],
)
def test_nothing_is_named_that_does_not_explain_the_waiting(known, cause):
    assert judge(known).cause is cause


# --- stragglers -----------------------------------------------------------------------------------


def epoch(taken):
    """The slowest 32 of these seconds, as `Stats` has them, and the sums."""
    slowest = sorted(enumerate(taken), key=lambda one: one[1], reverse=True)[:32]
    return {"slowest": slowest, "count": len(taken), "busy_s": sum(taken), "length": len(taken)}


def test_slow_batches_side_by_side_are_stragglers():
    found = straggling(**epoch([0.01] * 50 + [0.2] * 10 + [0.01] * 140))

    assert (found.first, found.last, found.count) == (50, 59, 10)
    assert found.seconds == pytest.approx(0.2)
    assert found.others_s == pytest.approx(0.01)


def test_slow_batches_anywhere_are_none():
    assert straggling(**epoch([0.2 if i % 20 == 7 else 0.01 for i in range(200)])) is None


@pytest.mark.parametrize("taken", [[], [0.01] * 200, [0.01] * 199 + [9.0], [0.01] * 8 + [0.2] * 3])
def test_even_batches_and_single_slow_ones_are_none(taken):
    assert straggling(**epoch(taken)) is None


def test_more_slow_batches_than_are_kept_are_found():
    found = straggling(**epoch([0.01] * 500 + [0.2] * 60 + [0.01] * 440))

    assert found is not None
    assert 500 <= found.first <= found.last < 560
    assert not found.all_known


def test_a_single_slow_batch_elsewhere_hides_none():
    found = straggling(**epoch([0.004] * 3 + [0.06] + [0.004] * 96 + [0.3] * 10 + [0.004] * 90))

    assert (found.first, found.last, found.count) == (100, 109, 10)


def test_where_only_the_slowest_are_known_they_need_explain_less_of_the_waiting():
    whole = Stragglers(500, 531, 32, 0.030, 0.0027)
    part = replace(whole, all_known=False)
    # 2,000 batches, which the loop waited a millisecond for on average: these explain a fifth.
    waits = {"batches": 2000, "wait_s": 0.00111, "blocked_share": 0.0, "busy_s": 0.0032}

    assert judge(facts(stragglers=part, **waits)).cause is Cause.STRAGGLERS
    assert judge(facts(stragglers=whole, **waits)).cause is not Cause.STRAGGLERS


@pytest.mark.parametrize("slow", [8, 10, 20, 32, 60])
def test_slow_batches_by_chance_are_hardly_ever_taken_for_neighbours(slow):
    draw, found = random.Random(slow), 0
    for _ in range(500):
        taken = [0.01] * 600
        for index in draw.sample(range(600), slow):
            taken[index] = 0.2
        found += straggling(**epoch(taken)) is not None

    assert found <= 5
