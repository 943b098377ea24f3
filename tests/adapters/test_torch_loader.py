"""TorchLoader in a hand-written loop: passes, epochs, hooks, and going on where it stood."""

from __future__ import annotations

import signal

import pytest
from adapters.signals_at_returns import interrupted_at_return, read
from interpreter import run_code
from sequences_for_adapters import (
    Broken,
    Endless,
    Growing,
    Hooked,
    Kept,
    KillsItsWorkerOnce,
    Plain,
)

from seqloader import OrderedEnqueuer, SeqloaderWarning, WorkerLostWarning

torch = pytest.importorskip("torch", reason="torch is not installed")

from seqloader.adapters.prefetch import Prefetched  # noqa: E402
from seqloader.adapters.torch import TorchLoader  # noqa: E402
from seqloader.adapters.torch.tensors import as_tensors  # noqa: E402
from seqloader.run.iterators import EpochIterator  # noqa: E402

pytestmark = pytest.mark.torch


def taken(loader, count=None):
    """The numbers of a pass, or of its first `count` batches, after which it is left."""
    numbers = []
    for batch in loader:
        numbers.append(int(batch))
        if len(numbers) == count:
            break
    return numbers


@pytest.fixture
def loader():
    with TorchLoader(Hooked(), workers=0) as made:
        yield made


# --- passes -------------------------------------------------------------------------------


def test_a_for_is_an_epoch_with_its_hooks(loader):
    assert [taken(loader), taken(loader)] == [[0, 1, 2, 3, 4]] * 2
    assert loader.enqueuer.sequence.hooks == ["begin", "end"] * 2
    assert len(loader) == 5
    assert loader.sampler is loader


def test_an_iterator_that_is_never_read_begins_nothing(loader):
    iter(loader)
    first, second = iter(loader), iter(loader)
    assert not loader.enqueuer.is_running()
    assert loader.enqueuer.sequence.hooks == []

    assert taken(second) == [0, 1, 2, 3, 4]
    assert taken(first) == [0, 1, 2, 3, 4]
    assert loader.enqueuer.sequence.hooks == ["begin", "end"] * 2


def test_a_pass_that_is_over_stays_over(loader):
    batches = iter(loader)
    assert len([*batches]) == 5
    assert [*batches] == []
    assert loader.enqueuer.epoch == 1


def test_a_pass_that_was_left_early_ends_when_the_next_begins(loader):
    hooks = loader.enqueuer.sequence.hooks
    assert taken(loader, 2) == [0, 1]
    assert hooks == ["begin"]

    assert taken(loader) == [0, 1, 2, 3, 4]
    assert hooks == ["begin", "end"] * 2
    assert loader.enqueuer.epoch == 2


def test_what_was_left_early_can_be_gone_on_with_by_its_own_iterator(loader):
    batches = iter(loader)
    assert taken(batches, 2) == [0, 1]
    assert taken(batches) == [2, 3, 4]


def test_an_older_pass_is_stale_once_a_later_one_has_begun(loader):
    older = iter(loader)
    next(older)
    next(iter(loader))

    with pytest.raises(RuntimeError, match="stale"):
        next(older)


def test_an_enqueuer_that_was_made_before_is_not_closed():
    with OrderedEnqueuer(Plain(), workers=0) as enqueuer:
        with TorchLoader(enqueuer) as loader:
            assert taken(loader) == [0, 1, 2, 3, 4]
        assert enqueuer.is_running()
        assert loader.enqueuer is enqueuer


def test_an_endless_sequence_has_no_length():
    with TorchLoader(Endless(), workers=0) as loader:
        with pytest.raises(TypeError, match="no length"):
            len(loader)
        assert taken(loader, 3) == [0, 1, 2]


def test_a_sequence_may_change_its_length_between_epochs():
    with TorchLoader(Growing(2), workers=0) as loader:
        assert [taken(loader) for _ in range(3)] == [[0, 1], [0, 1, 2], [0, 1, 2, 3]]


