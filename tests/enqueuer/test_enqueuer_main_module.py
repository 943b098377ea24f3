"""Programs whose Sequence lives in `__main__`, with no guard: scripts, prompts, notebooks (P13)."""

from __future__ import annotations

import importlib.util
import textwrap

import pytest
from interpreter import run_python

PROGRAM = textwrap.dedent(
    """
    import threading
    import numpy as np
    from seqloader import OrderedEnqueuer, Sequence

    FACTOR = 3

    class Label:
        def __init__(self, number):
            self.number = number

    class Own(Sequence):
        def __init__(self):
            self.scale = lambda index: FACTOR * index
            self.offset = 0
        def __len__(self):
            return 5
        def __getitem__(self, index):
            return np.full(2, self.scale(index) + self.offset), Label(index)
        def on_epoch_end(self):
            self.offset += 100

    ended = threading.Event()
    threading.Thread(target=ended.wait).start()
    enqueuer = OrderedEnqueuer(Own(), workers=2)
    epochs = [[(int(a[0]), b.number, type(b) is Label) for a, b in enqueuer] for _ in range(2)]
    enqueuer.stop()
    ended.set()
    expected = [[(3 * i + add, i, True) for i in range(5)] for add in (0, 100)]
    print("same" if epochs == expected else epochs)
    """
)


@pytest.mark.parametrize("way", ["script", "-c", "stdin", "module", "run_path", "ipython"])
def test_a_program_without_a_guard_runs(way, tmp_path):
    file = tmp_path / "program_of_a_test.py"
    file.write_text(PROGRAM)
    if way == "ipython" and not importlib.util.find_spec("IPython"):
        pytest.skip("needs IPython")
    arguments = {
        "script": [str(file)],
        "-c": ["-c", PROGRAM],
        "stdin": ["-"],
        "module": ["-m", file.stem],
        "run_path": ["-c", f"import runpy; runpy.run_path({str(file)!r})"],
        "ipython": ["-m", "IPython", "--no-banner", "--colors=NoColor", str(file)],
    }[way]

    done = run_python(
        *arguments,
        stdin=PROGRAM if way == "stdin" else "",
        cwd=tmp_path,
        IPYTHONDIR=str(tmp_path / "ipython"),
    )

    assert done.stdout.split() == ["same"], done.stderr
    assert (done.stderr, done.returncode) == ("", 0)
