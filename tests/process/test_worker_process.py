"""The process that a worker is: its signals, descriptors, memory settings, and how it is forked."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings

import pytest
from interpreter import run_code

from seqloader import BatchedSequence, OrderedEnqueuer, Sequence
from seqloader.executors.process.wire.tunables import sets_malloc

METHODS = ["spawn", "fork"]


class Looks(Sequence):
    """Batch i is what `look()` finds in a worker."""

    def __init__(self, look, length=1):
        self.look = look
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return self.look()


# --- Signals ------------------------------------------------------------------------------

INTERRUPTED = """
    import os, signal, subprocess, sys, time
    from seqloader import OrderedEnqueuer, Sequence

    class Runs(Sequence):
        def __len__(self):
            return 1
        def __getitem__(self, index):
            begun = time.monotonic()
            tool = subprocess.Popen(["sleep", "30"])
            os.kill(os.getpid(), signal.SIGINT)
            tool.send_signal(signal.SIGINT)
            code = tool.wait()
            os.kill(os.getpid(), signal.SIGINT)
            return code

    if sys.argv[2:]:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with OrderedEnqueuer(Runs(), workers=1, start_method=sys.argv[1]) as enqueuer:
        print(*enqueuer)
"""


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupt_ends_a_tool_and_not_the_worker_that_started_it(method):
    done = run_code(INTERRUPTED, method)

    assert (done.stdout, done.stderr) == (f"{-signal.SIGINT}\n", "")


IGNORES = """
    import signal, subprocess, sys
    from seqloader import OrderedEnqueuer, Sequence

    class Asks(Sequence):
        def __len__(self):
            return 1
        def __getitem__(self, index):
            status = ["grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"]
            lines = subprocess.run(status, capture_output=True, text=True).stdout.split()
            blocked, ignored = (int(word, 16) for word in lines[1::2])
            return [
                f"{blocked:x}",
                *(s.name for s in signal.Signals if ignored >> (s - 1) & 1),
            ]

    if sys.argv[2:]:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with OrderedEnqueuer(Asks(), workers=1, start_method=sys.argv[1]) as enqueuer:
        print(*list(enqueuer)[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.parametrize("method", METHODS)
def test_tools_of_a_worker_ignore_the_signals_of_the_terminal_alone(method):
    """A background group that reads or writes there would be stopped, and its worker wait."""
    assert run_code(IGNORES, method).stdout.split() == ["0", "SIGTTIN", "SIGTTOU"]


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.parametrize("method", METHODS)
def test_an_interrupt_that_the_consumer_ignores_is_ignored_by_tools_too(method):
    done = run_code(IGNORES, method, "ignored")

    assert done.stdout.split() == ["0", "SIGINT", "SIGTTIN", "SIGTTOU"]


# --- Descriptors --------------------------------------------------------------------------


def test_a_descriptor_above_the_limit_is_no_obstacle_and_closed_in_workers():
    script = """
        import os, resource
        from seqloader import OrderedEnqueuer, Sequence

        class Looks(Sequence):
            def __len__(self):
                return 3
            def __getitem__(self, index):
                try:
                    os.fstat(251)
                except OSError:
                    return index
                return "open"

        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096))
        os.fstat(251)
        with OrderedEnqueuer(Looks(), workers=2) as enqueuer:
            print(*enqueuer)
        os.fstat(251)
    """
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(null, 251)
        done = run_code(script, pass_fds=(251,))
    finally:
        os.close(null)
        os.close(251)

    assert (done.stdout, done.stderr) == ("0 1 2\n", "")


# --- malloc -------------------------------------------------------------------------------


def address_of_a_large_array():
    import numpy as np

    array = np.ones(2_000_000)
    address = array.__array_interface__["data"][0]
    with open("/proc/self/maps") as maps:
        for line in maps:
            low, high = (int(number, 16) for number in line.split()[0].split("-"))
            if low <= address < high:
                return "heap" if "[heap]" in line else "mapped"
    return "nowhere"


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
@pytest.mark.parametrize("where", ["environment", "worker_env"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_MMAP_THRESHOLD_", "65536"),
        ("MALLOC_TRIM_THRESHOLD_", "131072"),
        ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=65536"),
    ],
)
def test_malloc_is_as_the_user_has_set_it(monkeypatch, where, name, value):
    for known in ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(known, raising=False)
    env = {name: value} if where == "worker_env" else {}
    if where == "environment":
        monkeypatch.setenv(name, value)

    with OrderedEnqueuer(Looks(address_of_a_large_array), workers=1, worker_env=env) as enqueuer:
        assert list(enqueuer) == ["mapped"]


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_malloc_keeps_large_arrays_otherwise(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")  # says nothing about that

    with OrderedEnqueuer(Looks(address_of_a_large_array), workers=1) as enqueuer:
        assert list(enqueuer) == ["heap"]


@pytest.mark.parametrize(
    ("environment", "sets"),
    [
        ({}, False),
        ({"MALLOC_ARENA_MAX": "2"}, False),
        ({"GLIBC_TUNABLES": "glibc.cpu.x86_non_temporal_threshold=0x400000"}, False),
        ({"GLIBC_TUNABLES": "glibc.malloc.check=1:glibc.malloc.trim_threshold=1"}, True),
        ({"MALLOC_TOP_PAD_": "0"}, True),
        ({"MALLOC_MMAP_MAX_": "9"}, True),
    ],
)
def test_what_counts_as_a_setting_of_malloc(environment, sets):
    assert sets_malloc(environment) is sets


# --- Forks --------------------------------------------------------------------------------


def test_workers_that_two_threads_fork_at_once_each_belong_to_their_own_pool():
    """The first thread is held in the middle of its fork until the second has had its own."""
    second_is_done = threading.Event()
    held = []

    def hold():
        if threading.current_thread().name == "first" and not held:
            held.append(True)
            second.start()
            assert second_is_done.wait(20)

    os.register_at_fork(before=hold)
    found, respawns = {}, {}

    def run(number, started=lambda: None):
        sequence = Looks(lambda: number, length=4)
        enqueuer = OrderedEnqueuer(sequence, workers=1, start_method="fork")
        enqueuer.start()
        started()
        found[number] = list(enqueuer)
        respawns[number] = enqueuer.stats().respawns
        enqueuer.stop()

    second = threading.Thread(target=run, args=(2, second_is_done.set))
    first = threading.Thread(target=run, args=(1,), name="first")
    first.start()
    first.join()
    second.join()

    assert found == {1: [1] * 4, 2: [2] * 4}
    assert respawns == {1: 0, 2: 0}


class Bound(Sequence):
    """Batch i is what its attributes are, and the worker's process id."""

    __slots__ = ("added", "removed", "slot")

    default = 1

    def __init__(self):
        self.value = self.default = self.slot = self.removed = 1

    def __len__(self):
        return 20

    def __getitem__(self, index):
        values = self.value, self.default, self.slot, hasattr(self, "added"), hasattr(self, "more")
        return (*values, hasattr(self, "removed")), os.getpid()

    def __setattr__(self, name, value):
        if os.getpid() != CONSUMER:
            raise AssertionError("a class of the user's has no say in a worker's start")
        super().__setattr__(name, value)


CONSUMER = os.getpid()


def test_a_forked_replacement_has_the_attributes_of_the_epochs_beginning():
    sequence = Bound()

    with OrderedEnqueuer(sequence, workers=1, start_method="fork", max_queue_size=2) as enqueuer:
        batches = iter(enqueuer)
        facts, pid = next(batches)
        sequence.value = sequence.default = sequence.slot = 2
        sequence.added = sequence.more = 2
        del sequence.removed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.kill(pid, signal.SIGKILL)
            rest = list(batches)
        following = list(enqueuer)

    assert {pid} < {one for _, one in rest} | {pid}  # there was a replacement
    assert {facts, *(one for one, _ in rest)} == {(1, 1, 1, False, False, True)}
    assert {one for one, _ in following} == {(2, 2, 2, True, True, False)}
    assert sequence.value == 2  # in the consumer it is as it was bound


class Wrapped:
    """A dataset that is told its epoch."""

    def __init__(self):
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return self.epoch, hasattr(self, "added"), os.getpid()


def test_a_forked_replacement_has_what_was_bound_inside_the_sequence_too():
    dataset = Wrapped()
    sequence = BatchedSequence(dataset, 1, collate=lambda samples: samples[0])

    with OrderedEnqueuer(sequence, workers=1, start_method="fork", max_queue_size=2) as enqueuer:
        batches = iter(enqueuer)
        first = next(batches)
        dataset.set_epoch(1)
        dataset.added = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.kill(first[2], signal.SIGKILL)
            rest = list(batches)
        following = list(enqueuer)

    assert {facts[:2] for facts in (first, *rest)} == {(0, False)}
    assert {facts[:2] for facts in following} == {(1, True)}
    assert vars(sequence).keys() == vars(BatchedSequence(dataset, 1)).keys()


# --- How it ended -------------------------------------------------------------------------

DIES = """
    import os, signal, sys
    from seqloader import OrderedEnqueuer, Sequence, WorkerLostError

    def occupied(megabytes):
        return b"x" * (megabytes << 20)

    class Dies(Sequence):
        def __len__(self):
            return 1
        def __getitem__(self, index):
            block = occupied(int(sys.argv[2]))
            os.kill(os.getpid(), signal.SIGKILL)

    block = occupied(int(sys.argv[1]))
    try:
        list(OrderedEnqueuer(Dies(), workers=1, crash_retries=0))
    except WorkerLostError as error:
        peak = error.peak_rss_bytes
        print(peak and peak >> 20, "GiB resident" in str(error))
"""


def test_the_consumers_memory_does_not_pass_for_that_of_a_worker_that_died():
    assert run_code(DIES, "300", "0").stdout == "None False\n"


def test_what_a_worker_had_that_died_is_said_where_it_is_more_than_the_consumer_had():
    peak, _, said = run_code(DIES, "0", "300").stdout.partition(" ")

    assert 300 < int(peak) < 500 and said == "True\n"
