from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from interpreter import printed_by
from runs import COUNTED, RESEEDED, TICKET, Calls

from seqloader.randomness.context import BatchContext, batch_context, current_batch
from seqloader.randomness.seeding import Seeding
from seqloader.randomness.seeds import BATCH
from seqloader.tickets import Ticket


class Indices:
    def __getitem__(self, index: int) -> int:
        return index


def draw_rng() -> float:
    return batch_context().rng.random()


# The context


def test_batch_knows_its_epoch_index_and_position() -> None:
    def ask() -> tuple[int, int, int]:
        context = batch_context()
        return context.epoch, context.index, context.position

    assert COUNTED.compute(Calls(ask), TICKET) == (2, 907, 41)


def test_compute_returns_the_batch_of_the_tickets_index() -> None:
    assert COUNTED.compute(Indices(), TICKET) == 907
    assert RESEEDED.compute_aside(Indices(), TICKET) == 907


@pytest.mark.parametrize("name", ["epoch", "index", "position"])
def test_outside_a_batch_the_error_says_what_to_do(name: str) -> None:
    with pytest.raises(RuntimeError, match=rf"\.{name} .*enqueuer\.compute\(index, epoch=0\)"):
        getattr(batch_context(), name)


def test_outside_a_batch_rng_is_unseeded() -> None:
    numbers = {batch_context().rng.integers(2**62) for _ in range(10)}

    assert len(numbers) == 10


@pytest.mark.parametrize("shared", [False, True])
def test_context_ends_with_its_batch_also_if_that_raises(shared: bool) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    COUNTED.compute(Indices(), TICKET, shared=shared)
    assert current_batch() is None
    with pytest.raises(KeyboardInterrupt):
        COUNTED.compute(Calls(fail), TICKET, shared=shared)
    assert current_batch() is None


def test_context_that_was_kept_goes_on_answering_for_its_own_batch() -> None:
    kept = COUNTED.compute(Calls(batch_context), TICKET)
    later = COUNTED.compute(Calls(batch_context), Ticket(3, 0, 5))

    assert (kept.epoch, kept.index, kept.position) == (2, 907, 41)
    assert (later.epoch, later.index, later.position) == (3, 5, 0)
    assert kept.rng.random() == COUNTED.compute(Calls(lambda: batch_context().rng), TICKET).random()


@pytest.mark.parametrize("outer_shared", [False, True])
@pytest.mark.parametrize("inner_shared", [False, True])
def test_batch_computed_inside_a_batch_gives_the_outer_context_back(
    outer_shared: bool, inner_shared: bool
) -> None:
    inner_ticket = Ticket(0, 1, 2)

    def nest() -> list[BatchContext]:
        before = batch_context()
        inner = COUNTED.compute(Calls(batch_context), inner_ticket, shared=inner_shared)
        return [before, inner, batch_context()]

    before, inner, after = COUNTED.compute(Calls(nest), TICKET, shared=outer_shared)

    assert before is after
    assert (before.index, inner.index) == (907, 2)


def in_threads(*calls: Callable[[], Any]) -> list[Any]:
    """What they return, each called in a thread of its own."""
    answers: list[Any] = [None] * len(calls)

    def answer(number: int) -> None:
        answers[number] = calls[number]()

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_shared_context_is_seen_by_the_batchs_own_threads() -> None:
    def ask() -> list[BatchContext]:
        return [batch_context(), *in_threads(batch_context)]

    own, of_thread = COUNTED.compute(Calls(ask), TICKET, shared=True)

    assert own is of_thread


def test_unshared_context_is_not_seen_by_other_threads() -> None:
    [elsewhere] = COUNTED.compute(Calls(lambda: in_threads(batch_context)), TICKET)

    with pytest.raises(RuntimeError):
        _ = elsewhere.index


def test_threads_compute_side_by_side_each_in_its_own_context() -> None:
    together = threading.Barrier(4)

    def ask() -> list[int]:
        together.wait(10)
        first = batch_context().index
        together.wait(10)
        return [first, batch_context().index]

    tickets = [Ticket(0, index, index) for index in range(4)]
    seen = in_threads(*(partial(COUNTED.compute, Calls(ask), ticket) for ticket in tickets))

    assert seen == [[index, index] for index in range(4)]


