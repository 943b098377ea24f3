"""What the user's own code raised, shown as the user's: without the frames that are ours."""

from __future__ import annotations

import itertools
import os
import re
import sysconfig
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seqloader.errors import is_own

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["SequenceFault", "fault_text", "users_code", "users_place", "without_enqueuer"]

STANDARD = sysconfig.get_paths()["stdlib"] + os.sep
INSTALLED = "site-packages"
IMPORT_MACHINERY = "<frozen importlib"
ADVICE_IN_PROGRAMS = re.compile(r"Reproduce it alone with: enqueuer\.compute\((\d+), epoch=\d+\)")


class SequenceFault(Exception):
    """The user's module, factory or Sequence raised.

    Attributes:
        error: what it raised.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.error = error


@contextmanager
def users_code(note: str | None = None) -> Iterator[None]:
    """Turn whatever is raised inside into a `SequenceFault`; `note` says where it happened."""
    try:
        yield
    except SequenceFault:
        raise
    except (Exception, SystemExit) as error:
        if note is not None:
            error.add_note(note)
        raise SequenceFault(error) from error


def fault_text(error: BaseException) -> str:
    """The traceback, from the first frame that is not ours, with causes and notes."""
    whole = traceback.TracebackException.from_exception(error)
    link: traceback.TracebackException | None = whole
    while link is not None:
        theirs = itertools.dropwhile(_is_ours, link.stack)
        link.stack = traceback.StackSummary.from_list([*theirs])
        link = link.__cause__ or link.__context__
    return "".join(whole.format()).rstrip()


def users_place(frames: Iterable[tuple[str, int]]) -> str | None:
    """`data.py:31`, the innermost frame that is the user's; else of an installed library, or None.

    Args:
        frames: file and line, from the outermost to the innermost.
    """
    places: dict[bool, str] = {}
    for file, line in frames:
        installed = INSTALLED in file
        standard = file.startswith(STANDARD) and not installed
        if not (standard or is_own(file) or file.startswith("<")):
            places[installed] = f"{os.path.basename(file)}:{line}"
    return places.get(False, places.get(True))


def without_enqueuer(text: str, target: str, arguments: Iterable[str]) -> str:
    """The same, with advice for somebody who has a command line and no enqueuer.

    Args:
        text: as `fault_text` returned it.
        target: what the command line names.
        arguments: each `--arg`, as it was written.
    """
    text = text.replace("start_method='fork'", "--start-method fork")
    made = "".join(f" --arg {each}" for each in arguments)
    where = f"where sequence comes from {target}{made}"
    return ADVICE_IN_PROGRAMS.sub(
        lambda found: f"Reproduce it alone with: sequence[{found[1]}], {where}", text
    )


def _is_ours(frame: traceback.FrameSummary) -> bool:
    # Modules are imported on the user's behalf, by machinery that nobody wants to see.
    file = frame.filename
    return is_own(file) or file.startswith(IMPORT_MACHINERY) or _is_importlib(file)


def _is_importlib(file: str) -> bool:
    return file.endswith(("importlib/__init__.py", "importlib\\__init__.py"))
