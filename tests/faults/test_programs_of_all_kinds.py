"""Programs as people write them: no `__main__` guard, `-c`, standard input, a prompt, lambdas."""

from __future__ import annotations

import sys

import pytest
from programs import run

UNGUARDED = """
import dataclasses, sys
import numpy as np
from seqloader import OrderedEnqueuer, Sequence

print("imported", flush=True)
scale = 10

class Squares(Sequence):
    def __init__(self, transform):
        self.transform = transform
    def __len__(self):
        return 8
    def __getitem__(self, index):
        return self.transform(np.full(4, index)) * scale

offset = 3
with OrderedEnqueuer(Squares(lambda array: array ** 2 + offset), workers=2) as enqueuer:
    for epoch in range(2):
        print([int(batch[0]) for batch in enqueuer], flush=True)
"""

EPOCH = str([(i * i + 3) * 10 for i in range(8)])
PRINTED = ["imported", EPOCH, EPOCH]


def test_script_without_a_main_guard_runs_once(tmp_path):
    completed = run(UNGUARDED, tmp_path)

    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.splitlines() == PRINTED


COMMANDS = {
    "-c": ([sys.executable, "-c", UNGUARDED], ""),
    "standard input": ([sys.executable, "-"], UNGUARDED),
    "-m": ([sys.executable, "-m", "program"], ""),
    "-O": ([sys.executable, "-O", "program.py"], ""),
    "-W error": ([sys.executable, "-W", "error", "program.py"], ""),
    "-X dev": ([sys.executable, "-X", "dev", "program.py"], ""),
    "-bb": ([sys.executable, "-bb", "-X", "utf8", "program.py"], ""),
    "-I": (
        [sys.executable, "-I", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{UNGUARDED}"],
        "",
    ),
}


@pytest.mark.parametrize("how", COMMANDS)
def test_program_runs_as(how, tmp_path):
    command, stdin = COMMANDS[how]

    completed = run(UNGUARDED, tmp_path, command=command, stdin=stdin)

    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.splitlines() == PRINTED


def test_prompt_runs_it(tmp_path):
    lines = UNGUARDED.replace("    def", "  def").replace("\nclass", "\nclass").strip()
    typed = lines.replace("\n\noffset", "\n\n\noffset") + "\n\n"

    completed = run(typed, tmp_path, command=[sys.executable, "-i", "-q"], stdin=typed)

    assert "Traceback" not in completed.stderr
    assert [line for line in completed.stdout.splitlines() if line] == PRINTED


OF_MAIN = """
import dataclasses
import numpy as np
from collections import namedtuple
from seqloader import OrderedEnqueuer

@dataclasses.dataclass
class Pair:
    image: np.ndarray
    label: int

Point = namedtuple("Point", "x y")

class Fault(Exception):
    def __init__(self, index, reason):
        super().__init__(f"{reason} {index}")
        self.index = index

class Batches:
    kinds = [lambda i: Pair(np.full(9, i), i), lambda i: Point(np.full(3, i), i)]
    def __len__(self):
        return 7
    def __getitem__(self, index):
        if index == 5:
            raise Fault(index, "broken")
        return self.kinds[index % 2](index)

seen = []
try:
    for batch in OrderedEnqueuer(Batches(), workers=2):
        assert isinstance(batch, (Pair, Point)), type(batch)
        assert type(batch) is (Point if len(seen) % 2 else Pair)
        seen.append(int(batch[1] if type(batch) is Point else batch.label))
except Fault as fault:
    assert isinstance(fault, Fault) and type(fault) is Fault
    print(seen, fault, fault.index)
"""


@pytest.mark.parametrize("command", [None, [sys.executable, "-c", OF_MAIN]], ids=["file", "-c"])
def test_classes_and_exceptions_of_main_are_its_own_in_the_consumer(command, tmp_path):
    completed = run(OF_MAIN, tmp_path, command=command)

    assert completed.stderr == ""
    assert completed.stdout == "[0, 1, 2, 3, 4] broken 5 5\n"


def test_module_of_the_users_with_a_name_of_the_standard_library_does_no_harm(tmp_path):
    (tmp_path / "struct.py").write_text("raise RuntimeError('the wrong struct')")

    # A script's own folder comes first in its sys.path, whatever one does; `-P` leaves it out.
    completed = run(UNGUARDED, tmp_path, command=[sys.executable, "-P", "program.py"])

    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.splitlines() == PRINTED


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_worker_prints_reach_the_programs_output_line_by_line(unbuffered, tmp_path):
    completed = run(
        """
import multiprocessing, sys
from seqloader import OrderedEnqueuer
class Talks:
    def __init__(self): self.amid_a_line = multiprocessing.get_context("spawn").Barrier(2)
    def __len__(self): return 4
    def __getitem__(self, index):
        for stream, what in ((sys.stdout, "out"), (sys.stderr, "err")):
            stream.write(what)
            self.amid_a_line.wait()
            print("", index, file=stream)
        return index
print(*OrderedEnqueuer(Talks(), workers=2), flush=True)
""",
        tmp_path,
        PYTHONUNBUFFERED=unbuffered,
    )

    assert sorted(completed.stdout.splitlines()) == ["0 1 2 3", *(f"out {i}" for i in range(4))]
    assert sorted(completed.stderr.splitlines()) == [f"err {i}" for i in range(4)]


def test_program_whose_working_directory_is_gone(tmp_path):
    leave = "import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
    trial = run("", tmp_path, command=[sys.executable, "-c", leave + "import numpy"])
    if trial.returncode:
        pytest.skip(f"numpy cannot be imported there: {trial.stderr.splitlines()[-1]}")
    text = leave + UNGUARDED
    command = [sys.executable, "-c", text]

    completed = run(text, tmp_path, command=command)

    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.splitlines() == PRINTED


@pytest.mark.parametrize("executable", ["/nonexistent/python", "/bin/false", "/"])
def test_interpreter_that_cannot_run_workers_is_an_error_that_says_so(executable, tmp_path):
    text = f"""
import multiprocessing, warnings
from seqloader import OrderedEnqueuer
from seqloader.errors import WorkerStartError
warnings.simplefilter("ignore")
multiprocessing.set_executable({executable!r})
try:
    next(iter(OrderedEnqueuer([1, 2, 3], workers=2)))
except WorkerStartError as error:
    print(error)
"""
    completed = run(text, tmp_path)

    assert (completed.returncode, completed.stderr) == (0, "")
    assert "cannot start a worker" in completed.stdout or "exit status 1" in completed.stdout
