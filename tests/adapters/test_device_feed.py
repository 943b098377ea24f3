"""A device gets what was sent, from memory that it may read, which is used again after that."""

from __future__ import annotations

import gc
import os
import signal
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from arena_ends import Ends
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pinned_pages import CAN_PIN, needs_pinned_pages
from stand_in import StandIn, flatten

from seqloader import OrderedEnqueuer, Sequence
from seqloader.adapters.device.copies import Copies
from seqloader.adapters.device.feed import DeviceFeed, Sent
from seqloader.adapters.device.registrations import Registrations
from seqloader.errors import SeqloaderWarning, WorkerLostWarning
from seqloader.executors.process.consumer.leased import leased_at

pytestmark = needs_pinned_pages

AHEAD = 2


def batch_of(value: int, nbytes: int = 5000) -> Any:
    return {"image": np.full(nbytes, value, np.uint8), "labels": (np.full(3, value, np.int64), "x")}


def is_right(batch: Any, value: int, nbytes: int = 5000) -> bool:
    image, (labels, text) = batch["image"].value, batch["labels"]
    whole = image.shape == (nbytes,) and labels.value.shape == (3,) and text == "x"
    return bool(whole and (image == value).all() and (labels.value == value).all())


def feed_to(device: StandIn, ahead: int = AHEAD) -> DeviceFeed:
    return DeviceFeed(device, ahead, flatten)


@pytest.fixture
def device() -> Iterator[StandIn]:
    device = StandIn()
    yield device
    assert not device.registered, "registered for ever"


@pytest.fixture
def ends(device: StandIn) -> Iterator[Ends]:
    """Ends before the device is asked what is left."""
    ends = Ends()
    yield ends
    ends.arenas.close()
    ends.close()


# --- what is pure ---------------------------------------------------------------------------------


def test_copies_end_in_the_order_in_which_they_began_and_their_slots_are_used_again() -> None:
    copies = Copies(2)
    first = copies.begin([1], in_ring=True)
    second = copies.begin([2], in_ring=True)
    assert copies.is_full
    assert copies.oldest is first
    assert first.slot is not second.slot

    copies.end_oldest()
    third = copies.begin([3], in_ring=True)

    assert third.slot is first.slot
    assert copies.oldest is second
    copies.check()


def test_driver_that_has_refused_is_not_asked_again_and_what_is_registered_stays() -> None:
    registrations = Registrations()
    registrations.ask(4096, 100)
    registrations.grant()
    registrations.ask(8192, 200)
    registrations.refuse(8192, "enough")

    assert (len(registrations), registrations.nbytes, registrations.made) == (1, 100, 1)
    assert not registrations.wants(12288)
    assert registrations.end(4096)
    assert not registrations.end(4096), "once"
    assert not registrations.end(8192)


# --- the way of a batch ---------------------------------------------------------------------------


def test_batch_arrives_as_it_was_sent_read_from_the_block_itself(
    ends: Ends, device: StandIn
) -> None:
    feed = feed_to(device)
    sent = feed.send(ends.carry(batch_of(7)))
    device.step()

    assert is_right(feed.receive(sent), 7)
    assert (len(device.registered), device.buffers, feed.buffered_bytes) == (1, [], 0)
    feed.close()


def test_block_is_kept_until_the_event_behind_its_copy_has_passed(
    ends: Ends, device: StandIn
) -> None:
    feed = feed_to(device)
    sent = feed.send(ends.carry(batch_of(7)))
    batch = feed.receive(sent)
    del sent
    gc.collect()
    assert ends.arenas.held_batches == 1

    device.step()
    feed.send(ends.carry(batch_of(8)))  # the next look

    ends.ticket()
    assert ends.arenas.held_batches == 1
    assert is_right(batch, 7)
    feed.close()


