"""The questions of the suite, in the order they are asked.

What they say, show and want is in `chapters.toml`; their cases are computed here.
"""

from __future__ import annotations

from pathlib import Path

from harness.chapter import Chapter, read_chapters

from chapters import startup, streams, uneven

CHAPTERS: tuple[Chapter, ...] = read_chapters(
    Path(__file__).with_name("chapters.toml"),
    {
        "tiny": streams.tiny,
        "1mb": streams.megabyte,
        "images": streams.images,
        "large": streams.large,
        "uneven-32": uneven.uneven_32,
        "uneven-8": uneven.uneven_8,
        "epochs": uneven.epochs,
        "start-tiny": startup.tiny,
        "start-1gb": startup.array,
        "start-paths": startup.paths,
        "jpeg": streams.jpeg,
    },
)
