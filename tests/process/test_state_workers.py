from __future__ import annotations

import gc
import mmap
import os

import numpy as np
import pytest
from published import BIG, SMALL, Loaded, answer_of, in_child, load, same, start_child

from seqloader.executors.process.worker.state import StateLoader


def test_a_worker_writes_to_a_copy_of_its_own(file):
    sequence = Loaded(a=np.zeros(BIG), small=np.zeros(2))
    file.publish(sequence, in_place=False)

    def scribble():
        mine = load(file)
        mine.a[:] = 7
        mine.small[:] = 7
        return float(mine.a.sum()), float(load(file).a.sum())

    assert in_child(scribble) == (7.0 * BIG, 0.0)
    assert not load(file).a.any()
    assert not sequence.a.any()
    assert not file.publish(sequence, in_place=True)


def test_a_worker_that_edits_a_list_gets_the_parents_again(file):
    sequence = Loaded(paths=list(range(5000)), table=dict.fromkeys(range(5000)), n=0)
    file.publish(sequence, in_place=False)
    loader = StateLoader(file.fd)
    mine = load(file, loader)
    mine.paths.clear()
    mine.table[0] = "mine"

    sequence.n = 1
    file.publish(sequence, in_place=False)
    mine = load(file, loader)

    assert mine.paths == sequence.paths
    assert mine.table == sequence.table


def test_reclaim_gives_memory_back_when_every_worker_let_go(file):
    sequence = Loaded(a=np.zeros(BIG))
    file.publish(sequence, in_place=False)
    lingering, quick = StateLoader(file.fd), StateLoader(file.fd)
    held = [load(file, lingering), load(file, quick)]
    one = file.nbytes

    sequence.a[:] = 1
    file.publish(sequence, in_place=True)
    held[1] = None
    held[1] = load(file, quick)
    assert (lingering.acknowledged(), quick.acknowledged()) == (1, 2)
    file.reclaim([lingering.acknowledged(), quick.acknowledged()])
    assert file.nbytes >= one + sequence.a.nbytes

    held[0] = None
    held[0] = load(file, lingering)
    file.reclaim([lingering.acknowledged(), quick.acknowledged()])

    assert file.nbytes <= one + mmap.PAGESIZE
    assert all((sequence.a == 1).all() for sequence in held)


def test_an_array_that_user_code_keeps_holds_its_version(file):
    sequence = Loaded(a=np.zeros(BIG))
    file.publish(sequence, in_place=False)
    loader = StateLoader(file.fd)
    kept = load(file, loader).a[5:10]

    for version in (2, 3):
        sequence.a[:] = version
        file.publish(sequence, in_place=True)
        load(file, loader)
        assert loader.acknowledged() == 1
        file.reclaim([loader.acknowledged()])

    assert not kept.any()
    del kept
    assert loader.acknowledged() == 3


def test_a_sequence_in_a_cycle_is_let_go_of(file):
    sequence = Loaded(a=np.zeros(BIG))
    sequence.f = sequence.method
    file.publish(sequence, in_place=False)
    loader = StateLoader(file.fd)
    load(file, loader)
    sequence.a[:] = 1
    file.publish(sequence, in_place=True)

    load(file, loader)

    assert loader.acknowledged() == 2


def test_loading_leaves_no_cycle_that_keeps_the_mapping(file):
    file.publish(Loaded(a=np.zeros(BIG), paths=list(range(2000))), in_place=False)
    gc.collect()
    gc.disable()
    try:
        loader = StateLoader(file.fd)
        load(file, loader)
        assert all(reference() is None for _, reference in loader._mapped)
    finally:
        gc.enable()


def test_a_replacement_loads_the_latest_state_directly(file):
    sequence = Loaded(a=np.zeros(BIG), paths=list(range(3000)))
    for version in range(1, 6):
        sequence.a[:] = version
        sequence.paths.append(version)
        file.publish(sequence, in_place=True)
        file.reclaim([])

    assert file.version == 5
    loaded, acknowledged = in_child(
        lambda: (lambda loader: (load(file, loader).__dict__, loader.acknowledged()))(
            StateLoader(file.fd)
        )
    )
    assert same(loaded, sequence.__dict__)
    assert acknowledged == 5


def test_300_versions_do_not_grow_the_file(file):
    sequence = Loaded(a=np.zeros(BIG), fixed=np.ones(BIG), paths=list(range(3000)), n=0)
    loader = StateLoader(file.fd)
    sizes = []

    for version in range(300):
        sequence.n = version
        sequence.a[version] = 1
        sequence.paths[0] = -version
        file.publish(sequence, in_place=True)
        loaded = load(file, loader)
        assert loaded.paths[0] == -version
        del loaded
        file.reclaim([loader.acknowledged()])
        sizes.append(file.nbytes)

    assert file.version == 300
    assert sizes[-1] <= sizes[5] + mmap.PAGESIZE
    assert len(file._in_use) == 1


def shared_part(name):
    """This process's share of the pages it has mapped of the file called `name`."""
    share, ours = 0, False
    with open("/proc/self/smaps") as smaps:
        for line in smaps:
            if "-" in line.split(" ", 1)[0]:
                ours = name in line
            elif ours and line.startswith("Pss:"):
                share += int(line.split()[1]) * 1024
    return share


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="needs /proc/self/smaps")
def test_workers_share_the_pages_of_an_array(file):
    workers, array = 4, np.ones(1 << 21)
    file.publish(Loaded(a=array), in_place=False)
    (touched, say_touched), (measured, say_measured) = os.pipe(), os.pipe()
    (may_measure, let_measure), (may_leave, let_leave) = os.pipe(), os.pipe()

    def child():
        mine = load(file)
        mine.a.sum()  # touches every page
        os.write(say_touched, b"x")
        os.read(may_measure, 1)
        share = shared_part("seqloader-state")
        os.write(say_measured, b"x")
        os.read(may_leave, 1)
        return share

    children = [start_child(child) for _ in range(workers)]
    for said, let in ((touched, let_measure), (measured, let_leave)):
        for _ in range(workers):
            os.read(said, 1)
        os.write(let, b"x" * workers)
    shares = [answer_of(*child) for child in children]
    for fd in (touched, say_touched, measured, say_measured):
        os.close(fd)
    for fd in (may_measure, let_measure, may_leave, let_leave):
        os.close(fd)

    assert sum(shares) == pytest.approx(array.nbytes, rel=0.05)


def test_a_thousand_arrays_need_a_handful_of_descriptors(file):
    arrays = [np.full(SMALL, i % 256, np.uint8) for i in range(1000)]
    file.publish(Loaded(arrays=arrays), in_place=False)
    before = len(os.listdir("/proc/self/fd"))

    loaded = load(file)

    assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert [a[-1] for a in loaded.arrays] == [a[-1] for a in arrays]
