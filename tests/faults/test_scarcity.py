"""Little shared memory, few descriptors, no memory, closed standard streams, ignored signals."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deaths import worker_deaths
from programs import Ends, run
from test_consumer_ends import CONSUMER
from victims import Blow, Full, FullMemory, HasChildren, LimitedMemory, Victim, value_of

from seqloader import OrderedEnqueuer

MB = 1 << 20
ROOT = Path(__file__).parents[2]


# --- shared memory -------------------------------------------------------------------------


def _refusal_to_mount() -> str:
    if shutil.which("unshare") is None:
        return "there is no unshare"
    trial = ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /dev/shm"]
    completed = subprocess.run(trial, capture_output=True, text=True, check=False)
    return completed.stderr.strip() if completed.returncode else ""


BIG_BATCHES = (
    CONSUMER
    + """
from victims import value_of
import shutil
assert shutil.disk_usage("/dev/shm").total == 64 << 20
enqueuer = OrderedEnqueuer(Full(8, nbytes=40 << 20), workers=2, max_queue_size=3)
kept = [batch for batch in enqueuer][2:5]
assert [value_of(batch) for batch in kept] == [2, 3, 4]
assert [value_of(batch) for batch in enqueuer] == list(range(8))
enqueuer.stop()
assert not os.listdir("/dev/shm")
tell("done")
"""
)


@pytest.mark.parametrize("without", ["", "memfd"])
def test_batches_of_40_mb_pass_through_a_dev_shm_of_64_mb(without, tmp_path):
    reason = _refusal_to_mount()
    if reason:
        pytest.skip(f"no file system can be mounted here: {reason}")
    mount = "mount -t tmpfs -o size=64m tmpfs /dev/shm && exec"
    command = ["unshare", "-m", "sh", "-c", f"{mount} {sys.executable} program.py"]

    completed = run(BIG_BATCHES, tmp_path, command=command, SEQLOADER_WITHOUT=without)

    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("without", ["memfd", "pidfd", "sigio", "memfd,pidfd,sigio"])
def test_everything_works_without(without, tmp_path, monkeypatch):
    monkeypatch.setenv("SEQLOADER_WITHOUT", without)
    enqueuer = OrderedEnqueuer(
        Victim(Blow("SIGKILL", tmp_path, 2), {3, 8}, nbytes=MB), workers=2, max_queue_size=3
    )
    with enqueuer, worker_deaths():
        delivered = [[value_of(batch) for batch in enqueuer] for _ in range(2)]

    assert delivered == [list(range(12))] * 2
    assert enqueuer.stats().respawns == 2


# --- descriptors ---------------------------------------------------------------------------


def test_a_thousand_batches_can_be_kept_with_64_descriptors(tmp_path):
    text = (
        CONSUMER
        + """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from victims import value_of
enqueuer = OrderedEnqueuer(Full(1000, nbytes=1 << 15), workers=3)
kept = list(enqueuer)
again = list(enqueuer)
assert [value_of(batch) for batch in kept] == list(range(1000))
assert [value_of(batch) for batch in again] == list(range(1000))
assert not np.shares_memory(kept[0], again[0])
enqueuer.stop()
tell("done", len(os.listdir("/proc/self/fd")) < 12)
"""
    )
    completed = run(text.replace("import psutil", "import psutil, numpy as np"), tmp_path)

    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "done True\n", "")


@pytest.mark.parametrize("limit", [12, 16, 20, 24, 30])
def test_too_few_descriptors_are_an_error_that_leaves_nothing(limit, tmp_path):
    text = (
        CONSUMER
        + f"""
import resource
warm = list(OrderedEnqueuer(Full(), workers=1))  # what is opened at first use
before = len(os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, 64))
try:
    enqueuer = OrderedEnqueuer(Full(), workers=4)
    assert len(list(enqueuer)) == 12
except Exception as error:
    problem = error
    tell(isinstance(error, OSError) or "Too many open files" in str(error))
else:
    tell(True)
