"""What a device reads in a locked block is what lies there; its pages are unlocked in time."""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from arena_ends import Ends
from interpreter import run_code
from pinned_pages import PinnedPages, needs_pinned_pages

from seqloader.executors.process.consumer.arena import living_views
from seqloader.executors.process.consumer.leased import LeasedBlock, leased_at
from seqloader.executors.process.wire.blocks import PAGE_BYTES, geometry

MIB = 1 << 20
LARGE = MIB - 1024
"""Bytes of a batch that fills 1 MiB with its definition, and without."""


def batch_of(nbytes: int, value: int = 1) -> Any:
    return np.full(nbytes, value, np.uint8)


def block_of(array: Any) -> LeasedBlock:
    block = leased_at(array.ctypes.data)
    assert block is not None
    return block


class Device:
    """Has the pages of blocks, until it is told to unlock them; remembers what they held then."""

    def __init__(self) -> None:
        self.pinned: dict[int, PinnedPages] = {}
        self.last_seen: list[set[int]] = []

    def lock(self, array: Any) -> LeasedBlock:
        block = block_of(array)
        block.lock(functools.partial(self.unlock, block.address))
        self.pinned[block.address] = PinnedPages(block.address, block.nbytes)
        return block

    def reads(self, array: Any) -> bytes:
        block = block_of(array)
        start = array.ctypes.data - block.address
        return self.pinned[block.address].read()[start : start + array.nbytes]

    def unlock(self, address: int) -> None:
        pages = self.pinned.pop(address)
        assert pages.shows_what_lies_there(), "unlocked after other pages have come there"
        self.last_seen.append({*pages.read()})
        pages.unpin()


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device()
    yield device
    assert not device.pinned, "locked for ever"


pytestmark = needs_pinned_pages


def test_pages_that_are_given_back_while_a_device_has_them_are_not_what_lies_there(
    ends: Ends,
) -> None:
    batch = ends.carry(batch_of(LARGE, 1))
    block = block_of(batch)
    start = batch.ctypes.data - block.address
    pages = PinnedPages(block.address, block.nbytes)

    assert ends.view.punch(block.address - ends.view.address, block.nbytes)
    batch[:] = 2

    assert {*pages.read()[start : start + batch.nbytes]} == {1}
    pages.unpin()


def test_block_is_locked_once_and_read_by_the_device_each_time_it_is_used(
    ends: Ends, device: Device
) -> None:
    for n in range(20):
        batch = ends.carry(batch_of(LARGE, n))
        if not block_of(batch).is_locked():
            device.lock(batch)
        assert device.reads(batch) == batch.tobytes()
        del batch

    assert len(device.pinned) <= 2
    ends.arenas.close()


# --- the consumer gives pages back --------------------------------------------------------------


def test_blocks_are_unlocked_before_they_are_given_back_above_the_cap(device: Device) -> None:
    ends = Ends(keep_batches=1)
    kept = [ends.carry(batch_of(LARGE, n)) for n in range(5)]
    for batch in kept:
        device.lock(batch)

    del batch, kept
    ends.ticket()

    assert ends.backed_bytes() == ends.view.backed_bytes() <= MIB
    assert not device.pinned
    assert len(device.last_seen) == 5
    ends.close()


def test_dead_workers_blocks_are_unlocked_but_for_those_in_use(ends: Ends, device: Device) -> None:
    kept, idle = ends.carry(batch_of(LARGE, 7)), ends.carry(batch_of(LARGE, 8))
    device.lock(kept)
    reused = device.lock(idle)
    del idle
    ends.ticket()
    ends.ticket()
    report = ends.send([batch_of(LARGE, 9)])  # reported, and not opened
    assert report.block == reused.number

    ends.arenas.forget(1)

    assert [*device.pinned] == [block_of(kept).address]
    assert device.reads(kept) == kept.tobytes()
    opened = ends.open(report)
    device.lock(opened)
    assert device.reads(opened) == batch_of(LARGE, 9).tobytes()
    del kept, opened
    ends.arenas.settle(ends.next_serial)
    assert not device.pinned
    assert ends.backed_bytes() == 0


def test_closed_arenas_unlock_what_nobody_has_and_each_block_that_ends_later(
    ends: Ends, device: Device
) -> None:
    kept = [ends.carry(batch_of(LARGE, n)) for n in range(3)]
    for batch in kept:
        device.lock(batch)
    del batch, kept[0]

    ends.arenas.close()

    assert len(device.pinned) == 2
    assert all(device.reads(batch) == batch.tobytes() for batch in kept)
    del kept[0]
    assert len(device.pinned) == 1
    assert ends.backed_bytes() == MIB
    kept.clear()
    assert not device.pinned


def test_block_locked_after_the_end_of_the_arenas_is_unlocked_with_its_lease(
    ends: Ends, device: Device
) -> None:
    kept = ends.carry(batch_of(LARGE, 3))
    ends.arenas.close()

    device.lock(kept)
    assert device.reads(kept) == kept.tobytes()
    del kept

    assert not device.pinned


@pytest.mark.parametrize("leased", [False, True], ids=["idle", "in use"])
def test_dropped_arenas_unlock_all_without_the_collector(device: Device, leased: bool) -> None:
    ends = Ends()
    kept = [ends.carry(batch_of(LARGE))]
    device.lock(kept[0])
    gc.collect()
    gc.disable()
    try:
        if not leased:
            kept.clear()
        ends.close()
        del ends
        kept.clear()
        assert not device.pinned
    finally:
        gc.enable()


