"""What may be computed ahead (P5), and that no worker idles while it may (P6)."""

from __future__ import annotations

import pytest
from sequences_for_tests import Counted, Held, Numbers

from seqloader import SeqloaderWarning


@pytest.mark.parametrize("limit", [2, 5, 10])
def test_never_more_than_max_queue_size_is_ahead(make, tmp_path, limit):
    sequence = Counted(tmp_path)
    iterator = iter(make(sequence, max_queue_size=limit))

    for _ in range(len(sequence)):
        sequence.journal.note("ask")
        next(iterator)

    begun = asked = 0
    for line in sequence.journal.lines():
        asked += line == "ask"
        begun += line.startswith("begin")
        # A batch is handed over while it is asked for, and from then on the next may be begun.
        assert begun <= asked + limit
    assert begun == asked == 60


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_the_whole_window_is_computed_while_nobody_asks_and_no_more(
    make_any, tmp_path, kind, until
):
    sequence = Counted(tmp_path)
    enqueuer = make_any(sequence, executor=kind, max_queue_size=6)

    iterator = iter(enqueuer)
    until(lambda: sequence.journal.count("begin") == 6)
    assert enqueuer.stats().in_flight == 6
    next(iterator)
    until(lambda: sequence.journal.count("begin") == 7)

    assert enqueuer.stats().in_flight == 6
    assert sorted(sequence.journal.lines()) == sorted(f"begin {i}" for i in range(7))


def test_the_bound_holds_across_epochs_of_get(make, tmp_path):
    sequence = Counted(tmp_path, length=5)
    enqueuer = make(sequence, max_queue_size=3)
    stream = enqueuer.get()

    for taken in range(1, 23):
        next(stream)
        assert enqueuer.stats().in_flight <= 3
        assert sequence.journal.count("begin") <= taken + 3


def test_max_queue_size_of_1_is_enough(make):
    with pytest.warns(SeqloaderWarning, match="1 workers? will idle") as warned:
        enqueuer = make(Numbers(length=9), executor="thread", max_queue_size=1)

    assert [int(batch[0, 0]) for batch in enqueuer] == list(range(9))
    assert len(warned) == 1
    assert warned[0].filename.endswith("conftest.py")


@pytest.mark.parametrize(("workers", "size"), [(0, 10), (2, 10), (5, 10), (8, 16)])
def test_the_default_is_the_larger_of_10_and_twice_the_workers(make_any, workers, size):
    assert make_any(Numbers(), workers=workers).max_queue_size == size


def test_the_default_follows_the_workers_given_to_start(make_any):
    enqueuer = make_any(Numbers(), executor="thread")

    enqueuer.start(workers=8)

    assert enqueuer.max_queue_size == 16


# --- In bytes ---------------------------------------------------------------------------

NBYTES = 80_000


def test_of_unknown_size_one_batch_goes_alone(make, tmp_path, until, executor):
    sequence = Counted(tmp_path, nbytes=NBYTES)
    enqueuer = make(sequence, max_queue_bytes=20 * NBYTES)

    iterator = iter(enqueuer)
    assert enqueuer.stats().in_flight == 1
    next(iterator)

    assert enqueuer.stats().in_flight > 5


def test_bytes_ahead_keep_within_max_queue_bytes(make, tmp_path):
    # Room for four; executors may count a batch as somewhat larger than it is.
    sequence = Counted(tmp_path, nbytes=NBYTES)
    enqueuer = make(sequence, max_queue_bytes=4 * NBYTES + NBYTES // 8)
    iterator = iter(enqueuer)
    seen = []

    for taken in range(1, 61):
        next(iterator)
        seen.append(enqueuer.stats().in_flight)
        assert sequence.journal.count("begin") <= taken + 4

    assert max(seen) in (3, 4)


def test_the_count_still_bounds_where_bytes_would_allow_more(make, tmp_path, take):
    enqueuer = make(Counted(tmp_path), max_queue_bytes=10**9, max_queue_size=4)

    take(enqueuer, 2)

    assert enqueuer.stats().in_flight == 4


def test_a_batch_larger_than_max_queue_bytes_still_comes(make, tmp_path):
    enqueuer = make(Counted(tmp_path, length=5, nbytes=NBYTES), max_queue_bytes=1)

    for epoch in range(2):
        seen = [(batch[0], enqueuer.stats().in_flight) for batch in enqueuer]
        assert [index for index, _ in seen] == [0, 1, 2, 3, 4], epoch
        assert max(in_flight for _, in_flight in seen) <= 1


# --- No worker idles --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_one_slow_batch_delays_delivery_and_not_computation(make_any, gate, kind, until):
    enqueuer = make_any(Held(gate, held=[0], length=12), executor=kind, max_queue_size=8)

    iterator = iter(enqueuer)
    until(lambda: gate.left() == set(range(1, 8)))  # all that is permitted but the one held
    until(lambda: gate.arrived() == {0})
    gate.open()

    assert list(iterator) == list(range(12))


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_slow_batches_anywhere_leave_the_other_workers_at_work(make_any, gate, kind, until):
    held = [1, 4]
    enqueuer = make_any(
        Held(gate, held=held, length=10), executor=kind, workers=3, max_queue_size=10
    )

    iterator = iter(enqueuer)
    assert next(iterator) == 0
    until(lambda: gate.left() == set(range(10)) - set(held))
    gate.open()

    assert list(iterator) == list(range(1, 10))


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_as_many_batches_as_workers_are_computed_at_once(make_any, gate, kind):
    enqueuer = make_any(Held(gate, held=range(10), length=10), executor=kind, workers=3)

    iterator = iter(enqueuer)
    gate.wait_arrived(3)
    assert gate.arrived() == {0, 1, 2}
    gate.open()

    assert list(iterator) == list(range(10))