# The batch's own generator


def test_rng_is_the_generator_that_the_documentation_names() -> None:
    expected = np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(7, spawn_key=(BATCH, 2, 907)))
    )

    drawn = COUNTED.compute(Calls(lambda: batch_context().rng.random(5)), TICKET)

    assert drawn.tolist() == expected.random(5).tolist()


def test_rng_never_changes() -> None:
    raw = COUNTED.compute(Calls(lambda: batch_context().rng.bit_generator.random_raw(2)), TICKET)

    assert raw.tolist() == [6657188222739935157, 9022212052319330385]


def test_rng_is_one_object_throughout_the_batch() -> None:
    first, second = COUNTED.compute(
        Calls(lambda: (batch_context().rng, batch_context().rng)), TICKET
    )

    assert first is second


def test_rng_is_one_object_for_all_threads_of_the_batch() -> None:
    together = threading.Barrier(8)

    def ask() -> np.random.Generator:
        together.wait(10)
        return batch_context().rng

    found = COUNTED.compute(Calls(lambda: in_threads(*[ask] * 8)), TICKET, shared=True)

    assert len({id(rng) for rng in found}) == 1


def test_rng_depends_on_seed_epoch_and_index_alone() -> None:
    def number(seed: int, ticket: Ticket, *, globals_too: bool = False) -> float:
        seeding = Seeding(seed, globals_too)
        return seeding.compute_aside(Calls(draw_rng), ticket)

    same = {
        number(7, Ticket(2, 41, 907)),
        number(7, Ticket(2, 0, 907)),  # another shard, or another order
        number(7, Ticket(2, 41, 907, attempt=2)),  # its worker died twice
        number(7, Ticket(2, 41, 907), globals_too=True),
    }
    others = {
        number(8, Ticket(2, 41, 907)),
        number(7, Ticket(3, 41, 907)),
        number(7, Ticket(2, 41, 908)),
    }

    assert len(same) == 1
    assert len(others) == 3
    assert not same & others


def test_seed_may_be_of_any_size() -> None:
    drawn = {Seeding(10**5000 + more, False).compute(Calls(draw_rng), TICKET) for more in (0, 0, 1)}

    assert len(drawn) == 2


def test_worker_process_forked_inside_a_batch_starts_outside_of_it() -> None:
    def start_and_ask() -> Any:
        COUNTED.seed_process(0)
        return batch_context()

    context = COUNTED.compute(Calls(start_and_ask), TICKET, shared=True)

    with pytest.raises(RuntimeError):
        _ = context.index


# What travels, and what it costs


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_seeding_survives_plain_pickle(protocol: int) -> None:
    assert pickle.loads(pickle.dumps(RESEEDED, protocol)) == RESEEDED


def test_seeding_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        RESEEDED.seed = 8  # type: ignore[misc]


def test_seeding_refuses_what_is_no_seed() -> None:
    with pytest.raises(ValueError, match="seed must be an int >= 0"):
        Seeding(-1, reseed_globals=False)


def test_computing_without_reseeding_imports_nothing() -> None:
    script = (
        "import sys\n"
        "from seqloader.randomness.seeding import Seeding\n"
        "from seqloader.tickets import Ticket\n"
        "before = set(sys.modules)\n"
        "Seeding(1, False).compute([5], Ticket(0, 0, 0), shared=True)\n"
        "Seeding(1, False).compute_aside([5], Ticket(0, 0, 0))\n"
        "print(sorted(set(sys.modules) - before))\n"
        "is_loaded = 'numpy.random' in sys.modules\n"
        "Seeding(1, False).seed_process(0)\n"
        "print(is_loaded or sorted(set(sys.modules) - before))\n"
    )

    computing, seeding = printed_by(script).splitlines()

    assert computing == "[]"
    # Where `import numpy` brings numpy.random (numpy 1), its generator is there to be seeded.
    assert seeding in ("[]", "True")
