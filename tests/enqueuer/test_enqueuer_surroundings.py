"""What an enqueuer leaves alone in the process that uses it (P7), and others beside it (P14)."""

from __future__ import annotations

import gc
import locale
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from multiprocessing import resource_tracker

import numpy as np
import pytest
from interpreter import run_code
from sequences_for_tests import Growing, Numbers, Once, Random

from seqloader import ForkedEnqueuerError, OrderedEnqueuer


def surroundings():
    return {
        "threads": threading.active_count(),
        "signals": {s: signal.getsignal(s) for s in signal.valid_signals()},
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "wakeup": signal.set_wakeup_fd(signal.set_wakeup_fd(-1)),
        "switch": sys.getswitchinterval(),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "children": multiprocessing.active_children(),
        "tracker": resource_tracker._resource_tracker._fd,
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "path": list(sys.path),
        "argv": list(sys.argv),
        "filters": list(warnings.filters),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook),
        "gc": (gc.isenabled(), gc.get_threshold(), len(gc.callbacks)),
        "locale": locale.setlocale(locale.LC_ALL),
        "numpy errors": np.geterr(),
        "umask": os.umask(os.umask(0o22)),
        "affinity": os.sched_getaffinity(0),
        "group": os.getpgrp(),
        "nice": os.nice(0),
        "inheritable": {fd: is_inheritable(fd) for fd in (0, 1, 2)},
    }


def is_inheritable(fd):
    try:
        return os.get_inheritable(fd)
    except OSError:
        return None


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_nothing_in_the_consumers_process_changes(make_any, kind):
    with make_any(Numbers(length=5), executor=kind) as warm_up:  # imports, the one fork hook
        list(warm_up)
    before = surroundings()

    enqueuer = make_any(Random(length=5), executor=kind, seed=3)
    enqueuer.start()
    started = surroundings()
    list(enqueuer)
    used = surroundings()
    enqueuer.stop()

    assert started == before
    assert used == before
    assert surroundings() == before


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_the_first_start_of_a_process_adds_no_thread_and_no_handler(kind):
    script = f"""
        import multiprocessing, signal, sys, threading
        from multiprocessing import resource_tracker
        def state():
            handlers = [signal.getsignal(s) for s in signal.valid_signals()]
            return (threading.active_count(), handlers, resource_tracker._resource_tracker._fd,
                    multiprocessing.get_start_method(allow_none=True), list(sys.path))
        from seqloader import OrderedEnqueuer
        before = state()
        with OrderedEnqueuer([1, 2, 3], executor={kind!r}, workers=2) as enqueuer:
            assert state() == before
            assert list(enqueuer) == [1, 2, 3]
            assert state() == before
        assert state() == before
        print("same")
    """
    done = run_code(script)

    assert (done.stdout, done.stderr, done.returncode) == ("same\n", "", 0)


def test_no_process_is_forked_without_an_exec_by_default(make_any):
    forks = []
    os.register_at_fork(before=lambda: forks.append(1))

    list(make_any(Numbers(length=5)))

    assert forks == []


