"""How many workers and how wide a window: facts in, advice out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from facts_for_tests import GB, LOOP, WORK, computing, facts, row

from seqloader import OrderedEnqueuer
from seqloader.command.bench.recommendation import recommend


@pytest.mark.parametrize(
    ("rates", "workers"),
    [
        ({0: 99.0, 1: 97.0, 2: 190.0}, 2),
        ({1: 100.0, 2: 190.0, 4: 200.0}, 2),  # within 5 % of the best
        ({1: 100.0, 2: 189.9, 4: 200.0}, 4),
        ({0: 100.0, 1: 50.0, 2: 105.0}, 0),
        ({4: 100.0, 8: 60.0}, 4),
    ],
)
def test_the_fewest_workers_that_nearly_reach_the_best_rate(rates, workers):
    known = facts(*(row(count, rate) for count, rate in rates.items()))

    assert recommend(known).workers == workers


@pytest.mark.parametrize(
    ("waits_s", "workers"),
    [
        ({0: 0.010, 1: 0.0015, 2: 0.0}, 1),  # a step of 30 ms is fed up to 1.5 ms
        ({0: 0.010, 1: 0.0016, 2: 0.0}, 2),
        ({0: 0.001, 1: 0.0, 2: 0.0}, 0),
        ({0: 0.300, 1: 0.200, 2: 0.100}, 2),  # nobody feeds it: the least waiting
        ({0: 0.300, 1: 0.101, 2: 0.100}, 1),
    ],
)
def test_the_fewest_workers_that_feed_the_step(waits_s, workers):
    rows = [row(count, 100.0 * (count or 1), wait_s=wait_s) for count, wait_s in waits_s.items()]

    assert recommend(facts(*rows, step_s=0.030)).workers == workers


@pytest.mark.parametrize(
    ("slowest_s", "queue"),
    [
        (0.010, 10),  # even batches: as wide as it was measured, twice the workers at least
        (0.049, 10),
        (0.060, 12),
        (0.200, 39),
        (9.000, 128),  # no window mends that
    ],
)
def test_the_window_grows_with_the_unevenness(slowest_s, queue):
    known = computing(work=replace(WORK, slowest_s=slowest_s))

    assert recommend(known).queue == queue


def test_the_window_is_not_below_twice_the_workers():
    assert recommend(facts(row(2, 190.0, queue=1))).queue == 4


@pytest.mark.parametrize(
    ("nbytes", "queue"),
    [
        (0.5 * GB, 10),  # 16 batches fit into half of 16 GB: 10, and 5 for 2 workers
        (1.0 * GB, 3),
        (9.0 * GB, 1),
    ],
)
def test_the_window_never_takes_more_memory_than_there_is(nbytes, queue):
    recommendation = recommend(facts(row(2, 190.0, nbytes=nbytes)))

    assert recommendation.queue == queue
    assert ("16.0 GB of memory" in recommendation.why) is (queue < 10)


def test_unknown_memory_bounds_nothing():
    known = facts(row(2, 190.0, nbytes=9 * GB), available_bytes=None)

    assert recommend(known).queue == 10


def test_a_plain_loop_that_is_as_fast_is_said():
    faster = replace(LOOP, batches_per_s=500_000.0)

    said = recommend(facts(row(0, 100_000.0), row(1, 50_000.0), loop=faster)).why

    assert "a plain loop without an enqueuer delivers 500,000 batches/s" in said
    assert "plain loop" not in recommend(computing()).why


@pytest.mark.parametrize(("loop_rate", "is_said"), [(101.0, True), (100.0, True), (99.0, False)])
def test_any_faster_plain_loop_is_said(loop_rate, is_said):
    known = facts(row(0, 100.0), loop=replace(LOOP, batches_per_s=loop_rate))

    assert ("a plain loop without an enqueuer" in recommend(known).why) is is_said


@pytest.mark.parametrize(
    ("waits_s", "said"),
    [
        ({1: 0.2, 2: 0.1}, "no number measured feeds the step; 2 comes nearest"),
        ({1: 0.2, 2: 0.1, 4: 0.3}, "no number measured feeds the step; 2 comes nearest"),
        (
            {1: 0.101, 2: 0.1},
            "no number measured feeds the step; 1 comes nearest, and more hardly help",
        ),
        ({1: 0.001, 2: 0.0}, "30.0 ms, and more hardly help"),
        ({1: 0.001, 2: 0.0, 4: 0.001}, "30.0 ms"),  # 2 wait less, and 4 do not
        ({1: 0.2, 2: 0.0}, "30.0 ms, the least of the numbers measured"),
    ],
)
def test_it_is_said_whether_the_step_is_fed_and_by_how_many(waits_s, said):
    rows = [row(count, 100.0 * count, wait_s=wait_s) for count, wait_s in waits_s.items()]

    assert recommend(facts(*rows, step_s=0.030)).why.endswith(said)


def test_what_other_programs_disturbed_widens_no_window():
    uneven = replace(WORK, slowest_s=0.2)

    assert recommend(computing(work=uneven)).queue == 39
    assert recommend(computing(work=uneven, others=2.0)).queue == 10


@pytest.mark.parametrize(
    ("known", "options", "line"),
    [
        (computing(), {}, "OrderedEnqueuer(sequence, workers=2, max_queue_size=10)"),
        (facts(row(0, 99.0)), {}, "OrderedEnqueuer(sequence, workers=0)"),
        (
            computing(),
            {"executor": "thread", "seed": 3},
            "OrderedEnqueuer(sequence, workers=2, max_queue_size=10, executor='thread', seed=3)",
        ),
    ],
)
def test_the_line_can_be_pasted(known, options, line):
    said = recommend(known).line(options)

    assert said == line
    pasted = eval(said, {"OrderedEnqueuer": OrderedEnqueuer, "sequence": [1, 2]})
    assert isinstance(pasted, OrderedEnqueuer)