def test_each_block_is_registered_once_however_often_it_is_used(
    ends: Ends, device: StandIn
) -> None:
    feed = feed_to(device)
    sent: list[Sent] = []
    for n in range(50):
        sent.append(feed.send(ends.carry(batch_of(n))))
        if len(sent) > AHEAD:
            device.run_until(n)
            assert is_right(feed.receive(sent.pop(0)), n - AHEAD)

    assert device.ever_registered == len(device.registered) == feed.registrations.made <= 5
    assert feed.registrations.nbytes == sum(pages.nbytes for pages in device.registered.values())
    feed.close()


def test_no_more_copies_are_under_way_than_ahead_and_one(ends: Ends, device: StandIn) -> None:
    feed = feed_to(device)
    sent = [feed.send(ends.carry(batch_of(n))) for n in range(AHEAD + 1)]
    assert device.waits == 0

    sent.append(feed.send(ends.carry(batch_of(AHEAD + 1))))

    assert device.waits == 1
    assert device.done == 1
    ends.ticket()
    assert ends.arenas.held_batches == AHEAD + 1
    feed.close()
    assert all(is_right(feed.receive(each), n) for n, each in enumerate(sent))


def test_loop_is_told_to_wait_for_the_event_of_the_batch_that_it_gets(
    ends: Ends, device: StandIn
) -> None:
    feed = feed_to(device)
    one, other = (feed.send(ends.carry(batch_of(n))) for n in range(2))
    feed.receive(one)
    feed.receive(other)

    assert device.handed_over == [1, 2]
    feed.close()


def test_memory_that_lies_in_no_block_goes_by_the_ring_without_a_word(device: StandIn) -> None:
    feed = feed_to(device)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(20):
            sent = feed.send(batch_of(n))
            device.step()
            assert is_right(feed.receive(sent), n)

    assert len(device.buffers) == 1
    assert not device.registered
    assert feed.buffered_bytes == 20 * (5000 + 3 * 8)
    feed.close()


def test_ring_has_a_buffer_for_each_copy_under_way_and_they_grow_with_the_batches(
    device: StandIn,
) -> None:
    feed = feed_to(device)
    sent = [(feed.send(batch_of(n, 100 * n)), n, 100 * n) for n in range(12)]

    feed.close()
    assert all(is_right(feed.receive(each), n, nbytes) for each, n, nbytes in sent)
    assert len(device.buffers) <= 12
    assert device.waits == 12


def test_ring_recovers_from_a_buffer_that_could_not_be_had(device: StandIn) -> None:
    feed = feed_to(device, ahead=0)
    feed.send(batch_of(1, 100))
    device.fails_at = "buffer"
    with pytest.raises(KeyboardInterrupt):
        feed.send(batch_of(2, 9000))

    sent = feed.send(batch_of(3, 90))
    feed.close()
    assert is_right(feed.receive(sent), 3, 90)