def test_arena_that_a_torn_step_has_lost_unlocks_its_blocks_at_its_end(
    ends: Ends, device: Device
) -> None:
    kept = ends.carry(batch_of(LARGE))
    device.lock(kept)
    del kept
    ends.arenas.freed.clear()  # as if interrupted just after it had been taken from there
    del ends.arenas.views[1]
    ends.arenas._all.clear()
    assert device.pinned

    ends.view = ends.decoder = None  # type: ignore[assignment]

    assert not device.pinned


def test_memory_that_cannot_be_punched_is_unlocked_all_the_same(
    ends: Ends, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqloader.memory.mapping._REMOVE", None)
    kept = ends.carry(batch_of(LARGE))
    device.lock(kept)
    ends.arenas.forget(1)
    assert device.pinned

    del kept
    ends.arenas.settle(ends.next_serial)

    assert not device.pinned


def test_forked_child_unlocks_nothing(ends: Ends, device: Device) -> None:
    kept = ends.carry(batch_of(LARGE))
    block = device.lock(kept)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            device.last_seen.clear()
            ends.arenas.close()
            del kept
            block.unlock()
            status = len(device.last_seen)
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0

    assert block.is_locked()
    assert ends.arena._locks[block.number] == 1
    block.unlock()
    assert ends.arena._locks[block.number] == 0


def test_nothing_is_unlocked_while_the_interpreter_ends() -> None:
    code = (
        "import numpy as np; from arena_ends import Ends;"
        "ends = Ends(); kept = ends.carry(np.ones(9));"
        "from seqloader.executors.process.consumer.leased import leased_at;"
        "leased_at(kept.ctypes.data).lock(lambda: print('unlocked')); me = [kept]; me.append(me)"
    )
    done = run_code(code)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- the worker gives pages back ----------------------------------------------------------------


def test_worker_that_adds_memory_keeps_locked_blocks_of_other_sizes_and_gives_back_the_others(
    ends: Ends, device: Device
) -> None:
    kept = [ends.carry(batch_of(LARGE)) for _ in range(4)]
    locked = [device.lock(batch) for batch in kept[:2]]
    kept.clear()
    ends.ticket()

    larger = [ends.carry(batch_of(3 * MIB)) for _ in range(2)]

    assert ends.backed_bytes() == sum(batch.nbytes for batch in larger) + 2 * MIB + _rests(larger)
    for block in locked:
        block.unlock()
    larger.append(ends.carry(batch_of(3 * MIB)))
    assert ends.backed_bytes() == sum(batch.nbytes for batch in larger) + _rests(larger)


def _rests(batches: list[Any]) -> int:
    """Bytes of the blocks beyond the batches in them."""
    return sum(block_of(batch).nbytes - batch.nbytes for batch in batches)


def test_worker_that_runs_out_of_addresses_cuts_no_locked_block(device: Device) -> None:
    ends = Ends(size=2 * MIB)
    kept = ends.carry(batch_of(40 * PAGE_BYTES, 1))
    block = device.lock(kept)
    del kept
    for pages in (100, 3, 200, 5, 300, 50):
        for n in range(3):
            batch = ends.carry(batch_of(pages * PAGE_BYTES - 128, n))
            assert (batch == n).all()
            del batch

    again = ends.carry(batch_of(40 * PAGE_BYTES, 2))
    assert block_of(again).address == block.address
    assert device.reads(again) == again.tobytes()
    del again
    ends.arenas.close()
    ends.close()


def test_locked_blocks_of_a_size_that_comes_no_more_do_not_fill_the_memory(device: Device) -> None:
    ends = Ends(keep_batches=8)
    kept = [ends.carry(batch_of(LARGE)) for _ in range(8)]
    for batch in kept:
        device.lock(batch)
    del batch, kept
    ends.ticket()
    assert ends.backed_bytes() == 8 * MIB

    ends.arenas.forget_sizes()  # another epoch
    locked = 0
    for n in range(200):
        batch = ends.carry(batch_of(MIB // 8 - 1024, n))
        if not block_of(batch).is_locked():
            device.lock(batch)
            locked += 1
        assert device.reads(batch) == batch.tobytes()
        del batch

    assert ends.backed_bytes() <= 2 * MIB  # 8 blocks, and what is freed between two looks
    assert locked <= 80  # as many as make room; after that, none
    ends.arenas.close()
    ends.close()


# --- finding the block --------------------------------------------------------------------------


def test_block_is_found_by_any_address_in_it_and_only_while_something_refers_to_it(
    ends: Ends,
) -> None:
    batch = ends.carry((batch_of(LARGE), np.ones(3)))
    first, second = block_of(batch[0][5:]), block_of(batch[1][1:])

    assert first[1:] == second[1:]
    assert first.address % PAGE_BYTES == first.nbytes % PAGE_BYTES == 0
    assert leased_at(first.address - 1) is None
    assert leased_at(first.address + first.nbytes) is None
    assert leased_at(np.ones(3).ctypes.data) is None
    view, address = ends.view, first.address
    del first, second, batch
    ends.ticket()
    assert view in living_views()
    assert leased_at(address) is None


def test_parts_of_a_batch_that_lie_in_blocks_of_their_own_are_found_there(ends: Ends) -> None:
    from seqloader import arrays

    arrays.install(ends.arena)
    batch = ends.carry_made(lambda: tuple(arrays.empty(LARGE, np.uint8) for _ in range(2)))

    one, other = map(block_of, batch)
    assert one.number != other.number
    assert one.address + one.nbytes <= other.address or other.address + other.nbytes <= one.address


def test_locks_cost_no_memory_where_there_are_none(ends: Ends) -> None:
    for _ in range(10):
        ends.carry(batch_of(LARGE))

    where = geometry(ends.view.mapping.size)
    assert os.lseek(ends.fd, where.locks_offset, os.SEEK_DATA) >= where.data_offset
