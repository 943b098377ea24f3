"""The questions of the suite, one small piece of data each, in the order they are asked."""

from __future__ import annotations

from harness.chapter import Chapter

from chapters.epochs import EPOCHS
from chapters.pictures import PICTURES
from chapters.startup import START_ARRAY, START_PATHS, START_TINY
from chapters.streams import IMAGES, LARGE, MEGABYTE, TINY
from chapters.uneven import UNEVEN_8, UNEVEN_32

__all__ = ["CHAPTERS"]

CHAPTERS: tuple[Chapter, ...] = (
    *(TINY, MEGABYTE, IMAGES, LARGE),
    *(UNEVEN_32, UNEVEN_8),
    EPOCHS,
    *(START_TINY, START_ARRAY, START_PATHS),
    PICTURES,
)
