from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest

from seqloader.randomness import seeds
from seqloader.randomness.seeds import check_seed, derive, hash_seed, shuffle_key

DOMAINS = [
    seeds.BATCH,
    seeds.GLOBALS,
    seeds.HOOKS,
    seeds.SHUFFLE,
    seeds.HASH,
    seeds.PROCESS,
]


def test_derived_bytes_never_change() -> None:
    derived = derive(seeds.GLOBALS, 7, 2, 907)

    assert derived.hex() == "8d469fd464b06c0feaa698b5e25bcf232e3d035b6f0623d6dd85ba80877d3508"


def test_every_argument_counts() -> None:
    derived = {
        derive(seeds.GLOBALS, 1, 1, 1),
        derive(seeds.HOOKS, 1, 1, 1),
        derive(seeds.GLOBALS, 2, 1, 1),
        derive(seeds.GLOBALS, 1, 2, 1),
        derive(seeds.GLOBALS, 1, 1, 2),
        derive(seeds.GLOBALS, 0x11, 1, 1),  # digits do not run from one argument into the next
        derive(seeds.GLOBALS, 1, 0x11, 1),
        derive(seeds.GLOBALS, 1, 1, 0x11),
    }

    assert len(derived) == 8


def test_no_two_domains_are_the_same() -> None:
    assert all(first != second for first, second in combinations(DOMAINS, 2))


def test_domains_are_beyond_a_users_own_spawns() -> None:
    assert min(DOMAINS) > 1_000_000_000


def test_a_seed_of_5000_digits_works() -> None:
    huge = 10**5000

    assert derive(seeds.GLOBALS, huge) != derive(seeds.GLOBALS, huge + 1)
    assert shuffle_key(huge, 0) != shuffle_key(huge + 1, 0)


def test_shuffle_key_never_changes() -> None:
    assert (shuffle_key(0, 0), shuffle_key(7, 2)) == (7149797227870546077, 5743378634139875649)


def test_shuffle_keys_of_epochs_and_seeds_are_all_different() -> None:
    keys = {shuffle_key(seed, epoch) for seed in range(100) for epoch in range(100)}

    assert len(keys) == 10_000
    assert all(0 <= key < 2**64 for key in keys)


def test_hash_seed_is_what_python_accepts() -> None:
    hash_seeds = [hash_seed(seed) for seed in (*range(200), 10**5000)]

    assert len(set(hash_seeds)) == len(hash_seeds)
    assert all(0 <= number <= 4_294_967_295 for number in hash_seeds)


def test_hash_seed_makes_the_hashes_of_two_processes_agree() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed(7))}
    command = [sys.executable, "-c", "print(hash('seqloader'))"]

    first, second = (
        subprocess.run(command, env=environment, capture_output=True, check=True).stdout
        for _ in range(2)
    )

    assert first == second


@pytest.mark.parametrize("seed", [0, 1, 2**200, np.int64(5), np.uint8(5)], ids=repr)
def test_seed_may_be_any_int_from_0(seed: int) -> None:
    checked = check_seed(seed)

    assert type(checked) is int
    assert checked == seed


@pytest.mark.parametrize("seed", [None, 1.0, "1", True, [1]], ids=repr)
def test_seed_that_is_no_int_is_a_type_error(seed: object) -> None:
    with pytest.raises(TypeError, match="seed must be an int >= 0"):
        check_seed(seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, -(10**5000)], ids=["-1", "huge"])
def test_negative_seed_is_a_value_error(seed: int) -> None:
    with pytest.raises(ValueError, match="seed must be an int >= 0"):
        check_seed(seed)