def test_workers_get_the_consumers_directory_path_and_environment(make_any, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQLOADER_TEST_VALUE", "from the consumer")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))

    def look(index):
        return os.getcwd(), os.environ.get("SEQLOADER_TEST_VALUE"), list(sys.path)

    [(directory, value, path)] = make_any(Once(look))

    assert directory == str(tmp_path)
    assert value == "from the consumer"
    assert path[0] == str(tmp_path / "modules")
    assert set(map(os.path.abspath, sys.path)) <= set(map(os.path.abspath, path))


def test_worker_env_and_threads_per_worker_reach_the_workers(make_any, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")

    def look(index):
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "A")
        return tuple(os.environ.get(name) for name in names)

    sequence = Once(look)
    assert list(make_any(sequence)) == [("1", "7", None)]
    assert list(make_any(sequence, threads_per_worker=3)) == [("3", "3", None)]
    env = {"OMP_NUM_THREADS": "5", "A": "b"}
    assert list(make_any(sequence, threads_per_worker=3, worker_env=env)) == [("5", "3", "b")]
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_worker_init_runs_once_in_each_worker_before_its_first_batch(make_any, tmp_path, kind):
    from sequences_for_tests import Journal

    journal = Journal(tmp_path / "journal")

    def init(slot):
        journal.note(f"init {slot}")

    def batch_of(index):
        journal.note("batch")
        return index

    enqueuer = make_any(Once(batch_of, length=30), executor=kind, worker_init=init)
    for _ in range(2):
        assert list(enqueuer) == list(range(30))

    lines = journal.lines()
    assert lines[0].startswith("init")
    begun = [line for line in lines if line != "batch"]
    assert set(begun) <= {"init 0", "init 1"}  # one that starts late may have missed all batches
    assert len(begun) == len(set(begun))


# --- Several at once --------------------------------------------------------------------


def test_validation_runs_in_the_middle_of_training(make):
    train, validation = make(Growing(length=12)), make(Numbers(length=4, value=7))

    for epoch in range(2):
        trained, validated = [], []
        for batch in train:
            trained.append(int(batch[0, 0]))
            if len(trained) % 6 == 0:
                validated.append([int(batch[0, 0]) for batch in validation])
        assert trained == [5**epoch * k for k in range(12)]
        assert validated == [[0, 7, 14, 21]] * 2


def test_any_number_side_by_side_share_nothing(make_any):
    kinds = ["inline", "thread", "process", "process"]
    enqueuers = [
        make_any(Growing(length=6, value=k + 1), executor=kind, seed=k)
        for k, kind in enumerate(kinds)
    ]
    streams = [enqueuer.get() for enqueuer in enqueuers]

    rounds = [[int(next(stream)[0, 0]) for stream in streams] for _ in range(12)]
    enqueuers[2].stop()
    rest = [int(next(streams[3])[0, 0]) for _ in range(6)]

    for turn, values in enumerate(rounds):
        scale = 5 ** (turn // 6)
        assert values == [scale * (k + 1) * (turn % 6) for k in range(4)]
    assert rest == [25 * 4 * k for k in range(6)]


def test_two_enqueuers_may_share_one_sequence(make, take):
    sequence = Numbers(length=5)
    one, other = make(sequence), make(sequence, shuffle=True)

    pairs = [(int(a[0, 0]), int(b[0, 0])) for a, b in zip(one, other, strict=True)]

    assert [a for a, _ in pairs] == [0, 1, 2, 3, 4]
    assert sorted(b for _, b in pairs) == [0, 1, 2, 3, 4]


def test_enqueuers_of_several_threads_do_not_disturb_each_other(executor):
    found = {}

    def run(number):
        with OrderedEnqueuer(
            Numbers(length=20, value=number), executor=executor, workers=1
        ) as enqueuer:
            found[number] = [int(batch[0, 0]) for batch in enqueuer]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {number: [number * k for k in range(20)] for number in range(1, 4)}


def test_an_enqueuer_inside_a_worker_of_another(make_any):
    def batch_of(index):
        with OrderedEnqueuer([1, 2, 3], workers=1) as inner:
            return sum(inner) + index

    assert list(make_any(Once(batch_of, length=2), workers=1)) == [6, 7]


def test_a_forked_child_is_told_that_the_enqueuer_is_not_its_own(make, take):
    enqueuer = make(Numbers(length=10))
    iterator = iter(enqueuer)
    take(iterator, 2)

    def in_child():
        wrong = []
        for name, call in {
            "next": lambda: next(iterator),
            "iter": lambda: iter(enqueuer),
            "get": enqueuer.get,
            "start": enqueuer.start,
            "peek": enqueuer.peek,
        }.items():
            try:
                call()
            except ForkedEnqueuerError:
                continue
            except BaseException as error:
                name = f"{name}: {error!r}"
            wrong.append(name)
        enqueuer.stop()
        return wrong

    assert answer_of_a_fork(in_child) == "[]"
    assert [int(batch[0, 0]) for batch in iterator] == list(range(2, 10))


def answer_of_a_fork(call):
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writer, repr(call()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return text
