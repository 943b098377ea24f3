"""How many batches one call computes."""

from __future__ import annotations

from seqloader.executors.ray.chunks import Chunks


def measured(busy_s, nbytes=100):
    chunks = Chunks()
    for _ in range(50):
        chunks.measure(busy_s, nbytes)
    return chunks


def test_a_batch_has_its_own_call_until_some_were_measured():
    assert Chunks().size(1000, 1) == 1


def test_a_batch_that_takes_some_milliseconds_has_its_own_call():
    assert measured(0.003).size(1000, 1) == 1


def test_tiny_batches_share_a_call_of_some_milliseconds():
    assert measured(0.0005).size(1000, 1) == 8


def test_a_call_is_never_more_than_half_of_a_workers_part_of_the_window():
    chunks = measured(1e-6)

    assert [chunks.size(64, workers) for workers in (1, 2, 4, 32, 64)] == [32, 16, 8, 1, 1]
    assert chunks.size(0, 3) == 1


def test_large_batches_share_no_call_however_fast_they_are():
    assert measured(0.0001, nbytes=1 << 19).size(1000, 1) == 2
    assert measured(0.0001, nbytes=38_500_000).size(1000, 1) == 1


def test_it_follows_what_batches_become():
    chunks = measured(0.0001)
    for _ in range(30):
        chunks.measure(0.1, 100)

    assert chunks.size(1000, 1) == 1
