"""From rounds to medians, from notes of a stopwatch to work, from numbers to words."""

from __future__ import annotations

import mmap
import os
import sys
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from seqloader import OrderedEnqueuer
from seqloader.command import words
from seqloader.command.bench.feeds import LoopCount, loop_feed
from seqloader.command.bench.figures import Figures, Round, Work
from seqloader.command.bench.measures import touch
from seqloader.command.bench.options import default_workers
from seqloader.command.bench.stopwatch import ROWS, Stopwatch
from seqloader.command.footprint import tree_memory_bytes

ROUND = Round(
    queue=8,
    startup_s=0.5,
    batches=100,
    wall_s=2.0,
    nbytes=5000.0,
    consumer_s=0.1,
    cpu_s=3.0,
    machine_s=3.5,
    busy_s=3.6,
    wait_s=0.002,
    memory_bytes=70,
)
MIB = 1 << 20


class Doubles:
    """Three batches an epoch, and notes of its hooks."""

    def __init__(self):
        self.hooks = []

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return None if index == 1 else np.full(2, 2 * index)

    def on_epoch_begin(self):
        self.hooks.append("begin")

    def on_epoch_end(self):
        self.hooks.append("end")


class Endless:
    """Without an end: num_batches is None, and there is no length."""

    use_sequence_api = True
    num_batches = None

    def __getitem__(self, index):
        return index


def test_figures_are_medians_over_the_rounds():
    slow, fast = replace(ROUND, wall_s=4.0), replace(ROUND, wall_s=1.0, memory_bytes=90)

    figures = Figures.of(2, [fast, ROUND, slow])

    assert figures.batches_per_s == 50
    assert figures.spread == pytest.approx(1.5)
    assert figures.is_unstable
    assert (figures.slowest_per_s, figures.fastest_per_s) == (25, 100)
    assert figures.busy_share == pytest.approx(0.9)
    assert figures.busy_s == pytest.approx(0.036)
    assert figures.consumer_s == pytest.approx(0.001)
    assert figures.cpus == pytest.approx(1.5)
    assert figures.nbytes == 50
    assert figures.memory_bytes == 90
    assert figures.queue == 8


def test_one_round_has_no_spread():
    figures = Figures.of(2, [ROUND])

    assert figures.spread is None
    assert not figures.is_unstable


def test_efficiency_is_of_the_loop_times_workers():
    loop = Figures(None, 100.0)

    assert Figures(4, 300.0).efficiency(loop) == pytest.approx(0.75)
    assert Figures(0, 90.0).efficiency(loop) == pytest.approx(0.9)
    assert loop.efficiency(loop) == 1


def test_a_machine_that_does_not_tell_leaves_memory_unknown():
    assert Figures.of(None, [replace(ROUND, memory_bytes=None)]).memory_bytes is None


def test_work_is_what_is_computed_and_the_rest_is_handing_over():
    measured = replace(ROUND, batches=200, busy_s=200 * 0.005)
    taken = [(0.002, 0.001)] * 195 + [(0.042, 0.001)] * 5

    work = Work.of(taken, measured)

    assert work.mean_s == pytest.approx(0.003)
    assert work.handing_s == pytest.approx(0.002)
    assert (work.typical_s, work.slowest_s) == (0.002, 0.042)
    assert work.cpus == pytest.approx(1 / 3)
    assert work.unevenness == pytest.approx(44 / 4)


def test_one_hiccup_in_a_thousand_batches_makes_no_work_uneven():
    taken = [(0.002, 0.002)] * 999 + [(5.0, 0.002)]

    assert Work.of(taken, replace(ROUND, busy_s=0.0)).unevenness == 1


def test_the_plain_loop_runs_hooks_and_leaves_out_none_batches():
    sequence, found = Doubles(), LoopCount()

    batches = list(islice(loop_feed(sequence, found).batches, 5))

    assert [int(batch[0]) for batch in batches] == [0, 4, 0, 4, 0]
    assert sequence.hooks == ["begin", "end", "begin", "end", "begin"]
    assert found.batches_per_epoch == 3


