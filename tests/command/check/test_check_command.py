"""`seqloader check` as a user meets it: real Sequences, real processes. No time is asserted."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys

import pytest

from seqloader.command.check.finding import Question
from seqloader.command.cli import main

# The path of the tests, since the package may not be installed.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
SHORT = ["--batches", "4", "--workers", "1", "--kills", "1"]  # few starts

BASE = """
    import threading
    import time

    from seqloader import batch_context


    class Good(Sequence):
        def __len__(self):
            return 12

        def __getitem__(self, index):
            noise = batch_context().rng.normal(size=(4, 5))
            return {"x": noise, "y": np.full(4, index)}
"""

SHUFFLING_HOOK = """
        def __getitem__(self, index):
            return self.order[index]

        def on_epoch_end(self):
            np.random.shuffle(self.order)

        def __init__(self):
            self.order = np.arange(12)
"""

BAD = {
    "counter": (
        """
        calls = 0

        def __getitem__(self, index):
            self.calls += 1
            return np.full(3, self.calls)
        """,
        {"determinism", "mutation"},
        ["what the same process computed before", "self.calls (int)", "is lost"],
    ),
    "leak": (
        """
        kept = []

        def __getitem__(self, index):
            time.sleep(0.003)  # so that there is time for few batches only
            self.kept.append(np.ones(5000))
            return np.full(3, index)
        """,
        {"memory"},
        [
            "its own memory grew by 40.",
            "per epoch of 12 batches",
            "of it at work_",
            "Bad.kept grew",
        ],
    ),
    "shuffling hook, lock": (
        SHUFFLING_HOOK
        + """
            self.lock = threading.Lock()
        """,
        {"resume", "pickling"},
        [
            "what hooks did in earlier epochs",
            "state_dict() and load_state_dict(state)",
            "sequence.lock, a _thread.lock, cannot be pickled",
            "start_method='fork'",
        ],
    ),
    "hook that crashes": (
        """
        def on_epoch_end(self):
            os.kill(os.getpid(), 11)
        """,
        {"hooks"},
        ["while turning epochs, its process died by SIGSEGV", "training process itself"],
    ),
}

FAILING = """
        def __getitem__(self, index):
            if index == 11:
                raise KeyError("no such sample")
            if index == 0:
                os._exit(3)
            return {"lock": threading.Lock()} if index == 3 else index
        """


def bad(method):
    body = "\n".join(line for line in method.splitlines() if line.strip())
    return BASE + "\n\n    class Bad(Good):\n" + body + "\n"


@pytest.fixture
def check(capsys):
    """Runs the command in this process: status, its document, and what it said of errors."""

    def run(*arguments):
        status = main(["check", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def statuses(document):
    return {each["question"]: each["status"] for each in document["findings"]}


def words_of(document, question):
    [finding] = [each for each in document["findings"] if each["question"] == question]
    return f"{finding['seen']}. {finding['why']}. {finding['advice']}. {finding['detail']}"


def test_a_good_sequence_is_ok_in_everything(write_module, tmp_path):
    name = write_module(BASE)

    ended = subprocess.run(
        [sys.executable, "-m", "seqloader", "check", f"{name}.py:Good"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.startswith(f"{name}.py:Good: Good, 12 batches; tried: all of them; seed 0")
    assert ended.stdout.count("\nok ") == len(Question)
    assert "no problems, no notes, 8 of 8 ok" in ended.stdout
    assert all(len(line) <= 100 for line in ended.stdout.splitlines()[1:])
    assert "checking: killing workers" in ended.stderr
    assert {path.suffix for path in tmp_path.iterdir()} <= {".py", ""}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_sequence_is_a_problem_in_the_right_words(case, check, write_module):
    method, problems, said = BAD[case]
    name = write_module(bad(method))
    little = ["--budget-seconds", "20"] if case == "leak" else []

    status, out, _ = check(f"{name}:Bad", *SHORT, *little, "--json")

    document = json.loads(out)
    found = statuses(document)
    assert status == document["exit_status"] == 1
    assert {each for each, status in found.items() if status == "problem"} == problems
    assert list(found) == [*Question]
    told = " ".join(words_of(document, question) for question in problems)
    for words in said:
        assert words in told


def test_what_was_found_is_printed_with_why_and_what_to_do(check, write_module):
    name = write_module(bad(FAILING))

    status, out, err = check(f"{name}:Bad", *SHORT)

    assert status == 1
    assert out.count("\nproblem  ") == 1
    assert "\nproblem  Can all batches be computed, and how do they vary?\n" in out
    told = " ".join(out.split())
    for failure in (
        "1 of 4 batches tried raised: batch 11 (KeyError: 'no such sample')",
        "1 of 4 batches tried ended their process: batch 0 (its process ended with exit status 3)",
        '(3): batch["lock"], a _thread.lock, cannot be pickled',
    ):
        assert failure in told
    assert "\n         Why: Code in C that crashes" in out
    assert "\n         Do: Reproduce it alone with sequence[11]" in out
    assert "KeyError: 'no such sample'\n" in out
    assert f"{name}.py" in out
    assert "seqloader/command/check" not in out
    assert "Traceback" not in err


def test_notes_leave_the_status_at_0(check, write_module):
    method = """
        def __init__(self):
            self.cache = {}

        def __getitem__(self, index):
            return self.cache.setdefault(index, index * 2)
        """
    name = write_module(bad(method))

    status, out, _ = check(f"{name}:Bad", *SHORT, "--json", "--workers", "0")

    document = json.loads(out)
    assert status == 0
    assert statuses(document)["mutation"] == "note"
    assert "self.cache (dict" in words_of(document, "mutation")
    assert "nobody to kill" in words_of(document, "kills")
    assert statuses(document)["resume"] == "ok"


def test_a_sequence_that_saves_what_its_hook_changes_resumes_whatever_it_prints(
    write_module, capfd
):
    method = (
        SHUFFLING_HOOK
        + """
        def state_dict(self):
            print("saving", flush=True)
            return {"order": self.order.tolist()}

        def load_state_dict(self, state):
            self.order = np.array(state["order"])
        """
    )
    name = write_module(bad(method) + "\n\n    print('imported')\n")

    status = main(["check", f"{name}:Bad", *SHORT, "--json"])

    said = capfd.readouterr()
    assert status == 0
    assert set(statuses(json.loads(said.out)).values()) == {"ok"}
    assert "imported" in said.err
    assert "saving" in said.err
    assert name not in sys.modules  # the command itself never runs the user's module


def test_too_little_time_is_no_ok(check, write_module):
    method = """
        def __getitem__(self, index):
            time.sleep(0.3)
            return index
        """
    name = write_module(bad(method))

    status, out, _ = check(f"{name}:Bad", "--json", "--budget-seconds", "1")

    document = json.loads(out)
    assert status == 2
    assert document["subject"]["tried"] < 12
    assert statuses(document)["memory"] == statuses(document)["resume"] == "untried"
    assert "--budget-seconds" in words_of(document, "memory")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "def make():\n    raise OSError('no data')\n",
            "OSError: no data\nraised by make()",
        ),
        (
            "def make():\n    os._exit(4)\n",
            "could not be made: its process ended with exit",
        ),
    ],
    ids=["raises", "leaves"],
)
def test_a_sequence_that_cannot_be_made_is_said(source, said, check, write_module):
    name = write_module(source)

    status, out, err = check(f"{name}:make", "--json")

    assert status == 1
    assert said in err
    assert out == ""


WAITING = bad(
    """
        def __getitem__(self, index):
            print("in it", os.getpid(), flush=True)
            time.sleep(1000)
    """
)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=lambda each: each.name)
def test_an_interrupted_or_killed_check_leaves_nobody_behind(signum, write_module, tmp_path):
    name = write_module(WAITING)
    command = [sys.executable, "-m", "seqloader", "check", f"{name}:Bad"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None and running.stdout is not None
        line = next(line for line in running.stderr if line.startswith("in it"))
        child = os.pidfd_open(int(line.split()[-1]))

        running.send_signal(signum)

        # The pipe ends when the last process that holds it has ended.
        rest = running.stderr.read()
        assert running.stdout.read() == ""
    assert running.returncode == (130 if signum == signal.SIGINT else -signal.SIGKILL)
    assert ("interrupted" in rest) == (signum == signal.SIGINT)
    assert "Traceback" not in rest
    with open(child, "rb"):
        # A process that ends closes its files first: it may be on its way still.
        assert select.select([child], [], [], 10)[0]
