"""Which frames are ours: those of the package's own folder, and of no other that begins alike."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import seqloader
from seqloader.errors import is_own

FOLDER = Path(seqloader.__file__).parent


def test_files_of_the_package_are_ours_and_those_of_a_folder_that_begins_alike_are_not():
    assert is_own(str(FOLDER / "enqueuer.py"))
    assert not is_own(f"{FOLDER}_data{os.sep}train.py")
    assert not is_own(str(FOLDER))


def test_a_warning_names_the_users_line_in_a_folder_that_begins_like_ours():
    file = f"{FOLDER}_data{os.sep}train.py"
    code = "\n\nOrderedEnqueuer([1, 2, 3], workers=2, max_queue_size=1)\n"

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        exec(compile(code, file, "exec"), {"OrderedEnqueuer": seqloader.OrderedEnqueuer})

    assert [(one.filename, one.lineno) for one in said] == [(file, 3)]
