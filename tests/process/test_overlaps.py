"""Arrays that share memory travel as one region of it, and share it on arrival."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from published import BIG, Loaded, load

from seqloader import OrderedEnqueuer, Sequence
from seqloader.executors.process.wire.overlaps import find_regions


def arrived(file, **attributes):
    file.publish(Loaded(**attributes), in_place=False)
    return load(file)


@pytest.mark.parametrize("size", [100, BIG])
def test_writing_to_a_view_shows_in_what_it_views(file, size):
    table = np.arange(float(size))

    loaded = arrived(file, table=table, row=table[3:9], back=table[::-1])
    loaded.row[0] = -1

    assert loaded.table[3] == -1
    assert loaded.back[size - 1 - 3] == -1
    assert table[3] == 3


def test_windows_over_an_array_are_sent_once(file):
    signal = np.arange(1 << 16, dtype=float)
    windows = sliding_window_view(signal, 1000)

    loaded = arrived(file, windows=windows, each=[signal[k:] for k in range(100)], signal=signal)

    assert windows.nbytes > 500e6
    assert file.nbytes < 2 * signal.nbytes
    assert np.shares_memory(loaded.windows[5], loaded.signal[5:6])
    assert not loaded.windows.flags.writeable


def test_view_whose_array_is_not_held_keeps_its_neighbours(file):
    whole = np.arange(float(BIG))

    loaded = arrived(file, one=whole[: BIG // 2], other=whole[BIG // 4 :])
    loaded.one[BIG // 4] = -1

    assert loaded.other[0] == -1


def test_small_view_of_a_huge_array_does_not_bring_it_along(file):
    whole = np.zeros((1 << 14, 1 << 10))

    arrived(file, column=whole[:, 3], row=whole[5], corner=whole[:2, :2])

    assert file.nbytes < 2 * (whole[:, 3].nbytes + whole[5].nbytes) + (1 << 17)


def test_columns_that_lie_between_each_other_are_one_region():
    whole = np.arange(40_000.0).reshape(-1, 4)

    regions = find_regions([whole[:, 0], whole[:, 2]])

    assert regions.nbytes < whole.nbytes
    assert regions.find(whole[:, 2]) is regions.find(whole[:, 0]) is not None


def test_arrays_that_share_nothing_are_no_regions():
    assert not find_regions([np.zeros(10), np.zeros(10), np.zeros(0)])


def test_a_sequence_with_views_that_did_not_change_is_not_sent_again(file):
    table = np.arange(BIG)
    sequence = Loaded(table=table, part=table[5:])
    file.publish(sequence, in_place=True)

    assert not file.publish(sequence, in_place=True)
    table[7] = -1
    assert file.publish(sequence, in_place=True)
    assert load(file).part[2] == -1


def test_state_of_a_getstate_that_makes_views_arrives(file):
    loaded = arrived(file, inner=Making())

    assert loaded.inner.part.tolist() == [3, 4]


class Making:
    def __getstate__(self):
        made = np.arange(10)
        return {"made": made, "part": made[3:5]}


class Windows(Sequence):
    """Batches whose arrays are the same memory many times over."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        signal = np.arange(1 << 14, dtype=float) + index
        if index == 1:
            return [signal[k : k + 10_000] for k in range(300)]
        return {"windows": sliding_window_view(signal, 500), "label": np.array(index)}


def test_batch_of_windows_takes_no_more_memory_than_the_signal():
    with OrderedEnqueuer(Windows(), workers=1) as enqueuer:
        first, views, third = enqueuer
        assert np.shares_memory(first["windows"][1], first["windows"][0, 1:])
        assert np.shares_memory(views[0][1:], views[1][:-1])
        assert [view[0] for view in views[:3]] == [1, 2, 3]
        np.testing.assert_array_equal(third["windows"], Windows()[2]["windows"])


def test_small_broadcast_of_a_batch_arrives_writable():
    class Broadcast(Sequence):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return [np.broadcast_to(np.arange(3), (4, 3))]

    with OrderedEnqueuer(Broadcast(), workers=1) as enqueuer:
        (batch,) = enqueuer
        batch[0][0, 0] = 7

    assert batch[0].tolist() == [[7, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2]]


@pytest.mark.torch
def test_tensors_and_arrays_of_one_memory_stay_so(file):
    torch = pytest.importorskip("torch")
    table = np.arange(100.0)
    tensor = torch.from_numpy(table)
    pictures = torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last)

    loaded = arrived(
        file,
        table=table,
        tensor=tensor,
        part=tensor[10:20],
        pictures=pictures,
        spread=torch.arange(3.0).expand(4, 3),
    )
    loaded.table[12] = -1

    assert loaded.tensor[12] == loaded.part[2] == -1
    assert loaded.pictures.stride() == pictures.stride()
    assert loaded.spread.stride() == (0, 1)
