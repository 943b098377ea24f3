from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from rich.console import Console

from seqloader.command.demo.passes import Passed, checksum
from seqloader.command.demo.report import Difference, compare, table, terse_warnings
from seqloader.errors import WorkerLostWarning


def batch(number: int):
    return np.full((2, 3), number, np.float64), np.array([number, number])


def passed(*epochs: list[int], elapsed_s: float = 1.0) -> Passed:
    sums = [[checksum(batch(number)) for number in epoch] for epoch in epochs]
    return Passed("a pass", sums, elapsed_s=elapsed_s)


@pytest.mark.parametrize(
    "other",
    [
        (np.zeros((2, 3), np.float32), np.zeros(2, np.int64)),
        (np.zeros((3, 2), np.float64), np.zeros(2, np.int64)),
        (np.zeros((2, 3), np.float64), np.array([0, 1])),
        (np.full((2, 3), 5e-324), np.zeros(2, np.int64)),
    ],
    ids=["dtype", "shape", "label", "one bit"],
)
def test_a_checksum_tells_batches_apart_by(other):
    assert checksum(batch(0)) == checksum(batch(0))
    assert checksum(batch(0)) != checksum(other)


def test_a_checksum_does_not_depend_on_the_memory_layout():
    images, labels = batch(1)

    assert checksum((np.asfortranarray(images), labels)) == checksum((images, labels))


def test_equal_passes_are_identical_in_words():
    comparison = compare(passed([1, 2], [2, 1]), passed([1, 2], [2, 1]))

    assert comparison.in_words() == "4 batches compared: identical."


@pytest.mark.parametrize(
    ("delivered", "differences"),
    [
        (([1, 2], [1, 2]), [Difference(1, 0), Difference(1, 1)]),
        (([1, 2], [2]), [Difference(1, 1)]),
        (([1, 2],), [Difference(1, 0), Difference(1, 1)]),
        (([1, 2], [2, 1, 1]), [Difference(1, 2)]),
    ],
    ids=["stale order", "lost batch", "lost epoch", "doubled batch"],
)
def test_what_can_go_wrong_is_a_difference(delivered, differences):
    comparison = compare(passed([1, 2], [2, 1]), passed(*delivered))

    assert comparison.differences == differences
    assert f"first batch {differences[0].batch} of epoch 1" in comparison.in_words()


def test_the_table_shows_rate_and_speed_up():
    screen = io.StringIO()
    plain, enqueued = passed([1] * 10, elapsed_s=4.0), passed([1] * 10, elapsed_s=2.0)

    Console(file=screen, width=120).print(table(plain, enqueued))

    assert "2.5" in screen.getvalue()
    assert "5.0" in screen.getvalue()
    assert "2.00 x" in screen.getvalue()


def test_a_lost_worker_is_one_line():
    screen = io.StringIO()

    with terse_warnings(Console(file=screen, width=60)):
        warnings.warn("worker 1 died " + "x" * 200 + "\nand more", WorkerLostWarning, stacklevel=1)

    assert len(screen.getvalue().splitlines()) == 1
    assert screen.getvalue().startswith("worker 1 died")


def test_other_warnings_are_shown_as_usual():
    screen = io.StringIO()

    with pytest.warns(UserWarning, match="something else"), terse_warnings(Console(file=screen)):
        warnings.warn("something else", UserWarning, stacklevel=1)

    assert screen.getvalue() == ""
