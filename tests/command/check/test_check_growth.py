"""Whether a process grows, from its weights alone."""

from __future__ import annotations

import random

import pytest

from seqloader.command.check.memory import Growth

MB = 1_000_000


def weighed(sizes, calls=40):
    points = tuple((calls * number, int(size)) for number, size in enumerate(sizes))
    return Growth(points, rounds=len(sizes) - 1, batches=calls, length=calls)


def noisy(sizes, amount, seed):
    chance = random.Random(seed)
    return [size + chance.uniform(-amount, amount) for size in sizes]


@pytest.mark.parametrize(
    "sizes",
    [
        [50 * MB + 0.2 * MB * n for n in range(13)],
        [50 * MB, 80 * MB, *(90 * MB + 1 * MB * n for n in range(6))],
        [50 * MB + 1 * MB * n for n in range(5)],
    ],
    ids=["slowly", "after a first jump", "in few rounds"],
)
def test_steady_growth_is_noticed(sizes):
    assert weighed(sizes).grows


@pytest.mark.parametrize(
    "sizes",
    [
        [50 * MB] * 13,
        [50 * MB, 90 * MB, 95 * MB, *[96 * MB] * 10],
        [50 * MB] * 6 + [60 * MB] * 7,
        [50 * MB + 5 * MB * (1 - 0.3**n) for n in range(13)],
        [50 * MB, 50.01 * MB, 50.02 * MB, 50.03 * MB, 50.04 * MB],
        [50 * MB + 3 * MB * (n % 2) for n in range(13)],
        [50 * MB, 60 * MB],
        [50 * MB],
        [],
    ],
    ids=["flat", "settling", "one jump", "fading", "tiny", "swinging", "two", "one", "none"],
)
def test_what_memory_does_by_itself_is_no_growth(sizes):
    assert not weighed(sizes).grows


def test_noise_neither_makes_growth_nor_hides_it():
    for seed in range(50):
        assert not weighed(noisy([50 * MB] * 13, 0.3 * MB, seed)).grows
        assert weighed(noisy([50 * MB + 1 * MB * n for n in range(13)], 0.3 * MB, seed)).grows


def test_growth_is_told_per_call_beside_what_could_be_noticed():
    leaking = weighed([50 * MB + 2 * MB * n for n in range(13)])

    assert leaking.bytes_per_call == pytest.approx(50_000)
    assert leaking.first_bytes == 4 * MB
    assert 1000 < leaking.noticeable_bytes < 10_000