def test_the_plain_loop_goes_on_where_there_is_no_end():
    found = LoopCount()

    assert list(islice(loop_feed(Endless(), found).batches, 1, 4)) == [1, 2, 3]
    assert found.batches_per_epoch is None


def test_a_probe_hands_over_the_batches_of_its_sequence(tmp_path):
    sequence = Doubles()
    stopwatch = Stopwatch(sequence, tmp_path / "notes")

    assert stopwatch.num_batches == 3
    assert stopwatch[2].tolist() == [4, 4]
    assert stopwatch[1] is None
    stopwatch.on_epoch_begin()
    stopwatch.on_epoch_end()
    assert sequence.hooks == ["begin", "end"]


def test_a_stopwatch_learns_what_batches_took_in_workers(tmp_path):
    stopwatch = Stopwatch([np.zeros(2)] * 20, tmp_path / "notes")

    with OrderedEnqueuer(stopwatch, workers=2) as enqueuer:
        delivered = len(list(enqueuer))

    assert delivered == 20
    assert len(stopwatch.taken()) == 20
    assert all(took_s > 0 for took_s, _ in stopwatch.taken())
    stopwatch.clear()
    assert stopwatch.taken() == []


def test_a_probe_keeps_the_latest_batches(tmp_path):
    stopwatch = Stopwatch(Endless(), tmp_path / "notes")

    for index in (0, 1, ROWS):
        assert stopwatch[index] == index

    assert len(stopwatch.taken()) == 2


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((64, 64, 64)),
        np.zeros((64, 64, 64))[::2],
        np.array([{}] * 10_000),
        np.zeros(0),
        np.float32(3),
        {"image": (np.zeros(10_000, "M8[s]"), ["text"] * 10_000), "label": None},
        [np.zeros(5000, [("x", "f4"), ("y", "O")])],
    ],
    ids=["array", "strided", "objects", "empty", "scalar", "nest", "record of objects"],
)
def test_any_batch_can_be_touched(batch):
    touch(batch)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of shared memory")
@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "only open"])
def test_shared_memory_is_counted_once_whether_it_is_mapped_or_not(mapped):
    before_bytes = tree_memory_bytes()
    descriptor = os.memfd_create("counted")
    try:
        os.ftruncate(descriptor, 64 * MIB)
        with mmap.mmap(descriptor, 64 * MIB) as view:
            for start in range(0, 64 * MIB, mmap.PAGESIZE):
                view[start] = 1
            mapped_bytes = tree_memory_bytes()
        open_bytes = tree_memory_bytes()
    finally:
        os.close(descriptor)

    more_bytes = (mapped_bytes if mapped else open_bytes) - before_bytes
    # Our part of the libraries changes with the number of other processes that map them.
    assert 0.8 * 64 * MIB < more_bytes < 1.2 * 64 * MIB


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.duration(9.2e-6), "9.20 us"),
        (words.duration(0.0385), "38.5 ms"),
        (words.duration(0.001), "1.00 ms"),
        (words.duration(1.236), "1.24 s"),
        (words.duration(0.0), "0.00 us"),
        (words.size(1280), "1.28 kB"),
        (words.size(38_535_168), "38.5 MB"),
        (words.size(12), "12 bytes"),
        (words.share(0.987), "99%"),
        (words.share(1.012), "100%"),
        (words.rate(88_559.2), "88,559 batches/s"),
        (words.count(0, "worker"), "no workers"),
        (words.count(1, "batch"), "1 batch"),
        (words.count(3, "batch"), "3 batches"),
    ],
)
def test_numbers_are_said_in_few_digits(said, expected):
    assert said == expected


@pytest.mark.parametrize(
    ("cpus", "workers"),
    [(1, (0, 1)), (2, (0, 1, 2)), (6, (0, 1, 2, 4, 6)), (8, (0, 1, 2, 4, 8))],
)
def test_workers_are_tried_up_to_the_cpus(cpus, workers):
    assert default_workers(cpus) == workers
