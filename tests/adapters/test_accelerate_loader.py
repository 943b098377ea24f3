"""TorchLoader under Accelerate: accumulation, gathering, checkpoints, two processes."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import numpy as np
import pytest
from sequences_for_adapters import Broken, Plain
from two_processes import as_launched, free_port, run_by_two

from seqloader import ArraySequence
from seqloader.run.iterators import EpochIterator

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from accelerate import Accelerator  # noqa: E402
from accelerate.state import AcceleratorState, GradientState  # noqa: E402
from training_with_accelerate import train  # noqa: E402

from seqloader.adapters.torch import TorchLoader  # noqa: E402
from seqloader.adapters.torch.gradient_state import is_accelerated  # noqa: E402

pytestmark = pytest.mark.torch

SAMPLES = np.linspace(0, 1, 22, dtype="float32")[:, None]


@pytest.fixture(autouse=True)
def no_accelerator(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    logging.getLogger("accelerate").handlers.clear()


def accelerated(accumulation=1):
    return Accelerator(cpu=True, gradient_accumulation_steps=accumulation)


def own_loader(batch_size=2):
    data = torch.utils.data.TensorDataset(torch.from_numpy(SAMPLES), torch.from_numpy(3 * SAMPLES))
    return torch.utils.data.DataLoader(data, batch_size)


def our_loader(batch_size=2, **options):
    sequence = ArraySequence((SAMPLES, 3 * SAMPLES), batch_size)
    return TorchLoader(sequence, workers=0, **options)


# --- a step -------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulation", [1, 4, 20])
def test_accumulation_ends_with_a_short_remainder_as_with_its_own_loader(accumulation):
    accelerator = accelerated(accumulation)
    theirs = train(accelerator, own_loader())
    with our_loader() as loader:
        assert accelerator.prepare(loader) is loader
        ours = train(accelerator, loader)

    assert ours == theirs
    assert ours[0][10] is True  # eleven batches: the last is alone, or among three
    assert len(ours[0]) == 22


def told_in_a_loop(accelerator, loader):
    state = accelerator.gradient_state
    told = [(state.in_dataloader, state.end_of_dataloader, state.remainder) for _ in loader]
    return [*told, (state.in_dataloader, state.end_of_dataloader, state.remainder)]


def test_the_gradient_state_is_that_of_its_own_loader():
    accelerator = accelerated()
    theirs = told_in_a_loop(accelerator, accelerator.prepare(own_loader()))
    with our_loader() as loader:
        ours = told_in_a_loop(accelerator, loader)

    assert ours == theirs
    assert ours[-2:] == [(True, True, 0), (False, False, -1)]


def test_a_validation_that_is_left_early_does_not_hide_the_end_of_the_training():
    accelerator = accelerated()
    state = accelerator.gradient_state
    ends = []
    with our_loader() as loader, our_loader() as valid:
        for _ in loader:
            for _ in valid:
                assert not state.end_of_dataloader
                break
            ends.append(state.end_of_dataloader)
        assert ends == [False] * 10 + [True]
        assert not state.in_dataloader


def test_a_pass_in_a_cycle_of_garbage_is_taken_off_the_list():
    state = accelerated().gradient_state
    with our_loader() as loader:
        cycle = {"pass": iter(loader)}
        cycle["cycle"] = cycle
        next(cycle["pass"])
        assert state.in_dataloader
        del cycle
        gc.collect()
        assert not state.in_dataloader
        assert state.dataloader_references == [None]


def test_an_error_in_a_loop_leaves_nothing_on_the_list():
    state = accelerated().gradient_state
    with TorchLoader(Broken(), workers=0) as loader:
        with pytest.raises(KeyError):
            for _ in loader:
                pass
        assert not state.in_dataloader
        with pytest.raises(RuntimeError, match="of the user"):
            for _ in loader:
                raise RuntimeError("of the user")
    gc.collect()
    assert not state.in_dataloader


def test_an_error_that_is_found_while_looking_for_the_end_comes_in_its_place():
    state = accelerated().gradient_state
    with TorchLoader(Broken(), workers=0) as loader:
        batches = iter(loader)
        for number in range(2):
            assert int(next(batches)) == number
            assert not state.end_of_dataloader
            assert not state.end_of_dataloader
        with pytest.raises(KeyError, match="no such sample"):
            next(batches)


def test_an_interrupt_while_looking_for_the_end_loses_nothing(monkeypatch):
    state = accelerated().gradient_state
    with TorchLoader(Plain(), workers=0) as loader:
        batches = iter(loader)
        next(batches)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(
                EpochIterator, "has_next", lambda self: (_ for _ in ()).throw(KeyboardInterrupt)
            )
            state.end_of_dataloader  # noqa: B018
        assert loader.state_dict()["position"] == 1
        assert [int(batch) for batch in batches] == [1, 2, 3, 4]
        assert not state.in_dataloader


def test_looking_for_the_end_runs_no_hook_and_takes_nothing():
    state = accelerated().gradient_state
    with TorchLoader(Plain(1), workers=0) as loader:
        batches = iter(loader)
        next(batches)
        assert state.end_of_dataloader
        assert loader.enqueuer.epoch == 0
        assert loader.state_dict()["position"] == 1
        assert [*batches] == []


def test_a_loader_of_accelerate_around_it_tells_of_itself():
    class Batches(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(loader)

    accelerator = accelerated()
    with our_loader() as loader:
        around = accelerator.prepare(torch.utils.data.DataLoader(Batches(), batch_size=None))
        ends = [accelerator.gradient_state.end_of_dataloader for _ in around]
    assert ends == [False] * 10 + [True]


def test_without_an_accelerator_nothing_is_told():
    assert not is_accelerated()
    with our_loader() as loader:
        next(iter(loader))
        assert GradientState().dataloader_references == [None]


def read_on_one_of_two(length, **options):
    sequence = ArraySequence(np.arange(length), 4)
    options = {"shard": (1, 2), "remainder": "pad", **options}
    with TorchLoader(sequence, workers=0, **options) as loader:
        return [*loader]


def test_a_short_batch_that_other_processes_could_not_gather_is_said(caplog):
    accelerated()
    read_on_one_of_two(6)  # it has two rows; the other process has four

    [record] = caplog.records
    assert (record.name, record.levelname) == ("seqloader", "WARNING")
    assert record.getMessage() == (
        "a batch of this process has 2 rows, and others have 4. If they are gathered, "
        "gather_for_metrics needs as many on every process: else some backends end the process. "
        "TorchLoader(..., mask_rows=4) fills it up, and says which rows count"
    )


@pytest.mark.parametrize(
    ("length", "options"),
    [
        (6, {"mask_rows": 4}),
        (8, {}),
        (12, {}),
        (6, {"remainder": "drop"}),
        (6, {"shard": (0, 1)}),
    ],
    ids=["masked", "whole", "padded", "in training", "alone"],
)
def test_where_nothing_could_go_wrong_nothing_is_said(caplog, length, options):
    accelerated()
    read_on_one_of_two(length, **options)
    assert caplog.records == []


# --- checkpoints --------------------------------------------------------------------------


@pytest.mark.parametrize("stop_after", [0, 1, 4, 6, 7, 11])
def test_a_registered_loader_is_saved_and_resumed_with_the_accelerator(tmp_path, stop_after):
    def made():
        sequence = ArraySequence(np.arange(12), 2, shuffle=True)
        return TorchLoader(sequence, workers=0, seed=5)

    def read(loader, count=None):
        found = []
        while len(found) != count and loader.enqueuer.epoch < 2:
            for batch in loader:
                found.append(batch.tolist())
                if len(found) == count:
                    break
        return found

    accelerator = accelerated()
    with made() as loader:
        whole = read(loader)
    with made() as loader:
        accelerator.register_for_checkpointing(loader)
        first = read(loader, stop_after)
        accelerator.save_state(str(tmp_path))

    accelerator.free_memory()
    accelerator._custom_objects.clear()
    with made() as loader:
        accelerator.register_for_checkpointing(loader)
        accelerator.load_state(str(tmp_path))
        assert first + read(loader) == whole
    assert len(whole) == 12


# --- two processes ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.limit(120)
def test_two_processes_evaluate_as_one_bit_for_bit_and_train_as_with_its_own_loader(tmp_path):
    samples = [1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 16, 17, 23, 24, 29, 32, 33, 50]
    program = Path(__file__).with_name("accelerate_on_two.py")
    told = run_by_two(
        program, tmp_path, lambda rank: [*map(str, samples)], as_launched(free_port())
    )

    for each in told:
        assert each["processes"] == 2
        assert each["exact"] == [True] * 2 * len(samples)
        assert each["order"] == [True] * 5  # batches of one size: nothing but padding is left out
        assert not each["listed"]
        theirs, ours = each["trained"]
        assert ours == theirs
        assert ours[0] == ([False, False, False, True] * 2 + [False, False, True]) * 2
