from __future__ import annotations

import random
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from interpreter import printed_by
from runs import COUNTED, RESEEDED, TICKET, Calls

from seqloader.randomness import seeding
from seqloader.randomness.held_generators import put_back
from seqloader.randomness.seeding import Seeding
from seqloader.tickets import Ticket


def draw() -> tuple[Any, ...]:
    """Numbers from each of the global generators that are always there."""
    return random.random(), random.gauss(0, 1), *np.random.random(2), np.random.normal()


@pytest.fixture(autouse=True)
def kept_generators() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state(legacy=False)
    yield
    random.setstate(python)
    np.random.set_state(numpy)


def draw_ahead() -> tuple[Any, ...]:
    """What `draw` returns next, if the generators are left alone until then."""
    random.gauss(0, 1)  # leaves a second number in store, as does the next
    np.random.normal()
    python, numpy = random.getstate(), np.random.get_state(legacy=False)
    expected = draw()
    random.setstate(python)
    np.random.set_state(numpy)
    return expected


def compute_draw(seeding: Seeding, epoch: int = 0, index: int = 0) -> tuple[Any, ...]:
    return seeding.compute_aside(Calls(draw), Ticket(epoch, 0, index))


class FakeTorchGenerator:
    """As much of torch's CPU generator as is used."""

    def __init__(self) -> None:
        self.state = 0

    def manual_seed(self, seed: int) -> FakeTorchGenerator:
        if not -(2**63) <= seed < 2**64:
            raise RuntimeError("Overflow when unpacking long")
        self.state = seed
        return self

    def get_state(self) -> int:
        return self.state

    def set_state(self, state: int) -> None:
        self.state = state


@pytest.fixture
def fake_torch(monkeypatch: pytest.MonkeyPatch) -> FakeTorchGenerator:
    module = types.ModuleType("torch")
    module.default_generator = FakeTorchGenerator()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", module)
    return module.default_generator


# Of a batch


def test_global_numbers_depend_on_seed_epoch_and_index_alone() -> None:
    first = compute_draw(RESEEDED, 2, 907)
    random.seed(0)
    np.random.seed(0)
    again = compute_draw(RESEEDED, 2, 907)

    assert first == again


def test_global_numbers_of_no_two_batches_are_the_same() -> None:
    drawn = [compute_draw(RESEEDED, epoch, index) for epoch in range(10) for index in range(20)]

    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == len(drawn)


def test_global_numbers_never_change() -> None:
    def bits() -> tuple[int, int]:
        return random.getrandbits(64), int.from_bytes(np.random.bytes(8), "little")

    assert RESEEDED.compute_aside(Calls(bits), TICKET) == (
        16787515583424786151,
        9142980632579191449,
    )


def test_compute_aside_puts_the_global_generators_back() -> None:
    expected = draw_ahead()

    compute_draw(RESEEDED)

    assert draw() == expected


def test_compute_aside_puts_the_global_generators_back_when_the_batch_raises() -> None:
    def fail() -> None:
        draw()
        raise KeyboardInterrupt

    expected = draw_ahead()

    with pytest.raises(KeyboardInterrupt):
        RESEEDED.compute_aside(Calls(fail), TICKET)

    assert draw() == expected


def test_interrupt_while_they_are_put_back_leaves_none_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = draw_ahead()

    def interrupted(generators: Any, kept: Any) -> None:
        monkeypatch.undo()
        put_back(generators[:1], kept[:1])
        raise KeyboardInterrupt

    monkeypatch.setattr(seeding, "put_back", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compute_draw(RESEEDED)

    assert draw() == expected


def test_without_reseeding_global_generators_run_on() -> None:
    expected = draw_ahead()

    assert COUNTED.compute(Calls(draw), TICKET) == expected


def test_batch_inside_a_batch_leaves_the_outer_ones_global_numbers_alone() -> None:
    def nest() -> tuple[Any, ...]:
        first = random.random(), np.random.random()
        RESEEDED.compute_aside(Calls(draw), Ticket(0, 0, 0))
        return *first, random.random(), np.random.random()

    def plain() -> tuple[Any, ...]:
        return random.random(), np.random.random(), random.random(), np.random.random()

    nested = RESEEDED.compute_aside(Calls(nest), TICKET)

    assert nested == RESEEDED.compute_aside(Calls(plain), TICKET)


@pytest.mark.filterwarnings("ignore:get_state and legacy")
def test_numpys_global_bit_generator_may_be_another_one() -> None:
    theirs, kept = np.random.get_bit_generator(), np.random.get_state(legacy=False)
    np.random.set_bit_generator(np.random.PCG64(1))
    try:
        first, second = compute_draw(RESEEDED), compute_draw(RESEEDED)
        third = compute_draw(RESEEDED, index=1)
    finally:
        np.random.set_bit_generator(theirs)
        np.random.set_state(kept)

    assert first == second
    assert first[2:] != third[2:]


def test_torch_is_seeded_and_put_back_where_it_is_imported(
    fake_torch: FakeTorchGenerator,
) -> None:
    fake_torch.state = 5

    inside = [
        RESEEDED.compute_aside(Calls(fake_torch.get_state), Ticket(0, 0, index))
        for index in (0, 0, 1)
    ]

    assert inside[0] == inside[1] != inside[2]
    assert 5 not in inside
    assert fake_torch.state == 5


def test_torch_in_the_middle_of_its_import_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))

    assert compute_draw(RESEEDED) == compute_draw(RESEEDED)


