"""Which cases can be measured here, and which distributions the others would need."""

from __future__ import annotations

from collections.abc import Sequence

from peers import find as find_peer
from peers.peer import is_installed

from harness.cases import Case

__all__ = ["missing", "needed", "present"]


def present(cases: Sequence[Case]) -> list[Case]:
    """The cases all of whose distributions are installed. Imports none of them."""
    return [case for case in cases if all(map(is_installed, _requires(case)))]


def missing(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Distribution that is not installed -> names of the cases that need it."""
    names_of: dict[str, list[str]] = {}
    for case in cases:
        for distribution in _requires(case):
            if not is_installed(distribution):
                names_of.setdefault(distribution, []).append(case.name)
    return names_of


def needed(cases: Sequence[Case]) -> list[str]:
    """The distributions that these cases are measured with, beside seqloader itself."""
    return sorted({name for case in cases for name in _requires(case)} - {"seqloader"})


def _requires(case: Case) -> tuple[str, ...]:
    of_peer = () if case.engine == "none" else find_peer(case.engine).requires
    return (*of_peer, case.requires) if case.requires else of_peer
