"""A Sequence with shared arrays is sent without them; workers map them, each for itself."""

from __future__ import annotations

import mmap
import os

import numpy as np
import pytest
from published import BIG, Loaded, answer_of, in_child, load, same, start_child

from seqloader.executors.process.consumer.state import StateFile
from seqloader.executors.process.wire import procfd
from seqloader.executors.process.worker.state import StateLoader
from seqloader.memory.shared_arrays import (
    live_memories,
    make_private,
    memory_of,
    share,
    shared_empty,
)

LITTLE = 4 * mmap.PAGESIZE
"""Of the state file, where no array is in it."""
PER_PAGE = mmap.PAGESIZE // 8


@pytest.fixture
def loader(file):
    """A worker's, in this process."""
    inherited: list[int] = []
    made = StateLoader(file.fd, inherited)

    class Here:
        def load(self, version, offset):
            for memory in live_memories():
                if not memory.private:
                    fd = os.dup(memory.fd)
                    known = made._shared._open
                    facts = os.fstat(fd)
                    if known.setdefault((facts.st_dev, facts.st_ino), fd) != fd:
                        os.close(fd)
            return made.load(version, offset)

    yield Here()
    made._shared.map(())


VIEWS = {
    "whole": lambda a: a,
    "slice": lambda a: a[5000:9000],
    "small": lambda a: a[7:9],
    "steps": lambda a: a[10:BIG:3],
    "backwards": lambda a: a[::-1],
    "transposed": lambda a: a[: 1 << 16].reshape(256, -1).T[3:],
    "four axes": lambda a: a.reshape(4, 8, 16, -1).transpose(2, 0, 3, 1)[1::2],
    "other dtype": lambda a: a[2:].view(np.uint16),
    "other byte order": lambda a: a.view(">i8"),
    "unaligned": lambda a: a.view(np.uint8)[1:5].view(np.int32),
    "records": lambda a: a.view([("a", "i4"), ("b", "f4")]),
    "recarray": lambda a: a.view([("a", "i4"), ("b", "f4")]).view(np.recarray),
    "broadcast": lambda a: np.broadcast_to(a[:100], (50, 100)),
    "through a memoryview": lambda a: np.asarray(memoryview(a)[3:]),
    "a scalar's": lambda a: a[5:6].reshape(()),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_of_a_shared_array_is_sent_by_reference(file, loader, name):
    array = VIEWS[name](share(np.arange(BIG)))
    file.publish(Loaded(a=array), in_place=False)

    loaded = loader.load(file.version, file.offset).a

    assert file.nbytes <= LITTLE
    assert type(loaded) is type(array)
    assert loaded.strides == array.strides
    assert same(loaded, array)
    assert loaded.flags.writeable == array.flags.writeable


def test_a_read_only_view_stays_read_only(file, loader):
    array = share(np.arange(BIG))[3:]
    array.flags.writeable = False
    file.publish(Loaded(a=array), in_place=False)

    assert not loader.load(file.version, file.offset).a.flags.writeable


def test_what_was_computed_from_a_shared_array_is_sent_itself(file):
    array = share(np.arange(BIG))
    file.publish(Loaded(a=array + 1, b=array[[1, 2]], c=array[:0]), in_place=False)
    del array

    loaded = load(file)

    assert loaded.a.tolist() == list(range(1, BIG + 1))
    assert (loaded.b.tolist(), loaded.c.tolist()) == ([1, 2], [])


def test_what_is_one_memory_here_is_one_in_the_worker(file, loader):
    array = shared_empty((100, 100))
    sequence = Loaded(whole=array, same=array, row=array[7], nest={"rows": [array[8], array[9:]]})
    file.publish(sequence, in_place=False)

    mine = loader.load(file.version, file.offset)
    mine.whole[7:] = 7

    assert mine.same is mine.whole
    assert (mine.row == 7).all()
    assert (mine.nest["rows"][1] == 7).all()


def test_a_hundred_thousand_slices_need_one_mapping(file, loader):
    array = share(np.arange(100_000))
    file.publish(Loaded(parts=[array[i : i + 1] for i in range(100_000)]), in_place=False)

    loaded = loader.load(file.version, file.offset)

    assert len(live_memories()) == 2
    assert [int(part[0]) for part in loaded.parts] == list(range(100_000))


# --- who sees what -------------------------------------------------------------------------


def test_what_the_owner_writes_is_seen_at_once(file, loader):
    array = share(np.zeros(BIG))
    file.publish(Loaded(a=array), in_place=False)
    mine = loader.load(file.version, file.offset)
    assert not mine.a.any()  # every page has been looked at

    array[:] = np.arange(BIG)

    assert (mine.a == np.arange(BIG)).all()
    assert not file.publish(Loaded(a=array), in_place=True)


def test_what_a_worker_writes_is_its_own(file, loader):
    array = share(np.zeros(BIG))
    file.publish(Loaded(a=array), in_place=False)
    one, other = (loader.load(file.version, file.offset) for _ in range(2))

    one.a[:] = 7

    assert not array.any()
    assert not other.a.any()


def test_on_a_page_that_it_wrote_to_a_worker_sees_its_own_until_the_next_state(file, loader):
    array = share(np.zeros(2 * PER_PAGE))
    sequence = Loaded(a=array, n=0)
    file.publish(sequence, in_place=False)
    mine = loader.load(file.version, file.offset)
    mine.a[0] = -1

    array[:] = 5

    assert (mine.a[0], mine.a[1]) == (-1, 0)
    assert (mine.a[PER_PAGE:] == 5).all()

    sequence.n = 1
    file.publish(sequence, in_place=False)
    mine = loader.load(file.version, file.offset)
    assert (mine.a == 5).all()


def test_what_a_forked_worker_writes_is_its_own():
    array = share(np.zeros(BIG))
    heard, tell = os.pipe()

    def work():
        make_private()
        array[0] = 7
        os.read(heard, 1)
        return array[0], array[-1]

    child = start_child(work)
    array[-1] = 5
    os.write(tell, b"x")

    assert answer_of(*child) == (7, 5)
    assert (array[0], array[-1]) == (0, 5)
    os.close(heard)
    os.close(tell)


# --- changes -------------------------------------------------------------------------------


def test_another_shared_array_in_its_place_is_a_new_state(file, loader):
    sequence = Loaded(a=share(np.zeros(BIG)))
    file.publish(sequence, in_place=False)

    sequence.a = share(np.ones(BIG))

    assert file.publish(sequence, in_place=False)
    assert loader.load(file.version, file.offset).a.all()
    assert file.nbytes <= 2 * LITTLE


def test_another_shared_array_of_the_same_look_is_never_taken_for_the_old(file, loader):
    sequence = Loaded(a=None)
    for value in range(20):
        sequence.a = None
        sequence.a = share(np.full(BIG, value))
        assert file.publish(sequence, in_place=False)
        file.reclaim([file.version])
        assert (loader.load(file.version, file.offset).a == value).all()

    assert len([memory for memory in live_memories() if not memory.private]) == 1


def test_memory_is_held_until_every_worker_let_go_of_the_state(file):
    sequence = Loaded(a=share(np.zeros(BIG)))
    file.publish(sequence, in_place=False)

    sequence.a = None
    file.publish(sequence, in_place=False)
    assert len(live_memories()) == 1  # a worker may be about to load the state before
    file.reclaim([1, 2])
    assert len(live_memories()) == 1
    file.reclaim([2, 2])

    assert not live_memories()


def test_a_closed_state_file_holds_nothing(file):
    file.publish(Loaded(a=share(np.zeros(BIG))), in_place=False)
    assert len(live_memories()) == 1

    file.close()

    assert not live_memories()


# --- how a worker gets at it ---------------------------------------------------------------


def test_what_was_made_after_the_worker_is_opened_by_its_name(file):
    sequence = Loaded(a=share(np.arange(BIG)))
    file.publish(sequence, in_place=False)

    def work():
        loader = StateLoader(file.fd)  # has inherited nothing, as far as it knows
        first = load(file, loader).a.sum()
        return first, load(file, loader).a.sum()

    assert procfd.are_open_to_children()
    assert in_child(work) == (sequence.a.sum(), sequence.a.sum())


def test_a_worker_closes_what_the_state_does_not_have(file):
    sequence = Loaded(a=share(np.arange(BIG)))
    file.publish(sequence, in_place=False)
    spare = os.dup(file.fd)

    def work():
        before = len(os.listdir("/proc/self/fd"))
        kept = load(file, StateLoader(file.fd, [spare]))
        return len(os.listdir("/proc/self/fd")) - before, len(kept.a)

    assert in_child(work) == (0, BIG)  # one of the array opened, the spare one closed
    os.close(spare)


def test_a_file_that_has_lost_its_place_to_another_is_not_taken_for_it(file):
    sequence = Loaded(a=share(np.arange(BIG)))
    file.publish(sequence, in_place=False)
    memory = memory_of(sequence.a)
    moved = os.dup(memory.fd)
    os.dup2(file.fd, memory.fd)

    def work():
        try:
            load(file)
        except OSError as error:
            return str(error)

    said = in_child(work)
    os.dup2(moved, memory.fd)
    os.close(moved)

    assert "another file has its place" in said
    assert "before start()" in said


def test_what_a_worker_sends_on_has_what_it_wrote(file):
    file.publish(Loaded(a=share(np.zeros(BIG))), in_place=False)

    def work():
        mine = load(file)
        assert share(mine.a) is mine.a
        mine.a[:] = 3
        other = StateFile()
        other.publish(mine, in_place=False)
        return other.nbytes, load(other).a.sum()

    nbytes, total = in_child(work)

    assert nbytes >= 8 * BIG
    assert total == 3 * BIG


# --- tensors -------------------------------------------------------------------------------


@pytest.mark.torch
def test_a_tensor_over_shared_memory_is_sent_by_reference(file, loader):
    torch = pytest.importorskip("torch")
    array = share(np.arange(BIG, dtype=np.float32))
    sequence = Loaded(
        array=array,
        tensor=torch.from_numpy(array).reshape(512, -1)[3:],
        halves=torch.from_numpy(array).view(torch.int16),
        empty=torch.from_numpy(array)[:0],
    )
    file.publish(sequence, in_place=False)

    mine = loader.load(file.version, file.offset)
    assert file.nbytes <= LITTLE
    assert torch.equal(mine.tensor, sequence.tensor)
    assert torch.equal(mine.halves, sequence.halves)
    assert mine.empty.shape == (0,)
    array[-1] = 5

    assert mine.tensor[-1, -1] == 5
