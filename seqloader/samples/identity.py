"""Whether a saved state belongs to a Sequence like the one that is to load it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from seqloader.errors import ResumeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["check_identity", "check_parts"]

_MISSING: Final = object()


def check_identity(
    kind: str, saved: Mapping[str, Any], now: Mapping[str, Any], more: Iterable[str] = ()
) -> None:
    """Raise ResumeError unless both name the same things with the same values.

    Args:
        kind: name of the class, for the message.
        more: differences found elsewhere.
    """
    names = dict.fromkeys([*now, *saved])
    found = [_difference(name, saved, now) for name in names]
    differences = (*filter(None, found), *more)
    if differences:
        raise ResumeError(
            f"the saved state does not fit this {kind}: {'; '.join(differences)}. The batches "
            "would be others than in the run that was saved. Make it with the same arguments, "
            "from the same data",
            differences=differences,
        )


def check_parts(states: Mapping[str, Any], parts: Iterable[str]) -> list[str]:
    """The differences between the parts that a state was saved of, and those there are now."""
    there = set(parts)
    return [
        *(f"{name} can load no state, and one was saved" for name in sorted({*states} - there)),
        *(f"{name} can load a state, and none was saved" for name in sorted(there - {*states})),
    ]


def _difference(name: str, saved: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    was, value = saved.get(name, _MISSING), now.get(name, _MISSING)
    if was is _MISSING:
        return f"{name} is {value!r}, and the saved state has none"
    if value is _MISSING:
        return f"{name} was {was!r} when the state was saved, and here is none"
    return None if was == value else f"{name} is {value!r}, and was {was!r} when it was saved"
