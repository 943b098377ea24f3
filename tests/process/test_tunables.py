from __future__ import annotations

import os

import pytest

from seqloader import OrderedEnqueuer, Sequence
from seqloader.executors.process.wire.tunables import VARIABLE, add_tunables, remove_tunables

THRESHOLD = "glibc.cpu.x86_non_temporal_threshold"


@pytest.mark.parametrize(
    "users", [None, "", "glibc.malloc.check=1", "glibc.malloc.check=1:glibc.malloc.perturb=7"]
)
def test_what_the_user_had_is_there_again(users):
    before = {} if users is None else {VARIABLE: users}
    environment = dict(before)

    add_tunables(environment)
    assert THRESHOLD in environment[VARIABLE]
    remove_tunables(environment)

    assert environment == before


def test_a_threshold_of_the_users_own_stands():
    environment = {VARIABLE: f"{THRESHOLD}=0x800000"}

    add_tunables(environment)
    remove_tunables(environment)

    assert environment == {VARIABLE: f"{THRESHOLD}=0x800000"}


class Environment(Sequence[tuple[str | None, str]]):
    """What the worker's Python sees, and what its C library was started with."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[str | None, str]:
        with open("/proc/self/environ") as started_with:
            return os.environ.get(VARIABLE), started_with.read()


def test_worker_starts_with_it_and_user_code_does_not_see_it(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)

    with OrderedEnqueuer(Environment(), workers=1) as enqueuer:
        [(seen, started_with)] = enqueuer

    assert seen is None
    assert THRESHOLD in started_with