def test_an_exception_of_the_user_comes_with_its_type_at_its_place():
    with TorchLoader(Broken(), workers=1) as loader:
        batches = iter(loader)
        assert [int(next(batches)), int(next(batches))] == [0, 1]
        with pytest.raises(KeyError, match="no such sample"):
            next(batches)


# --- set_epoch ----------------------------------------------------------------------------


def test_set_epoch_goes_to_a_later_epoch_at_the_beginning_of_one():
    with TorchLoader(Plain(), workers=0, seed=1, shuffle=True) as loader:
        orders = [taken(loader) for _ in range(4)]
    with TorchLoader(Plain(), workers=0, seed=1, shuffle=True) as loader:
        loader.set_epoch(3)
        assert taken(loader) == orders[3]
        assert loader.enqueuer.epoch == 4


def test_set_epoch_before_each_pass_changes_nothing(loader):
    for epoch in range(3):
        loader.set_epoch(epoch)
        assert loader.enqueuer.epoch == epoch
        assert taken(loader) == [0, 1, 2, 3, 4]
    assert loader.enqueuer.sequence.hooks == ["begin", "end"] * 3


def test_set_epoch_does_not_go_back(loader):
    taken(loader)
    loader.set_epoch(0)
    assert loader.enqueuer.epoch == 1

    taken(loader, 2)  # as a sanity check does, whose epoch was 0
    loader.set_epoch(1)
    assert loader.state_dict()["position"] == 2


def test_set_epoch_leaves_an_epoch_under_way_alone(loader):
    batches = iter(loader)
    next(batches)
    loader.set_epoch(7)

    assert taken(batches) == [1, 2, 3, 4]
    assert loader.enqueuer.epoch == 1
    assert loader.enqueuer.sequence.hooks == ["begin", "end"]


def test_the_epoch_after_one_that_was_left_early_is_the_next(loader):
    taken(loader, 2)
    loader.set_epoch(1)
    assert taken(loader) == [0, 1, 2, 3, 4]
    assert loader.enqueuer.epoch == 2


def test_after_a_pass_that_was_left_early_the_epoch_that_is_set_comes():
    with TorchLoader(Plain(), workers=0, seed=1, shuffle=True) as loader:
        orders = [taken(loader) for _ in range(6)]
    with TorchLoader(Plain(), workers=0, seed=1, shuffle=True) as loader:
        assert taken(loader, 2) == orders[0][:2]
        loader.set_epoch(5)
        assert taken(loader) == orders[5]
        assert loader.enqueuer.epoch == 6


def test_set_epoch_after_a_pass_whose_end_was_not_asked_for():
    # Trainers that know the length do not ask for the StopIteration.
    sequence = Hooked()
    with TorchLoader(sequence, workers=0) as loader:
        for epoch in range(2):
            loader.set_epoch(epoch)
            assert taken(loader, 5) == [0, 1, 2, 3, 4]
            assert loader.enqueuer.epoch == epoch
    assert sequence.hooks == ["begin", "end"] * 2


def test_a_state_saved_after_the_last_batch_goes_on_with_the_epoch_that_is_set(recwarn):
    with TorchLoader(Plain(), workers=0, seed=1, shuffle=True) as loader:
        expected = [taken(loader) for _ in range(2)][1]
    with TorchLoader(Plain(), workers=0, seed=1, shuffle=True) as loader:
        taken(loader, 5)
        state = loader.state_dict()
    assert (state["epoch"], state["position"]) == (0, 5)

    with TorchLoader(Plain(), workers=0, seed=1, shuffle=True) as loader:
        loader.load_state_dict(state)
        loader.set_epoch(1)
        assert taken(loader) == expected
        assert loader.enqueuer.epoch == 2

        # Without set_epoch, that epoch's end comes first, as with the enqueuer itself.
        loader.load_state_dict(state)
        assert taken(loader) == []
        assert taken(loader) == expected
    assert not recwarn.list