def test_refused_registration_is_said_once_with_its_cure_and_every_batch_is_right(
    ends: Ends, device: StandIn
) -> None:
    feed = feed_to(device)
    kept = ends.carry(batch_of(100))
    first = feed.send(kept)
    device.refusal = "out of memory (cudaHostRegister: 2)"
    with pytest.warns(SeqloaderWarning, match=r"out of memory \(cudaHostRegister: 2\).*ulimit -l"):
        second = feed.send(ends.carry(batch_of(1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        third = feed.send(ends.carry(batch_of(2)))
    device.run_until(3)
    again = feed.send(kept)  # what is registered stays so
    device.run_until(4)

    assert is_right(feed.receive(first), 100)
    assert is_right(feed.receive(second), 1)
    assert is_right(feed.receive(third), 2)
    assert is_right(feed.receive(again), 100)
    assert len(device.registered) == 1
    assert len(device.buffers) == 2
    block = leased_at(kept["image"].ctypes.data)
    assert block is not None
    assert block.is_locked()
    feed.close()


def test_warning_that_is_an_error_loses_no_batch(ends: Ends, device: StandIn) -> None:
    feed = feed_to(device)
    device.refusal = "no"
    batch = ends.carry(batch_of(5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SeqloaderWarning):
            feed.send(batch)
        sent = feed.send(batch)
    device.step()

    assert is_right(feed.receive(sent), 5)
    feed.close()


def test_device_that_locks_no_pages_copies_from_the_blocks_and_registers_nothing(
    ends: Ends,
) -> None:
    device = StandIn(locks_pages=False)
    feed = feed_to(device)
    sent = feed.send(ends.carry(batch_of(3)))
    ends.ticket()
    assert ends.arenas.held_batches == 1
    device.step()

    assert is_right(feed.receive(sent), 3)
    assert device.ever_registered == feed.buffered_bytes == 0
    feed.close()


@pytest.mark.parametrize("call", ["register", "copy"])
def test_interrupt_in_the_middle_of_sending_frees_nothing_that_a_copy_still_reads(
    ends: Ends, device: StandIn, call: str
) -> None:
    feed = feed_to(device)
    batch = ends.carry(batch_of(1))
    device.fails_at = call
    with pytest.raises(KeyboardInterrupt):
        feed.send(batch)
    del batch
    gc.collect()
    ends.ticket()
    assert ends.arenas.held_batches == (call == "copy")  # its copy may be under way

    sent = [feed.send(ends.carry(batch_of(n))) for n in range(5)]

    feed.close()
    assert all(is_right(feed.receive(each), n) for n, each in enumerate(sent))


def test_interrupt_between_asking_and_answer_unlocks_the_block_with_its_memory(
    device: StandIn,
) -> None:
    ends = Ends()
    feed = feed_to(device)
    device.fails_at = "register"
    batch = ends.carry(batch_of(1))
    with pytest.raises(KeyboardInterrupt):
        feed.send(batch)
    assert device.registered
    del batch

    ends.arenas.close()

    assert not device.registered
    ends.close()


def test_feed_that_is_dropped_waits_for_its_copies(ends: Ends, device: StandIn) -> None:
    feed = feed_to(device)
    feed.send(ends.carry(batch_of(1)))
    assert device.done == 0

    del feed

    assert device.done == 1


def test_blocks_outlive_the_feed_that_had_them_locked_and_another_feed_uses_them(
    ends: Ends, device: StandIn
) -> None:
    for n in range(3):
        feed = feed_to(device)
        sent = feed.send(ends.carry(batch_of(n)))
        device.run_until(device.begun)
        assert is_right(feed.receive(sent), n)
        feed.close()
        del feed, sent

    assert device.ever_registered <= 2


def test_forked_child_asks_nothing_of_the_device(ends: Ends, device: StandIn) -> None:
    feed = feed_to(device)
    feed.send(ends.carry(batch_of(1)))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            copies = weakref.ref(feed._copies)
            feed.close()
            del feed
            ends.arenas.close()
            status = device.done + device.waits + 1 - len(device.registered) + (copies() is None)
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    feed.close()


# --- the model ------------------------------------------------------------------------------------


class Feeding(RuleBasedStateMachine):
    """Every interleaving of worker, loop and stream over a small arena; the stand-in judges."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = Ends(size=1 << 19, keep_batches=2)
        self.device = StandIn()
        self.feed = feed_to(self.device)
        self.sent: list[tuple[Sent, int, int]] = []
        self.kept: list[tuple[Any, int, int]] = []
        self.value = 0
        self.is_closed = False

    def teardown(self) -> None:
        self.feed.close()
        while self.sent:
            self.receive()
        self.kept.clear()
        del self.feed
        self.ends.arenas.close()
        assert not self.device.registered
        self.ends.close()

    def is_open(self) -> bool:
        return not self.is_closed

    def has_sent(self) -> bool:
        return bool(self.sent)

    def has_kept(self) -> bool:
        return bool(self.kept)

    def has_copies(self) -> bool:
        return bool(self.device.queue)

    def _send(self, batch: Any, value: int, nbytes: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SeqloaderWarning)
            try:
                self.sent.append((self.feed.send(batch), value, nbytes))
            except KeyboardInterrupt:
                gc.collect()

    @precondition(is_open)
    @rule(nbytes=st.sampled_from([1, 5000, 40_000, 70_000]), keep=st.booleans())
    def send_workers_batch(self, nbytes: int, keep: bool) -> None:
        value = self.value = self.value % 250 + 1
        try:
            batch = self.ends.carry(batch_of(value, nbytes))
        except MemoryError:
            return
        if keep:
            self.kept.append((batch, value, nbytes))
        self._send(batch, value, nbytes)

    @precondition(has_kept)
    @rule(which=st.integers(0, 100))
    def send_again(self, which: int) -> None:
        self._send(*self.kept[which % len(self.kept)])

    @rule(nbytes=st.sampled_from([0, 300, 9000]))
    def send_memory_of_its_own(self, nbytes: int) -> None:
        self._send(batch_of(251, nbytes), 251, nbytes)

    @precondition(has_kept)
    @rule(which=st.integers(0, 100))
    def drop(self, which: int) -> None:
        del self.kept[which % len(self.kept)]

    @precondition(has_copies)
    @rule()
    def copy(self) -> None:
        self.device.step()

    @precondition(has_sent)
    @rule()
    def receive(self) -> None:
        sent, value, nbytes = self.sent.pop(0)
        batch = self.feed.receive(sent)
        self.device.run_until(sent.event.number)
        assert is_right(batch, value, nbytes)

    @rule(call=st.sampled_from(["register", "buffer", "fill", "copy"]))
    def tear_next(self, call: str) -> None:
        self.device.fails_at = call

    @rule()
    def refuse(self) -> None:
        self.device.refusal = "no"

    @precondition(is_open)
    @rule()
    def settle(self) -> None:
        self.ends.ticket()

    @rule()
    def renew_feed(self) -> None:
        self.feed.close()
        self.feed = feed_to(self.device)
        self.device.refusal = ""

    @precondition(is_open)
    @rule(dies=st.booleans())
    def end_arena(self, dies: bool) -> None:
        self.is_closed = True
        self.ends.arenas.forget(1) if dies else self.ends.arenas.close()

    @invariant()
    def all_is_whole(self) -> None:
        self.ends.check()
        self.feed._copies.check()

    @invariant()
    def registered_is_what_is_locked(self) -> None:
        assert len(self.device.registered) == len(self.ends.view.locks)

    @invariant()
    def device_has_the_pages_that_lie_there(self) -> None:
        for pages in self.device.registered.values():
            assert pages.shows_what_lies_there()


Feeding.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
if CAN_PIN:
    TestFeeding = Feeding.TestCase


# --- with worker processes ------------------------------------------------------------------------


class Numbered(Sequence):
    """Batch i is full of i; their sizes differ; one kills its worker, the first time."""

    def __init__(self, marker: str = "") -> None:
        self.marker = marker

    def __len__(self) -> int:
        return 60

    def __getitem__(self, index: int) -> Any:
        if self.marker and index == 20 and not os.path.exists(self.marker):
            open(self.marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return batch_of(index, 3000 + 40_000 * (index % 3))


@pytest.mark.parametrize("kills", [False, True], ids=["whole", "killed worker"])
def test_epochs_arrive_from_worker_processes_and_nothing_stays_registered(
    device: StandIn, kills: bool, tmp_path: Any
) -> None:
    sequence = Numbered(str(tmp_path / "killed") if kills else "")
    feed = feed_to(device)
    arrived = []
    with warnings.catch_warnings(), OrderedEnqueuer(sequence, workers=2, seed=0) as enqueuer:
        warnings.simplefilter("ignore", WorkerLostWarning)
        for _ in range(2):
            sent: list[Sent] = []
            for batch in enqueuer:
                sent.append(feed.send(batch))
                del batch
                if len(sent) > AHEAD:
                    arrived.append(feed.receive(sent.pop(0)))
            feed.close()
            arrived += map(feed.receive, sent)
        assert device.registered

    assert len(arrived) == 120
    for n, on_device in enumerate(arrived):
        assert is_right(on_device, n % 60, 3000 + 40_000 * (n % 60 % 3))
    assert feed.buffered_bytes == 0
    assert enqueuer.stats().respawns == kills