def test_torch_whose_import_is_forbidden_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    assert compute_draw(RESEEDED) == compute_draw(RESEEDED)


def test_torch_imported_by_the_batch_itself_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    module = types.ModuleType("torch")
    module.default_generator = FakeTorchGenerator()  # type: ignore[attr-defined]

    RESEEDED.compute_aside(Calls(lambda: monkeypatch.setitem(sys.modules, "torch", module)), TICKET)

    assert module.default_generator.state == 0


@pytest.mark.torch
def test_real_torch_is_seeded_and_put_back() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(5)
    expected = torch.randn(3).tolist()
    torch.manual_seed(5)

    inside = [
        RESEEDED.compute_aside(Calls(lambda: torch.randn(3).tolist()), Ticket(0, 0, index))
        for index in (0, 0, 1)
    ]

    assert inside[0] == inside[1] != inside[2]
    assert torch.randn(3).tolist() == expected


# Of hooks and processes


def test_hook_draws_the_same_numbers_in_the_same_epoch() -> None:
    first = RESEEDED.hook(3, draw, name="on_epoch_end")
    random.seed(0)
    np.random.seed(0)

    assert RESEEDED.hook(3, draw, name="on_epoch_end") == first


def test_hooks_of_other_epochs_and_names_draw_other_numbers() -> None:
    drawn = {
        RESEEDED.hook(3, draw, name="on_epoch_end"),
        RESEEDED.hook(4, draw, name="on_epoch_end"),
        RESEEDED.hook(3, draw, name="on_epoch_begin"),
        Seeding(8, reseed_globals=True).hook(3, draw, name="on_epoch_end"),
        compute_draw(RESEEDED, 3, 0),
    }

    assert len(drawn) == 5


def test_hook_that_raises_leaves_the_global_generators_as_they_were() -> None:
    def fail() -> None:
        draw()
        raise ValueError("from the hook")

    expected = draw_ahead()

    with pytest.raises(ValueError, match="from the hook"):
        RESEEDED.hook(0, fail, name="on_epoch_end")

    assert draw() == expected


def test_hook_without_reseeding_is_a_plain_call() -> None:
    expected = draw_ahead()

    assert COUNTED.hook(0, draw, name="on_epoch_end") == expected


def test_worker_process_with_a_seed_draws_what_its_slot_says() -> None:
    drawn = []
    for slot in (0, 0, 1):
        RESEEDED.seed_process(slot)
        drawn.append(draw())

    assert drawn[0] == drawn[1] != drawn[2]


def test_worker_process_without_a_seed_repeats_no_other_one(fake_torch: FakeTorchGenerator) -> None:
    drawn = []
    for slot in (0, 0, 1):
        np.random.seed(1)  # as inherited from a parent by each of its forks
        fake_torch.state = 1  # as torch starts in every process
        COUNTED.seed_process(slot)
        drawn.append((np.random.random(), fake_torch.state))

    assert len({number for number, _ in drawn}) == 3
    assert len({state for _, state in drawn}) == 3


def test_numpys_generator_is_seeded_also_where_the_batch_is_first_to_load_it() -> None:
    script = (
        "from seqloader.randomness.seeding import Seeding\n"
        "from seqloader.tickets import Ticket\n"
        "class Draws:\n"
        "    def __getitem__(self, index):\n"
        "        import numpy.random\n"
        "        return numpy.random.random()\n"
        "print(Seeding(7, True).compute(Draws(), Ticket(2, 41, 907)))\n"
    )

    expected = RESEEDED.compute_aside(Calls(np.random.random), TICKET)
    assert printed_by(script).splitlines() == [repr(expected)]


def test_seed_of_global_numbers_may_be_of_any_size() -> None:
    huge = Seeding(10**5000, reseed_globals=True)

    assert compute_draw(huge) == compute_draw(huge)
    assert compute_draw(huge) != compute_draw(Seeding(10**5000 + 1, reseed_globals=True))