def test_the_hook_of_the_epoch_that_was_saved_at_its_end_runs_before_the_next(recwarn):
    with TorchLoader(Kept(), workers=0) as loader:
        taken(loader, 5)
        state = loader.state_dict()
    with TorchLoader(Kept(), workers=0) as loader:
        loader.load_state_dict(state)
        loader.set_epoch(1)
        next(iter(loader))
        assert loader.enqueuer.sequence.hooks == ["begin", "end", "begin"]
    assert not recwarn.list


def test_set_epoch_after_a_load_in_mid_epoch_goes_on_there(loader):
    taken(loader, 2)
    state = loader.state_dict()
    with TorchLoader(Plain(), workers=0) as resumed:
        resumed.load_state_dict(state)
        resumed.set_epoch(0)
        assert taken(resumed) == [2, 3, 4]
        resumed.set_epoch(1)
        assert taken(resumed) == [0, 1, 2, 3, 4]


# --- going on -----------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_a_state_counts_what_was_handed_out(workers):
    with TorchLoader(Plain(12), workers=workers, seed=3, shuffle=True) as loader:
        whole = taken(loader) + taken(loader)

    with TorchLoader(Plain(12), workers=workers, seed=3, shuffle=True) as loader:
        first = taken(loader) + taken(loader, 4)
        state = loader.state_dict()
    with TorchLoader(Plain(12), workers=1, seed=3, shuffle=True) as loader:
        loader.load_state_dict(state)
        assert loader.state_dict()["position"] == 4
        assert first + taken(loader) == whole


def test_a_state_can_be_loaded_in_mid_pass(loader):
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    taken(batches)

    loader.load_state_dict(state)
    assert taken(loader) == [1, 2, 3, 4]


def test_how_a_state_is_loaded_can_be_said():
    with TorchLoader(Plain(), workers=0) as loader:
        taken(loader, 3)
        state = loader.state_dict()
    with TorchLoader(Plain(9), workers=0) as loader:
        with pytest.warns(SeqloaderWarning, match="length"):
            loader.load_state_dict(state, strict=False)
        assert taken(loader) == [3, 4, 5, 6, 7, 8]


# --- when something breaks ----------------------------------------------------------------


def test_a_killed_worker_costs_no_batch(tmp_path):
    with TorchLoader(KillsItsWorkerOnce(tmp_path / "killed"), workers=2) as loader:
        with pytest.warns(WorkerLostWarning):
            numbers = taken(loader)
        assert numbers == [*range(8)]
        assert loader.enqueuer.stats().respawns == 1
        assert taken(loader) == [*range(8)]


def test_ctrl_c_in_a_loop_leaves_the_loader_usable():
    numbers = []
    with TorchLoader(Plain(8), workers=2) as loader:
        with pytest.raises(KeyboardInterrupt):
            for batch in loader:
                numbers.append(int(batch))
                if len(numbers) == 3:
                    signal.raise_signal(signal.SIGINT)
        state = loader.state_dict()
        assert state["position"] == 3

        loader.load_state_dict(state)
        assert numbers + taken(loader) == [*range(8)]


def test_the_end_of_the_program_ends_a_loader_that_nobody_closed():
    program = """
    import numpy as np
    from seqloader import Sequence
    from seqloader.adapters.torch import TorchLoader

    class Plain(Sequence):
        def __len__(self): return 8
        def __getitem__(self, index): return np.array([index])

    loader = TorchLoader(Plain(), workers=2)
    batches = iter(loader)
    print(int(next(batches)))
    """
    ended = run_code(program)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "0\n", "")


@pytest.mark.parametrize("returned", range(1, 6))
def test_a_signal_that_comes_while_a_batch_is_on_its_way_loses_and_doubles_nothing(returned):
    with TorchLoader(Plain(5), workers=0, seed=0) as loader:
        batches, got = iter(loader), []
        with interrupted_at_return(returned, EpochIterator.__next__, Prefetched.find, as_tensors):
            read(batches, got)

        assert loader.state_dict()["position"] == len(got)
        read(batches, got)
        assert [*map(int, got)] == [0, 1, 2, 3, 4]
