"""What is made of figures: facts in, a verdict out. Nothing is measured here."""

from __future__ import annotations

from dataclasses import replace

import pytest
from facts_for_tests import GB, LOOP, WORK, computing, facts, row

from seqloader.command.bench.figures import Work
from seqloader.command.bench.verdict import judge_bench as judge
from seqloader.command.bench.verdict import judged_row
from seqloader.stats.verdict import Cause

COMPUTE = Cause.COMPUTE
TRANSPORT = Cause.TRANSPORT
CONSUMER = Cause.CONSUMER
START_UP = Cause.START_UP
OVERSUBSCRIPTION = Cause.OVERSUBSCRIPTION
MEMORY = Cause.MEMORY
WINDOW = Cause.WINDOW

UNEVEN = Work(mean_s=0.0044, typical_s=0.002, slowest_s=0.04, handing_s=0.0, cpus=0.01)


def stepped(wait_s, step_s=0.030):
    """Two workers, and a training step of 30 ms."""
    return facts(row(2, 190.0, wait_s=wait_s), step_s=step_s)


def handing(handing_s):
    """10 ms of computing and so much of handing over."""
    return computing(work=replace(WORK, handing_s=handing_s))


def starting(startup_s, count=100):
    """100 batches: 1 s in the plain loop, 0.5 s with two workers."""
    return facts(row(2, 200.0, startup_s=startup_s), batches_per_epoch=count)


def crowded(workers, cpus_busy):
    return facts(row(workers, 390.0, cpus=cpus_busy))


def falling(rate):
    """8 workers on 4 CPUs deliver `rate`; 4 deliver 390."""
    return facts(row(4, 390.0), row(8, rate, cpus=4.0))


def threaded(cpus):
    return facts(row(2, 190.0, cpus=3.9), work=replace(WORK, cpus=cpus))


def busy_consumer(consumer_s):
    """At 10,000 batches/s; 100 us each is all of its thread."""
    fast = replace(WORK, mean_s=5e-6, typical_s=5e-6, slowest_s=5e-6, handing_s=1e-6)
    return facts(row(2, 10_000.0, consumer_s=consumer_s, nbytes=1280.0), work=fast)


def uneven(queue, busy_share=0.5):
    return facts(row(4, 362.0, queue=queue, busy_share=busy_share, cpus=0.1), work=UNEVEN)


@pytest.mark.parametrize(
    ("known", "bottleneck"),
    [
        (computing(), COMPUTE),
        (facts(row(4, 380.0)), COMPUTE),
        (stepped(0.0015), CONSUMER),
        (stepped(0.0016), COMPUTE),
        (handing(0.0099), COMPUTE),
        (handing(0.0100), TRANSPORT),
        (starting(2.51), COMPUTE),  # saves 0.5 s in each of 5 epochs; the loop took 0.01 s
        (starting(2.52), START_UP),
        (starting(60.0, count=None), COMPUTE),  # endless: it starts once
        (crowded(8, 3.2), OVERSUBSCRIPTION),
        (crowded(8, 3.1), COMPUTE),  # they wait for something: more than CPUs may help
        (crowded(4, 4.0), COMPUTE),
        (falling(331.0), OVERSUBSCRIPTION),
        (falling(332.0), COMPUTE),
        (threaded(1.3), OVERSUBSCRIPTION),
        (threaded(1.2), COMPUTE),
        (busy_consumer(80e-6), CONSUMER),
        (busy_consumer(79e-6), COMPUTE),
        (uneven(queue=10), WINDOW),
        (uneven(queue=79), TRANSPORT),
        (uneven(queue=10, busy_share=0.8), COMPUTE),
        (facts(row(2, 190.0, busy_share=0.79)), TRANSPORT),
        (facts(row(2, 190.0, busy_share=0.80)), COMPUTE),
        (facts(row(2, 190.0, memory_bytes=12.8 * GB)), MEMORY),
        (facts(row(2, 190.0, memory_bytes=12.7 * GB)), COMPUTE),
        (facts(row(2, 190.0, memory_bytes=12.8 * GB), available_bytes=None), COMPUTE),
        (computing(work=None), COMPUTE),
    ],
)
def test_bottleneck_follows_from_the_facts(known, bottleneck):
    verdict = judge(known)

    assert verdict is not None
    assert verdict.cause is bottleneck
    assert str(verdict).startswith(f"{bottleneck}: ")
    assert any(digit in verdict.seen for digit in "0123456789")
    assert verdict.advice