enqueuer.stop()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
tell(len(os.listdir("/proc/self/fd")) - before, len(workers()))
assert len(list(enqueuer)) == 12, "it cannot be started again"
"""
    )
    completed = run(text, tmp_path)

    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout == "True\n0 0\n"


def test_descriptors_above_1024_will_do(tmp_path):
    text = (
        CONSUMER
        + """
import resource
from victims import value_of
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
warm = Blow("SIGKILL", os.getcwd())
enqueuer = OrderedEnqueuer(Victim(warm, {3}), workers=2, timeout_s=20)
assert [value_of(batch) for batch in enqueuer] == list(range(12))
enqueuer.stop()
tell("done")
"""
    )
    completed = run(text, tmp_path, PYTHONWARNINGS="ignore")

    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("closed", ["0", "1", "2", "012"])
def test_consumer_may_have_its_standard_streams_closed(closed, tmp_path):
    text = """
import os, sys
from pathlib import Path
from seqloader import OrderedEnqueuer
from victims import Blow, Victim, value_of
import warnings; warnings.simplefilter("ignore")
Path("scratch").mkdir()
enqueuer = OrderedEnqueuer(Victim(Blow("SIGKILL", "scratch"), {3}), workers=2)
delivered = [value_of(batch) for batch in enqueuer]
enqueuer.stop()
Path("result").write_text(repr(delivered))
"""
    redirections = " ".join(f"{fd}{'<' if fd == '0' else '>'}&-" for fd in closed)
    command = ["sh", "-c", f"exec {sys.executable} program.py {redirections}"]

    completed = run(text, tmp_path, command=command)

    assert completed.returncode == 0
    assert (tmp_path / "result").read_text() == repr(list(range(12)))


@pytest.mark.parametrize("handler", ["signal.SIG_IGN", "lambda *_: os.waitpid(-1, os.WNOHANG)"])
def test_consumer_may_ignore_or_reap_its_children(handler, tmp_path):
    text = (
        CONSUMER
        + f"""
import warnings
from seqloader.errors import WorkerLostError, WorkerLostWarning
from victims import value_of
signal.signal(signal.SIGCHLD, {handler})
Path("once").mkdir(), Path("always").mkdir()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    enqueuer = OrderedEnqueuer(Victim(Blow("SIGKILL", "once"), {{3}}), workers=2)
    assert [value_of(batch) for batch in enqueuer] == list(range(12))
    enqueuer.stop()
    assert len(caught) == 1
    try:
        list(OrderedEnqueuer(Victim(Blow("SIGKILL", "always", None), {{3}}), workers=2))
    except WorkerLostError as error:
        assert error.exitcode in (None, -9) and error.index == 3
        tell("lost")
