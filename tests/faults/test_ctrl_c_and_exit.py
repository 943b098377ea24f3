"""Ctrl-C shows one traceback, the user's; an interpreter exits at once and silently."""

from __future__ import annotations

import signal
import time

import pytest
from programs import GONE_S, Ends, begun, run
from test_consumer_ends import CONSUMER

EXIT_S = 2.0
"""Under a second on a quiet machine; these tests share theirs."""

CTRL_C = {
    "in next": "for batch in OrderedEnqueuer(Sleeper(FOLDER), workers=2):\n    pass",
    "in get": "next(OrderedEnqueuer(Sleeper(FOLDER), workers=2).get())",
    "in the loop's body": """
for batch in OrderedEnqueuer(Full(), workers=2):
    time.sleep(600)
""",
    "in a with": """
with OrderedEnqueuer(Sleeper(FOLDER), workers=2) as enqueuer:
    for batch in enqueuer:
        pass
""",
    "in worker_init": """
def slow(slot):
    time.sleep(600)
for batch in OrderedEnqueuer(Full(), workers=2, worker_init=slow):
    pass
""",
    "with workers stuck in C": """
class Stuck(Full):
    def __getitem__(self, index):
        import ctypes
        ctypes.PyDLL(None).sleep(600)
with OrderedEnqueuer(Stuck(), workers=2) as enqueuer:
    next(iter(enqueuer))
""",
    "inline": "next(iter(OrderedEnqueuer(Sleeper(FOLDER), workers=0)))",
}


@pytest.mark.parametrize("where", CTRL_C)
def test_ctrl_c_shows_one_traceback_and_leaves_nobody(where, tmp_path):
    text = CONSUMER + (
        f"FOLDER = {str(tmp_path)!r}\n"
        "def tell_when_blocked():\n"
        "    time.sleep(0.7)\n"  # until the loop blocks: nothing in it can say that it does
        "    tell(*workers())\n"
        "threading.Thread(target=tell_when_blocked, daemon=True).start()\n"
    )
    with begun(text + CTRL_C[where], tmp_path) as program:
        workers = program.read_pids()
        with Ends(workers) as ends:
            interrupted = time.monotonic()
            program.interrupt()
            status, errors = program.wait()
            took_s = time.monotonic() - interrupted

            assert ends.left_after(GONE_S) == []
    assert len(workers) == (0 if where == "inline" else 2)
    assert status == -signal.SIGINT
    assert errors.count("Traceback (most recent call last)") == 1, errors
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert took_s < EXIT_S


def test_ctrl_c_that_is_caught_leaves_an_enqueuer_that_goes_on(tmp_path):
    text = CONSUMER + (
        "class Once(Sleeper):\n"
        "    def __len__(self): return 12\n"
        "    def __getitem__(self, index):\n"
        "        if index == 3 and (self.scratch / 'begun-3').exists():\n"
        "            return Full.__getitem__(self, index)\n"
        "        return super().__getitem__(index)\n"
        f"enqueuer = OrderedEnqueuer(Once({str(tmp_path)!r}, slow={{3}}), workers=2)\n"
        "iterator = iter(enqueuer)\n"
        "delivered = [next(iterator)[0] for _ in range(3)]\n"
        "while not os.path.exists('begun-3'): time.sleep(0.01)\n"
        "tell('ready')\n"
        "try:\n"
        "    next(iterator)\n"
        "except KeyboardInterrupt:\n"
        "    tell('caught')\n"
        "for pid in workers(): os.kill(pid, signal.SIGKILL)\n"
        "delivered += [batch[0] for batch in iterator]\n"
        "tell(*delivered)\n"
    )
    with begun(text, tmp_path, PYTHONWARNINGS="ignore") as program:
        assert program.read_line() == "ready"
        time.sleep(0.1)  # into next()
        program.interrupt()

        assert program.read_line() == "caught"
        assert program.read_pids() == list(range(12))
        assert program.wait() == (0, "")


LEFT_ALIVE = {
    "an iterator": "iterator = iter(OrderedEnqueuer(Full(1000), workers=2)); next(iterator)",
    "a get": "stream = OrderedEnqueuer(Full(), workers=2).get(); next(stream)",
    "a started enqueuer": "enqueuer = OrderedEnqueuer(Full(), workers=2); enqueuer.start()",
    "an enqueuer after its epoch": "enqueuer = OrderedEnqueuer(Full(), workers=2); list(enqueuer)",
    "batches": "kept = list(OrderedEnqueuer(Full(100, nbytes=1 << 20), workers=2))",
    "busy workers": """
enqueuer = OrderedEnqueuer(Sleeper(os.getcwd(), slow={1, 2, 3}), workers=3)
iterator = iter(enqueuer)
next(iterator)
while not os.path.exists('begun-1'): time.sleep(0.01)
""",
    "two enqueuers": """
one, other = (iter(OrderedEnqueuer(Full(50), workers=1)) for _ in range(2))
next(one), next(other)
""",
    "a cycle": """
class Model: pass
model = Model()
model.enqueuer = OrderedEnqueuer(Full(), workers=2)
model.iterator, model.itself = iter(model.enqueuer), model
next(model.iterator)
""",
    "a loop in a generator": """
def stream():
    with OrderedEnqueuer(Full(), workers=2) as enqueuer:
        yield from enqueuer
batches = stream()
next(batches)
""",
    "a thread that iterates": """
def forever():
    for batch in OrderedEnqueuer(Full(), workers=2).get():
        pass
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.5)
""",
}


@pytest.mark.parametrize("exit_status", [0, 5])
@pytest.mark.parametrize("alive", LEFT_ALIVE)
def test_interpreter_exits_at_once_and_silently_with(alive, exit_status, tmp_path):
    text = (
        CONSUMER
        + LEFT_ALIVE[alive]
        + f"\ntell(*workers())\ntell('leaving')\nsys.exit({exit_status})\n"
    )
    with begun(text, tmp_path) as program:
        workers = program.read_pids()
        with Ends(workers) as ends:
            program.read_line()
            leaving = time.monotonic()
            status, errors = program.wait()
            took_s = time.monotonic() - leaving

            assert ends.left_after(GONE_S) == []
    assert (status, errors) == (exit_status, "")
    assert took_s < EXIT_S
    assert workers or alive == "batches"


def test_uncaught_exception_in_the_loop_is_the_only_traceback(tmp_path):
    completed = run(
        CONSUMER
        + "for batch in OrderedEnqueuer(Full(), workers=2):\n    raise LookupError('the user')\n",
        tmp_path,
    )

    assert completed.returncode == 1
    assert completed.stderr.count("Traceback") == 1
    assert completed.stderr.endswith("LookupError: the user\n")
