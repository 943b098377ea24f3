"""JaxLoader: what the loop gets, and what a saved state means while copies are ahead."""

from __future__ import annotations

import contextlib
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from adapters.eager import Eager
from adapters.sequences_for_adapters import Counted, Given
from adapters.sequences_for_jax import (
    BLOCK_BYTES,
    Filled,
    InterruptsTheConsumer,
    KillsItsWorker,
)
from adapters.signals_at_returns import read

jax: Any = pytest.importorskip("jax", reason="jax is not installed")

from seqloader import OrderedEnqueuer  # noqa: E402
from seqloader.adapters.jax import JaxLoader  # noqa: E402

pytestmark = pytest.mark.limit(180)

jnp = jax.numpy
jax.device_put(np.zeros(1)).block_until_ready()  # what JAX opens for good is open before any test

Pair = namedtuple("Pair", "images labels")


@dataclass
class Sample:
    image: Any
    name: str


def loaded(batch, **options):
    with JaxLoader(Given(batch), workers=0, **options) as loader:
        return next(iter(loader))


def listed(batches):
    return [batch.tolist() for batch in batches]


# --- what the loop gets -------------------------------------------------------------------


def test_arrays_become_jax_arrays_in_the_same_nest():
    image = np.arange(6, dtype=np.float32).reshape(2, 3)
    given = {"pair": Pair([image, image + 1], (image + 2,)), "sample": Sample(image, "a")}

    got = loaded(given)

    assert isinstance(got["pair"], Pair) and isinstance(got["sample"], Sample)
    found = [*got["pair"].images, *got["pair"].labels, got["sample"].image]
    assert all(isinstance(array, jax.Array) for array in found)
    for array, add in zip(found, [0, 1, 2, 0], strict=True):
        np.testing.assert_array_equal(np.asarray(array), image + add)


def test_what_jax_has_no_type_for_stays_as_it_is():
    given = {
        "words": np.array(["a", "bc"]),
        "objects": np.array([{}, None], object),
        "dates": np.array(["2026-01-01"], "datetime64[s]"),
        "swapped": np.array([1.0], ">f4"),
        "text": "abc",
        "count": 3,
        "nothing": None,
    }

    got = loaded(given)

    assert all(got[name] is given[name] for name in given)


@pytest.mark.parametrize(
    ("given", "got"),
    [
        ("bool", "bool"),
        ("uint8", "uint8"),
        ("int32", "int32"),
        ("float16", "float16"),
        ("bfloat16", "bfloat16"),
        ("float32", "float32"),
        ("int64", "int32"),
        ("uint64", "uint32"),
        ("float64", "float32"),
        ("complex128", "complex64"),
    ],
)
def test_arrays_of_64_bits_become_those_of_32_as_everywhere_in_jax(given, got):
    array = loaded(np.ones(3, jnp.dtype(given)))

    assert array.dtype == got
    assert array.tolist() == [1, 1, 1]


def test_with_x64_enabled_all_bits_are_kept():
    with jax.enable_x64(True):
        assert loaded(np.array([2**40 + 1])).tolist() == [2**40 + 1]
        assert loaded(np.array([0.1])).dtype == "float64"


def test_arrays_go_to_the_device_or_sharding_that_was_named():
    device = jax.devices()[0]
    for sharding in (device, jax.sharding.SingleDeviceSharding(device)):
        array = loaded(np.zeros(4), sharding=sharding)
        assert array.committed
        assert array.sharding.device_set == {device}
    assert not loaded(np.zeros(4)).committed


# --- epochs, state ------------------------------------------------------------------------


def test_each_loop_is_an_epoch_that_begins_with_its_first_batch():
    sequence = Counted(3)
    with JaxLoader(sequence, workers=0) as loader:
        iter(loader), iter(loader)
        assert sequence.hooks == []
        assert len(loader) == 3
        assert listed(loader) == [[0, 0], [1, 0], [2, 0]]
        assert listed(loader) == [[0, 1], [1, 1], [2, 1]]
    assert sequence.hooks == ["begin", "end"] * 2


def test_an_enqueuer_that_was_made_before_is_used_and_left_running():
    with OrderedEnqueuer(Counted(3), workers=0) as enqueuer:
        loader = JaxLoader(enqueuer)
        assert len(listed(loader)) == 3
        loader.close()
        assert enqueuer.is_running()


