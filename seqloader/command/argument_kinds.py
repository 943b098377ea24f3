"""What an argument on the command line may be, and what is said where it is something else."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "at_least",
    "file_to_be",
    "folder",
    "folder_to_be",
    "more_than_nothing",
    "picture_to_be",
]


def at_least(minimum: int) -> Callable[[str], int]:
    """A whole number from `minimum` on."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number >= {minimum}")
        return value

    return number


def more_than_nothing(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def folder(text: str) -> Path:
    """A folder that is there."""
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return path


def folder_to_be(text: str) -> Path:
    """A folder that may be made."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} exists and is not a folder")
    return path


def file_to_be(text: str) -> Path:
    """A file that may be written."""
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a file that can be written")
    return path


def picture_to_be(text: str) -> Path:
    """A picture file that may be written."""
    path = file_to_be(text)
    if path.suffix.lower() not in {".png", ".jpg", ".jpeg"}:
        raise argparse.ArgumentTypeError(f"{text} should end in .png or .jpg")
    return path
