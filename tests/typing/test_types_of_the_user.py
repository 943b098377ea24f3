"""The types that a user sees, as mypy --strict sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
TYPED_USER = Path(__file__).with_name("typed_user.py")

pytestmark = [pytest.mark.slow, pytest.mark.limit(180)]


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    pytest.importorskip("mypy")
    cache = tmp_path_factory.mktemp("mypy")

    def check(path):
        options = ["--strict", "--follow-imports=silent", "--config-file=", f"--cache-dir={cache}"]
        done = subprocess.run(
            [sys.executable, "-m", "mypy", *options, str(path)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return check


def test_what_users_write_passes_mypy_strict_with_the_types_inferred(mypy):
    status, output = mypy(TYPED_USER)

    assert status == 0, output


WRONG = {
    "OrderedEnqueuer(5)": "arg-type",
    "OrderedEnqueuer([1], workers='two')": "arg-type",
    "OrderedEnqueuer([1], workres=2)": "call-arg",
    "OrderedEnqueuer([1], executor='threads')": "arg-type",
    "OrderedEnqueuer([1], start_method='forkserver')": "arg-type",
    "OrderedEnqueuer([1], on_error='ignore')": "arg-type",
    "OrderedEnqueuer([1], remainder='keep')": "arg-type",
    "OrderedEnqueuer([1], shard='all')": "arg-type",
    "OrderedEnqueuer([1], True, False, 4)": "call-arg",
    "for batch in OrderedEnqueuer([1]): batch.upper()": "attr-defined",
    "OrderedEnqueuer([1]).stats().delivered = 3": "misc",
}


def test_what_users_get_wrong_does_not(mypy, tmp_path):
    source = tmp_path / "wrong.py"
    source.write_text("\n".join(["from seqloader import OrderedEnqueuer", *WRONG]) + "\n")

    _, output = mypy(source)

    found = {}
    for line in output.splitlines():
        if ": error: " in line:
            found[int(line.split(":")[1])] = line.rpartition("[")[2].rstrip("]")
    assert found == dict(enumerate(WRONG.values(), start=2)), output