assert not workers()
"""
    )
    completed = run(text, tmp_path)

    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "lost\n", "")


# --- memory --------------------------------------------------------------------------------


class _Growing(Full):
    """Batch `big` needs 400 MB of addresses, the others next to nothing."""

    def __init__(self, big: int) -> None:
        super().__init__()
        self.big = big

    def __getitem__(self, index: int):
        if index == self.big:
            return Full(nbytes=400 * MB)[index]
        return super().__getitem__(index)


def test_worker_out_of_addresses_is_a_memory_error_in_its_place():
    enqueuer = OrderedEnqueuer(_Growing(3), workers=2, worker_init=LimitedMemory(200 * MB))
    delivered = []

    with pytest.raises(MemoryError) as caught:
        for batch in enqueuer:
            delivered.append(value_of(batch))

    assert delivered == [0, 1, 2]
    assert "batch 3 " in "\n".join(caught.value.__notes__)
    assert not enqueuer.is_running()


def test_worker_out_of_addresses_lives_on():
    enqueuer = OrderedEnqueuer(
        _Growing(3), workers=2, worker_init=LimitedMemory(200 * MB), on_error="skip"
    )
    with enqueuer, pytest.warns(match="batch 3 .* was skipped"):
        delivered = [[value_of(batch) for batch in enqueuer] for _ in range(2)]

    assert delivered == [[0, 1, 2, *range(4, 12)]] * 2
    assert enqueuer.stats().respawns == 0


@pytest.mark.parametrize("bytes_left", [MB, 0], ids=["for small ones", "not even for the error"])
def test_full_shared_memory_is_a_memory_error_in_its_place(bytes_left):
    sequence = _Growing(3) if bytes_left else Full(nbytes=4 * MB)
    enqueuer = OrderedEnqueuer(sequence, workers=2, worker_init=FullMemory(bytes_left))
    delivered = []

    with pytest.raises(MemoryError) as caught:
        for batch in enqueuer:
            delivered.append(value_of(batch))

    place = 3 if bytes_left else 0
    assert delivered == list(range(place))
    assert f"batch {place} " in "\n".join(caught.value.__notes__)


def test_full_shared_memory_passes_when_batches_are_let_go():
    """Held batches fill it; their memory is used again as soon as they are gone."""
    enqueuer = OrderedEnqueuer(
        Full(60, nbytes=4 * MB), workers=1, max_queue_size=2, worker_init=_Quota(40 * MB)
    )
    with enqueuer:
        delivered = []
        for batch in enqueuer:
            delivered.append(value_of(batch))
            del batch

    assert delivered == list(range(60))


def test_held_batches_that_fill_the_memory_are_an_error_and_keep_their_contents():
    enqueuer = OrderedEnqueuer(
        Full(60, nbytes=4 * MB), workers=1, max_queue_size=2, worker_init=_Quota(40 * MB)
    )
    kept = []

    with pytest.raises(MemoryError):
        for batch in enqueuer:
            kept.append(batch)

    assert 5 <= len(kept) <= 10
    assert [value_of(batch) for batch in kept] == list(range(len(kept)))
    del kept, batch
    gc.collect()
    with enqueuer:
        assert value_of(next(iter(enqueuer))) == 0


class _Quota:
    """As `worker_init`: all blocks together may have so many bytes."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes

    def __call__(self, slot: int) -> None:
        import errno

        allocate = os.posix_fallocate

        def count(fd: int, offset: int, size: int) -> None:
            if size > self.nbytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.nbytes -= size
            allocate(fd, offset, size)

        os.posix_fallocate = count


def test_children_of_a_worker_die_with_it(tmp_path):
    enqueuer = OrderedEnqueuer(HasChildren(tmp_path, "go on"), workers=1)
    with enqueuer, worker_deaths():
        list(enqueuer)
        worker, child = map(int, (tmp_path / "child").read_text().split())
        with Ends([worker, child]) as ends:
            os.kill(worker, signal.SIGKILL)
            assert ends.left_after(0.5) in ([], [child])
            delivered = [value_of(batch) for batch in enqueuer]

            assert ends.left_after(2.0) == []

    assert delivered == list(range(12))


def test_idle_workers_are_not_woken():
    import psutil

    with OrderedEnqueuer(Full(), workers=2) as enqueuer:
        list(enqueuer)
        workers = psutil.Process().children()
        before = sum(worker.num_ctx_switches().voluntary for worker in workers)
        time.sleep(1.0)
        woken = sum(worker.num_ctx_switches().voluntary for worker in workers) - before

        # One each, which may only now have gone to sleep after its last batch; a worker that
        # looks again ten times a second would be woken twenty times.
        assert woken <= 2 * len(workers)


FILES_LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
sys.path[:0] = [{root!r}]
from seqloader import OrderedEnqueuer, shared_empty
class Numbered:
    def __len__(self): return 1
    def __getitem__(self, index): return index
for call in (OrderedEnqueuer(Numbered(), workers=1).start, lambda: shared_empty(10**6)):
    try:
        call()
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_limit_on_the_size_of_files_is_said_to_be_that(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FILES_LIMITED.format(root=str(ROOT))],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    started, shared = done.stdout.splitlines()
    assert started.startswith("WorkerStartError cannot start a worker process: [Errno 27]")
    assert "ulimit -f" in started
    assert shared.startswith("MemoryError no shared memory for an array of 8,000,000 bytes")
    assert "ulimit -f" in shared
