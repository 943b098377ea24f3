"""Blocks are reserved, lent, freed, punched and cut anew; no two owners ever share a byte."""

from __future__ import annotations

import errno
import gc
import itertools
import os
from typing import Any

import numpy as np
import pytest
from arena_ends import Ends
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)
from interpreter import printed_by

from seqloader import arrays
from seqloader.executors.process.wire import blocks
from seqloader.executors.process.wire.blocks import PAGE_BYTES
from seqloader.executors.process.worker import arena as arena_module
from seqloader.memory import mapping as mapping_module

MIB = 1 << 20
LARGE = MIB - 1024
"""Bytes of a batch that fills 1 MiB with its definition, and without."""


def batch_of(nbytes: int, value: int = 1) -> Any:
    return np.full(nbytes, value, np.uint8)


# --- size classes -----------------------------------------------------------------------------


def test_size_classes_hold_what_they_are_for_and_waste_little() -> None:
    sizes = [n * 997 for n in range(1, 3000)] + [(1 << n) + 1 for n in range(40)]
    for nbytes in sizes:
        size = blocks.size_class(nbytes)
        pages = -(-nbytes // PAGE_BYTES)
        assert nbytes <= size <= max(pages, 1) * PAGE_BYTES * 9 // 8
        assert size % PAGE_BYTES == 0
        assert blocks.size_class(size) == size


def test_larger_classes_end_at_twice_the_size() -> None:
    for pages in (1, 5, 16, 17, 100, 1000):
        size = blocks.size_class(pages * PAGE_BYTES)
        larger = blocks.larger_classes(size)
        assert larger == sorted(set(larger))
        assert all(size < other <= 2 * size for other in larger)
        assert all(blocks.size_class(other) == other for other in larger)


def test_places_survive_packing() -> None:
    for offset, size in ((PAGE_BYTES, PAGE_BYTES), (1 << 40, 1 << 39), (7 * PAGE_BYTES, 1 << 30)):
        assert blocks.unpack_place(blocks.pack_place(offset, size)) == (offset, size)


# --- reuse ------------------------------------------------------------------------------------


def test_block_is_not_used_again_before_a_ticket_written_after_it_was_freed(ends: Ends) -> None:
    ends.ticket()
    report = ends.send([batch_of(100)])
    batch = ends.open(report)
    del batch
    ends.arenas.settle(ends.next_serial)  # free for whoever takes the next ticket, not before

    early = ends.send([batch_of(100)])
    ends.ticket()
    late = ends.send([batch_of(100)])

    assert early.block != report.block
    assert late.block == report.block


def test_steady_stream_needs_no_more_memory(ends: Ends) -> None:
    kept: list[Any] = []
    for n in range(100):
        kept.append(ends.carry(batch_of(LARGE, n)))
        assert (kept[-1] == n).all()
        del kept[:-3]

    assert ends.view.backed_bytes() == 4 * MIB
    assert ends.backed_bytes() == ends.view.backed_bytes()


def test_mix_of_sizes_may_change_without_growth() -> None:
    ends = Ends(keep_batches=4)
    for n in range(1, 40):
        size = blocks.size_class(n % 7 * MIB // 2 + MIB)
        for _ in range(5):
            ends.carry(batch_of(size))

    assert ends.view.backed_bytes() <= 5 * blocks.size_class(4 * MIB)
    assert ends.backed_bytes() <= 5 * blocks.size_class(4 * MIB)
    ends.close()


def test_larger_idle_block_is_used_before_memory_is_added(ends: Ends) -> None:
    ends.carry(batch_of(20 * PAGE_BYTES - 1024))
    backed = ends.view.backed_bytes()

    ends.carry(batch_of(18 * PAGE_BYTES - 1024))
    assert ends.view.backed_bytes() == backed
    ends.carry(batch_of(2 * PAGE_BYTES - 1024))  # and a large one is not given up for a small one
    assert ends.view.backed_bytes() == backed + 2 * PAGE_BYTES


def test_memory_above_the_cap_is_given_back() -> None:
    ends = Ends(keep_batches=3)
    kept = [ends.carry(batch_of(LARGE)) for _ in range(20)]
    assert ends.backed_bytes() == 20 * MIB

    del kept
    ends.ticket()

    assert ends.view.backed_bytes() <= ends.arenas.cap_bytes() == 3 * MIB
    assert ends.backed_bytes() == ends.view.backed_bytes()
    for _ in range(30):  # punched blocks are backed anew, and only as many as are needed
        ends.carry(batch_of(LARGE))
    assert ends.backed_bytes() <= 3 * MIB
    ends.close()


def test_what_the_consumer_holds_comes_on_top_of_the_cap() -> None:
    ends = Ends(keep_batches=2)
    kept = [ends.carry(batch_of(LARGE)) for _ in range(10)]

    assert ends.arenas.held_bytes == 10 * MIB
    del kept[5:]
    ends.ticket()

    assert ends.backed_bytes() <= 7 * MIB
    assert all((batch == 1).all() for batch in kept)
    ends.close()


def test_small_batches_are_freed_without_a_look_at_the_memory(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    monkeypatch.setattr(
        type(ends.view), "backed_bytes", lambda view: looks.append(view) or view.words[0]
    )
    for _ in range(300):
        ends.carry(batch_of(100))

    assert len(looks) <= 3


class CountingWords:
    def __init__(self, words: Any) -> None:
        self.words = words
        self.looks = 0

    def __getitem__(self, number: int) -> Any:
        self.looks += 1
        return self.words[number]

    def __setitem__(self, number: int, word: int) -> None:
        self.words[number] = word

    def __len__(self) -> int:
        return len(self.words)


def test_cost_of_a_batch_does_not_grow_with_what_the_consumer_keeps(ends: Ends) -> None:
    kept = [ends.carry(batch_of(10)) for _ in range(1000)]
    words: Any = CountingWords(ends.arena._words)
    ends.arena._words = words

    ends.carry(batch_of(10))

    assert words.looks < 100
    del kept


def test_blocks_freed_among_many_kept_ones_are_found_in_time(ends: Ends) -> None:
    kept = [ends.carry(batch_of(10)) for _ in range(1000)]
    backed = ends.view.backed_bytes()
    for n in range(0, 1000, 2):
        kept[n] = None

    for _ in range(500):
        kept.append(ends.carry(batch_of(10)))

    assert ends.view.backed_bytes() <= backed * 1.05


# --- memory that runs out ---------------------------------------------------------------------


def test_too_little_available_memory_is_an_error_with_numbers() -> None:
    available = [10 << 30]
    ends = Ends(available=lambda: available[0])
    ends.carry(batch_of(LARGE))
    available[0] = 40 * MIB

    with pytest.raises(MemoryError, match=f"{16 * MIB} bytes: {40 * MIB} bytes are available"):
        ends.send([batch_of(16 * MIB - 4096)])

    assert ends.carry(batch_of(LARGE)).sum() == LARGE
    available[0] = 10 << 30
    assert ends.carry(batch_of(16 * MIB)).sum() == 16 * MIB
    ends.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.ENOMEM, errno.EFBIG])
def test_memory_that_is_refused_is_an_error_and_what_was_cut_is_not_lost(
    ends: Ends, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(fd: int, offset: int, size: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", refuse)
        for _ in range(5):
            with pytest.raises(MemoryError, match="4096 bytes"):
                ends.send([batch_of(100)])

    report = ends.send([batch_of(100)])
    assert report.offset == blocks.geometry(ends.view.mapping.size).data_offset
    assert ends.view.backed_bytes() == 4096


def test_file_system_that_cannot_reserve_is_used_all_the_same(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, offset: int, size: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr(os, "posix_fallocate", refuse)

    assert ends.carry(batch_of(LARGE)).sum() == LARGE


def test_nothing_is_punched_where_that_cannot_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arena_module, "_REMOVE", None)
    monkeypatch.setattr(mapping_module, "_REMOVE", None)
    ends = Ends(keep_batches=1)
    kept = [ends.carry(batch_of(LARGE, n)) for n in range(5)]
    del kept
    for n in range(5):
        assert (ends.carry(batch_of(2 * MIB, n)) == n).all()

    assert ends.view.backed_bytes() == ends.backed_bytes() > 0
    ends.close()


def test_addresses_that_run_out_are_cut_anew() -> None:
    ends = Ends(size=2 * MIB)
    for pages in (1, 100, 3, 200, 5, 300, 50):
        for n in range(3):
            assert (ends.carry(batch_of(pages * PAGE_BYTES - 128, n)) == n).all()

    assert ends.backed_bytes() <= MIB * 2
    ends.close()


def test_arena_that_is_full_says_so() -> None:
    ends = Ends(size=MIB)
    kept = []

    with pytest.raises(MemoryError, match=f"arena of {MIB} bytes"):
        for n in range(100):
            kept.append(ends.carry(batch_of(100_000, n)))

    assert all((batch == n).all() for n, batch in enumerate(kept))
    assert len(kept) > 5
    kept.clear()
    assert (ends.carry(batch_of(600_000, 3)) == 3).all()
    ends.close()


def test_mapping_that_is_refused_is_an_error() -> None:
    with pytest.raises(OSError, match="cannot map"):
        mapping_module.Mapping(-1, 4096)


@pytest.mark.parametrize("limit", ["RLIMIT_FSIZE", "RLIMIT_AS"])
def test_arena_keeps_to_the_limits_of_the_process(limit: str) -> None:
    limit_bytes = 4 << 30
    code = (
        f"import resource; resource.setrlimit(resource.{limit}, ({limit_bytes},) * 2);"
        "from seqloader.memory.descriptors import Descriptors; made = Descriptors();"
        "from seqloader.executors.process.wire.blocks import make_sparse;"
        "print(make_sparse(made.memory('test'), 2))"
    )

    size = int(printed_by(code))

    assert 256 * MIB <= size <= (limit_bytes if limit == "RLIMIT_FSIZE" else limit_bytes // 8)


def test_arena_needs_no_module_that_the_last_descriptor_would_load() -> None:
    code = (
        "import sys; sys.modules['resource'] = None;"
        "from seqloader.memory.descriptors import Descriptors; made = Descriptors();"
        "from seqloader.executors.process.wire.blocks import make_sparse;"
        "print(make_sparse(made.memory('test'), 2))"
    )

    assert int(printed_by(code)) >= 256 * MIB


# --- ends of workers and pools ----------------------------------------------------------------


def test_dead_workers_arena_keeps_what_is_leased_or_reported_and_no_more(ends: Ends) -> None:
    arrays.install(ends.arena)
    kept = ends.carry(batch_of(LARGE, 7))
    freed = [ends.carry(batch_of(LARGE)) for _ in range(3)]
    ends.ticket()
    reported = ends.send([batch_of(LARGE, 8)])
    in_work = arrays.empty(MIB, np.uint8)
    del freed
    ends.ticket()
    assert ends.backed_bytes() == 6 * MIB

    ends.arenas.forget(1)

    assert ends.backed_bytes() == 2 * MIB
    opened = ends.open(reported)
    assert (kept == 7).all()
    assert (opened == 8).all()
    del opened
    ends.arenas.settle(ends.next_serial)
    assert ends.backed_bytes() == MIB
    assert ends.arenas.held_bytes == MIB
    assert in_work.size == MIB


def test_closed_arenas_keep_leased_blocks_alone_and_give_each_back_as_it_ends(ends: Ends) -> None:
    kept = [ends.carry(batch_of(LARGE, n)) for n in range(4)]
    ends.ticket()
    ends.send([batch_of(LARGE)])
    assert ends.backed_bytes() == 5 * MIB

    ends.arenas.close()
    assert ends.backed_bytes() == 4 * MIB
    assert all((batch == n).all() for n, batch in enumerate(kept))
    del kept[1:3]

    assert ends.backed_bytes() == 2 * MIB
    assert (kept[1] == 3).all()


def test_dropped_arenas_leave_nothing_in_cycles() -> None:
    ends = Ends()
    kept = [ends.carry(batch_of(LARGE)) for _ in range(3)]
    gc.collect()
    gc.disable()
    try:
        inode = os.fstat(ends.fd).st_ino
        del kept[0]  # freed, and never settled
        ends.close()
        del ends
        kept.clear()
        with open("/proc/self/maps") as maps:
            assert f" {inode} " not in maps.read()
    finally:
        gc.enable()


def test_dead_workers_arena_keeps_what_lies_where_smaller_blocks_have_lain() -> None:
    ends = Ends(size=64 * PAGE_BYTES)
    small = [ends.carry(np.ones(PAGE_BYTES + 1, np.uint8)) for _ in range(30)]
    del small
    ends.ticket()
    kept = [ends.carry(np.full(13 * PAGE_BYTES + 1, n, np.uint8)) for n in range(3)]

    ends.arenas.forget(1)

    assert all((batch == n).all() for n, batch in enumerate(kept))
    del kept
    ends.close()


def test_exception_of_a_worker_travels_in_a_block(ends: Ends) -> None:
    block = ends.arena.reserve(5)
    ends.arena.write(block, b"hello")

    assert ends.view.read(block.offset, 5) == b"hello"
    ends.arenas.release(ends.view, block.number)

    ends.ticket()
    assert ends.arena.reserve(5) is block


# --- the model --------------------------------------------------------------------------------

SIZES = st.sampled_from([1, 4000, 5000, 40_000, 70_000, 100_000])


class Reuse(RuleBasedStateMachine):
    """Every interleaving of the two sides over a small arena: what is owned stays as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = Ends(size=MIB // 2, keep_batches=2)
        arrays.install(self.ends.arena)
        self.tickets: list[int] = []
        self.reports: list[tuple[Any, int]] = []
        self.open: list[tuple[Any, int]] = []
        self.cached: list[tuple[Any, int]] = []
        self.value = 0
        self.freed_at: dict[int, int] = {}
        """For each page that was freed, the serial of the first ticket written after that."""

    def teardown(self) -> None:
        self.reports.clear()
        self.open.clear()
        self.cached.clear()
        self.ends.close()

    def add_report(self, report: Any, value: int) -> None:
        for block in self.ends.decoder.blocks(self.ends.view, report):
            for page in range(block.offset, block.offset + block.size, PAGE_BYTES):
                assert self.freed_at.get(page, 0) <= self.ends.arena.taken
        self.reports.append((report, value))

    def next_value(self) -> int:
        self.value = self.value % 250 + 1
        return self.value

    # Preconditions have names: some versions of hypothesis parse the file of a lambda anew, for its
    # text, each time that they ask it.
    def has_tickets(self) -> bool:
        return bool(self.tickets)

    def has_reports(self) -> bool:
        return bool(self.reports)

    def has_open(self) -> bool:
        return bool(self.open)

    def has_cached(self) -> bool:
        return bool(self.cached)

    @rule()
    def write_ticket(self) -> None:
        for _, _, offset, size, _ in self.ends.arenas.freed:
            for page in range(offset, offset + size, PAGE_BYTES):
                self.freed_at[page] = self.ends.next_serial
        self.ends.arenas.settle(self.ends.next_serial)
        self.tickets.append(self.ends.next_serial)
        self.ends.next_serial += 1

    @precondition(has_tickets)
    @rule()
    def take_ticket(self) -> None:
        self.ends.arena.taken = self.tickets.pop(0)

    @rule(nbytes=SIZES, pickled=st.booleans())
    def report(self, nbytes: int, pickled: bool) -> None:
        value = self.next_value()
        try:
            report = self.ends.send([(batch_of(nbytes, value), "x" if pickled else np.ones(1))])
        except MemoryError:
            return
        self.add_report(report, value)

    @rule(nbytes=SIZES, pickled=st.booleans(), cache=st.booleans())
    def report_in_place(self, nbytes: int, pickled: bool, cache: bool) -> None:
        value = self.next_value()
        try:
            array = arrays.empty(nbytes, np.uint8)
            array[:] = value
            if cache:
                self.cached.append((array, value))
            box = [(array, "x" if pickled else np.ones(1))]
            del array
            report = self.ends.send(box)
        except MemoryError:
            return
        self.add_report(report, value)

    @precondition(has_reports)
    @rule()
    def open_report(self) -> None:
        report, value = self.reports.pop(0)
        self.open.append((self.ends.open(report)[0], value))

    @precondition(has_reports)
    @rule(which=st.integers(0, 100))
    def discard_report(self, which: int) -> None:
        report, _ = self.reports.pop(which % len(self.reports))
        self.ends.discard(report)

    @precondition(has_open)
    @rule(which=st.integers(0, 100))
    def drop_batch(self, which: int) -> None:
        self.open.pop(which % len(self.open))

    @precondition(has_cached)
    @rule(which=st.integers(0, 100))
    def drop_cached(self, which: int) -> None:
        self.cached.pop(which % len(self.cached))

    @invariant()
    def what_is_owned_is_as_it_was(self) -> None:
        for array, value in (*self.open, *self.cached):
            assert (array == value).all()

    @invariant()
    def no_two_owners_share_a_byte(self) -> None:
        spans = [
            (block.offset, block.size)
            for report, _ in self.reports
            for block in self.ends.decoder.blocks(self.ends.view, report)
        ]
        spans += self.ends.view.leased.values()
        spans += self.ends.arena.unused()
        spans.sort()
        for (offset, size), (after, _) in itertools.pairwise(spans):
            assert offset + size <= after

    @invariant()
    def both_ends_are_whole(self) -> None:
        self.ends.check()

    @invariant()
    def counters_say_what_the_system_says(self) -> None:
        assert self.ends.view.backed_bytes() == self.ends.backed_bytes()


Reuse.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestReuse = Reuse.TestCase


def test_arena_works_in_an_unlinked_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLOADER_WITHOUT", "memfd")
    ends = Ends()

    for n in range(5):
        assert (ends.carry(batch_of(LARGE, n)) == n).all()
    assert ends.view.backed_bytes() == MIB
    ends.close()


def test_arena_without_the_c_library_is_mapped_by_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping_module, "_libc", lambda: None)
    ends = Ends(keep_batches=1)

    kept = [ends.carry(batch_of(LARGE, n)) for n in range(4)]
    assert all((batch == n).all() for n, batch in enumerate(kept))
    del kept
    ends.ticket()

    assert ends.backed_bytes() == MIB
    ends.close()
