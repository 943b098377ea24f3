from __future__ import annotations

import copy
import pickle
import random
import sys
from collections import OrderedDict, deque
from typing import Any

import numpy as np
import pytest
from holders import Holder
from hypothesis import given
from hypothesis import strategies as st

from seqloader.randomness.generator_search import find_generators
from seqloader.randomness.held_generators import keep, put_back, seed_held

KINDS: list[Any] = [
    lambda: np.random.default_rng(0),
    lambda: np.random.Generator(np.random.MT19937(0)),
    lambda: np.random.Generator(np.random.Philox(0)),
    lambda: np.random.Generator(np.random.SFC64(0)),
    lambda: np.random.Generator(np.random.PCG64DXSM(0)),
    lambda: np.random.RandomState(0),
    lambda: np.random.RandomState(np.random.PCG64(0)),
    lambda: random.Random(0),
]


def places(obj: Any) -> list[str]:
    return [one.place for one in find_generators(obj)]


def draws(generator: Any) -> list[Any]:
    """Of all that keeps something back between two calls."""
    normal = generator.normal if hasattr(generator, "normal") else lambda: generator.gauss(0, 1)
    first = [normal(), generator.random(), normal()]
    if isinstance(generator, np.random.Generator):
        first += [generator.random(dtype=np.float32), generator.integers(10, dtype=np.int32)]
    return first


@pytest.mark.parametrize("make", KINDS)
def test_what_is_set_draws_the_same_whatever_it_drew_before(make: Any) -> None:
    used, fresh = make(), make()
    draws(used)
    if isinstance(used, np.random.Generator):
        used.random(dtype=np.float32)

    for generator in (used, fresh):
        seed_held(find_generators([generator]), b"e" * 32)

    assert draws(used) == draws(fresh) != draws(make())


@pytest.mark.parametrize("make", KINDS)
def test_what_is_put_back_goes_on_as_if_nothing_had_been(make: Any) -> None:
    generator = make()
    draws(generator)
    twin = copy.deepcopy(generator)
    held = find_generators([generator])
    kept = keep(held)
    seed_held(held, b"e" * 32)
    draws(generator)

    put_back(held, kept)
    put_back(held, kept)  # it may have been interrupted

    assert draws(generator) == draws(twin)


@pytest.mark.parametrize("make", KINDS)
def test_another_entropy_and_another_place_are_other_numbers(make: Any) -> None:
    seen = set()
    for entropy in (b"e" * 32, b"f" * 32):
        pair = [make(), make()]
        seed_held(find_generators(pair), entropy)
        seen |= {str(draws(generator)) for generator in pair}

    assert len(seen) == 4


def test_places_are_the_same_in_a_copy_that_was_pickled() -> None:
    holder = Holder()
    del holder.closure  # which plain pickle refuses

    assert len(places(holder)) == 19
    assert places(pickle.loads(pickle.dumps(holder))) == places(holder)


def test_one_object_that_is_there_twice_counts_once() -> None:
    rng = np.random.default_rng(0)
    legacy = random.Random(0)

    assert places([rng, rng.normal, legacy, {"again": legacy}]) == ["[0]", "[2]"]


def test_generators_over_one_bit_generator_share_a_place() -> None:
    bits = np.random.MT19937(0)
    one, other = np.random.Generator(bits), np.random.RandomState(bits)

    assert places([one, np.random.Generator(bits), bits]) == ["[0]"]
    assert places([other, one]) == ["[0]"]


def test_the_process_own_generators_are_held_by_nobody() -> None:
    own = [np.random.mtrand._rand, random._inst, random.random, np.random, random]  # type: ignore[attr-defined]

    assert places(own) == []
    assert places(np.random.mtrand._rand._bit_generator) == []


def test_what_has_no_state_is_left_alone() -> None:
    assert places([random.SystemRandom()]) == []


def test_nothing_of_the_users_is_called() -> None:
    class Proxy:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

        def __iter__(self) -> Any:
            raise AssertionError

        __len__ = __bool__ = __eq__ = __hash__ = __iter__  # type: ignore[assignment]

    class Items(list):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            raise AssertionError

    proxy = Proxy()
    proxy.__dict__["rng"] = random.Random(0)

    assert places([proxy, Items([random.Random(1)])]) == ["[0].rng", "[1][0]"]


class Seedable:
    """A generator that shows nothing, as one in C."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def set_random_seed(self, seed: int) -> None:
        self.seeds.append(seed)


class Composed(Seedable):
    def __init__(self) -> None:
        super().__init__()
        self.rng = random.Random(0)


def test_what_only_offers_set_random_seed_is_seeded_by_it_and_else_it_is_not_called() -> None:
    opaque, composed = Seedable(), Composed()

    seed_held(find_generators([opaque, composed]), b"e" * 32)

    assert len(opaque.seeds) == 1 and 0 <= opaque.seeds[0] < 2**31
    assert composed.seeds == []


def test_an_attribute_that_a_copy_lacks_changes_no_other_place() -> None:
    class Partial:
        def __init__(self) -> None:
            self.a, self.b = random.Random(0), random.Random(0)

    whole, less = Partial(), Partial()
    del less.a
    for one in (whole, less):
        seed_held(find_generators(one), b"e" * 32)

    assert whole.b.random() == less.b.random()


def test_sets_are_ordered_by_what_is_in_them() -> None:
    def first_draws(order: int) -> list[float]:
        elements = [random.Random(seed) for seed in range(20)][::order]
        seed_held(find_generators(set(elements)), b"e" * 32)
        return [one.random() for one in elements[::order]]

    assert first_draws(1) == first_draws(-1)


def test_what_garbage_collection_does_not_track_is_searched() -> None:
    array = np.array([random.Random(0)], dtype=object)

    assert places({"a": array}) == ["['a'][0]"]
    assert places([(array, 1)]) == ["[0][0][0]"]


def test_a_nest_that_contains_itself_ends() -> None:
    nest: list[Any] = [random.Random(0)]
    nest.append({"self": nest})

    assert places(nest) == ["[0]"]


def test_a_nest_deeper_than_the_stack_is_searched() -> None:
    nest: Any = random.Random(0)
    for _ in range(sys.getrecursionlimit() * 3):
        nest = [nest]

    assert len(places(nest)) == 1


atoms = st.none() | st.integers() | st.text(max_size=3) | st.binary(max_size=3)
generators = st.sampled_from(KINDS).map(lambda make: make())


class Box:
    def __init__(self, value: Any) -> None:
        self.value = value


nests = st.recursive(
    atoms | generators,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(deque),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
        st.dictionaries(st.integers(), inner, max_size=3).map(OrderedDict),
        inner.map(Box),
    ),
    max_leaves=12,
)


def count(nest: Any) -> int:
    if isinstance(nest, Box):
        return count(nest.value)
    if isinstance(nest, dict):
        return sum(map(count, nest.values()))
    if isinstance(nest, (list, tuple, deque)):
        return sum(map(count, nest))
    return isinstance(nest, (np.random.Generator, np.random.RandomState, random.Random))


@given(nests)
def test_all_are_found_in_any_nest_each_at_a_place_of_its_own(nest: Any) -> None:
    found = places(nest)

    assert len(found) == len(set(found)) == count(nest)
    assert places(pickle.loads(pickle.dumps(nest))) == found