@pytest.mark.parametrize(
    ("known", "advice"),
    [
        (computing(), "Measure more workers than 2, up to the 4 CPUs"),
        (computing(cpus=2), "Make __getitem__ faster: 2 CPUs give no more"),
        (facts(row(1, 97.0), row(2, 98.0)), "more workers do not help"),
        (computing(loop=replace(LOOP, cpus=0.05)), "those that wait need no CPU of their own"),
        (
            facts(row(2, 100.0, cpus=1.0), executor="thread"),
            "Threads share the interpreter's lock",
        ),
        (handing(0.5), "seqloader.empty"),
        (busy_consumer(90e-6), "Make batches larger"),
        (uneven(queue=10), "--queue 80"),
        (starting(60.0), "Keep one enqueuer for all epochs"),
        (threaded(2.0), "threads_per_worker=1"),
        (falling(200.0), "Take no more than 4"),
        (stepped(0.0), "only a faster training step"),
        (facts(row(2, 190.0, memory_bytes=15 * GB)), "max_queue_bytes"),
    ],
)
def test_advice_says_what_to_do(known, advice):
    verdict = judge(known)

    assert verdict is not None
    assert advice in verdict.advice


@pytest.mark.parametrize(
    ("nbytes", "handing_s", "count", "advice"),
    [
        (150e6, 0.05, 1000, "seqloader.empty"),
        (1280.0, 0.05, 1000, "Return arrays"),
        (1280.0, 20e-6, 1000, "each costs about the same"),
        (1280.0, 20e-6, 10, "Make epochs longer than 10 batches"),
    ],
)
def test_transport_is_made_lighter_by_what_weighs(nbytes, handing_s, count, advice):
    light = Work(mean_s=2e-6, typical_s=2e-6, slowest_s=2e-6, handing_s=handing_s, cpus=1.0)
    known = facts(row(2, 10.0, nbytes=nbytes), work=light, batches_per_epoch=count)

    verdict = judge(known)

    assert verdict is not None
    assert verdict.cause is TRANSPORT
    assert advice in verdict.advice


def test_waiting_is_told_from_computing():
    waiting = judge(computing(loop=replace(LOOP, cpus=0.05)))
    working = judge(computing())

    assert "mostly waiting (disk, network, sleep)" in str(waiting)
    assert "mostly waiting" not in str(working)


def test_a_loop_that_others_slow_down_does_not_count_as_waiting():
    slowed = replace(LOOP, cpus=0.4)

    assert "waiting" in str(judge(computing(loop=slowed)))
    assert "waiting" not in str(judge(computing(loop=slowed, others=3.0)))


@pytest.mark.parametrize(
    ("others", "machine_cpus", "disturbed"),
    [(0.0, 4, False), (0.5, 4, False), (0.6, 4, True), (5.0, 4, True), (50.0, 64, False)],
)
def test_other_programs_disturb_where_they_take_usable_cpus(others, machine_cpus, disturbed):
    assert computing(others=others, machine_cpus=machine_cpus).is_disturbed is disturbed


@pytest.mark.parametrize(
    ("rate", "spread", "bottleneck"),
    [
        (105.0, 0.0, COMPUTE),  # 1.00 s and 0.95 s: nobody would see that
        (106.0, 0.0, START_UP),
        (150.0, 0.40, COMPUTE),  # a third less, and rounds further apart than that
        (150.0, 0.30, START_UP),
    ],
)
def test_what_noise_may_be_is_nothing_that_workers_save(rate, spread, bottleneck):
    known = facts(row(1, rate, startup_s=60.0, spread=spread), batches_per_epoch=100)

    verdict = judge(known)

    assert verdict is not None
    assert verdict.cause is bottleneck
    assert ("Measure more workers than 1" in verdict.advice) is (bottleneck is COMPUTE)


def test_a_verdict_about_a_disturbed_machine_is_doubted():
    said = str(judge(computing(others=1.26)))

    assert said.startswith(
        "Other programs kept 1.3 CPUs: measure again; perhaps compute: with 2 workers"
    )
    assert "perhaps" not in str(judge(computing()))


def test_a_disturbed_machine_makes_no_wider_window_advisable():
    known = replace(uneven(queue=10), others=2.0)

    verdict = judge(known)

    assert verdict is not None
    assert verdict.cause is WINDOW
    assert "--queue" not in verdict.advice


def test_nobody_is_busy_for_more_than_all_of_the_time():
    assert "busy 100% of the time" in str(judge(facts(row(2, 190.0, busy_share=1.012))))


def test_without_workers_there_is_no_verdict_but_that_the_step_is_fed():
    unfed = facts(row(0, 99.0, wait_s=0.010), step_s=0.030)
    fed = facts(row(0, 99.0, wait_s=0.001), step_s=0.030)

    assert judge(facts(row(0, 99.0))) is None
    assert judge(unfed) is None
    assert "with no workers the loop waits 1.00 ms" in str(judge(fed))


def test_where_no_workers_are_best_the_verdict_is_about_the_fastest_with_workers():
    known = facts(row(0, 99.0), row(1, 50.0), row(2, 60.0))

    assert judged_row(known).workers == 2


def test_verdict_is_about_the_row_that_is_recommended():
    known = facts(row(0, 99.0), row(2, 190.0), row(4, 191.0))

    assert judged_row(known).workers == 2