@pytest.mark.parametrize("prefetch", [0, 1, 2, 9])
def test_the_hook_runs_when_the_loop_ends_whatever_was_put_ahead(prefetch):
    sequence = Counted(6)
    with JaxLoader(sequence, prefetch=prefetch, executor=Eager()) as loader:
        for number, _ in enumerate(loader, start=1):
            assert loader.enqueuer.stats().delivered == min(number + prefetch, 6)
            assert sequence.hooks == ["begin"]
        assert sequence.hooks == ["begin", "end"]


@pytest.mark.parametrize("prefetch", [0, 2, 9])
def test_a_state_names_the_batch_after_the_one_that_the_loop_has(prefetch):
    whole = [*range(6), *range(6)]
    for taken in range(1, 12):
        with JaxLoader(Counted(), prefetch=prefetch, executor=Eager(), seed=0) as loader:
            batches = (int(batch[0]) for _ in range(2) for batch in loader)
            first = [next(batches) for _ in range(taken)]
            state = loader.state_dict()
        with JaxLoader(Counted(), prefetch=prefetch, executor=Eager(), seed=0) as loader:
            loader.load_state_dict(state, replay_hooks=True)
            rest = [int(batch[0]) for batch in loader]
            while loader.enqueuer.epoch < 2:
                rest += [int(batch[0]) for batch in loader]
        assert first + rest == whole


def test_wrong_arguments_are_refused_before_anything_starts():
    with pytest.raises(TypeError, match="sharding must be a jax"):
        JaxLoader(Counted(), sharding="cpu")
    with pytest.raises(ValueError, match="prefetch must be at least 0, not -1"):
        JaxLoader(Counted(), prefetch=-1)
    with pytest.raises(TypeError, match="has no use for seed"):
        JaxLoader(OrderedEnqueuer(Counted()), seed=1)


# --- memory -------------------------------------------------------------------------------


MOST_BATCHES = 48
"""That a loop holds which waits for nothing: 32 computations that JAX queues on a CPU, the batches
put ahead, and what jaxlib has not given back yet. (Seen: up to 36.)"""


@pytest.mark.parametrize("donated", [False, True], ids=["kept", "donated"])
def test_a_loop_that_waits_for_nothing_reads_every_element_right_and_holds_few_batches(donated):
    """Blocks are refilled once they are free, while computations that read them are queued."""
    length = 3000

    def step(batch, seen, index):
        large, small = batch["large"], batch["small"]
        right = (large == index).all() & (small == index).all() & (large.sum() == 1024 * index)
        return {"large": large + 1, "small": small + 1}, seen + right

    compiled = jax.jit(step, donate_argnums=0 if donated else ())
    seen, most, kept = jnp.int32(0), 0, []
    with JaxLoader(Filled(length), workers=2) as loader:
        for index, batch in enumerate(loader):
            changed, seen = compiled(batch, seen, index)
            if index % 500 == 0:
                kept.append((index, changed))
            most = max(most, loader.enqueuer.stats().held_bytes)
        assert int(seen) == length
        for index, changed in kept:
            assert np.asarray(changed["large"]).tolist() == [index + 1] * 1024
    assert most <= (MOST_BATCHES + len(kept)) * BLOCK_BYTES


def test_arrays_that_the_user_keeps_stay_what_they_were():
    with JaxLoader(Filled(400), workers=2) as loader:
        kept = list(loader)
        list(loader)  # another epoch refills whatever is free
        for index, batch in enumerate(kept):
            assert (np.asarray(batch["large"]) == index).all()
            assert (np.asarray(batch["small"]) == index).all()


# --- when something breaks ----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::seqloader.WorkerLostWarning")
def test_a_killed_worker_costs_no_batch(tmp_path):
    with JaxLoader(KillsItsWorker(tmp_path), workers=1) as loader:
        assert [int(batch[0]) for batch in loader] == list(range(12))
        assert loader.enqueuer.stats().respawns == 1


def test_after_a_ctrl_c_a_state_goes_on_with_the_next_batch(tmp_path):
    got = []
    with JaxLoader(InterruptsTheConsumer(tmp_path), workers=1, max_queue_size=2) as loader:
        with contextlib.suppress(KeyboardInterrupt):
            read(loader, got)  # a loop that does more would be interrupted with a batch in hand
        state = loader.state_dict()
    assert 0 < len(got) < 12
    with JaxLoader(Counted(12), workers=0) as other:
        other.load_state_dict(state)
        read(other, got)
    assert [int(batch[0]) for batch in got] == list(range(12))
