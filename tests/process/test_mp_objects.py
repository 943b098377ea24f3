"""The user's own objects of multiprocessing: in a worker as in a child of multiprocessing."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
from functools import partial
from multiprocessing import resource_tracker, sharedctypes

import numpy as np
import pytest
from interpreter import run_code

from seqloader import OrderedEnqueuer, Sequence

METHODS = ["spawn", "fork"]


@pytest.fixture(scope="module", autouse=True)
def _of_multiprocessings_own():
    """What multiprocessing keeps once it is used: a process that tracks names, and some memory."""
    tracker = resource_tracker._resource_tracker
    started = tracker._fd is None
    tracker.ensure_running()
    memory = sharedctypes.RawValue("i")
    yield
    del memory
    if started:
        tracker._stop()


class Uses(Sequence):
    """Batch i is `use(held, i)`; the first worker that comes to `victim` is killed there."""

    def __init__(self, held, use, length=6, killed=None):
        self.held = held
        self.use = use
        self.length = length
        self.killed = killed

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if self.killed is not None and index == 3 and not self.killed.exists():
            self.killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.use(self.held, index)


def compute(held, use, *, method, **options):
    sequence = Uses(held, use, **options)
    with OrderedEnqueuer(sequence, workers=2, start_method=method) as enqueuer:
        return list(enqueuer)


def context_for(method):
    """Objects of the default context can be inherited by a fork only."""
    return multiprocessing.get_context(method)


# --- Locks, values, queues, pipes ---------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_value_and_its_lock_are_one_for_all_workers_and_the_consumer(method):
    count = context_for(method).Value("i", 0)

    def add(count, index):
        with count.get_lock():
            count.value += 1
        return index

    assert compute(count, add, method=method, length=50) == list(range(50))
    assert count.value == 50


@pytest.mark.parametrize("method", METHODS)
def test_an_array_is_shared_over_epochs_with_a_hook(method):
    class Writes(Uses):
        def on_epoch_end(self):
            self.held[0] += 100

    array = context_for(method).Array("i", 4)

    def write(array, index):
        array[1 + index] += 1
        return array[0]

    with OrderedEnqueuer(Writes(array, write, length=3), workers=1, start_method=method) as e:
        epochs = [list(e) for _ in range(4)]

    assert epochs == [[100 * epoch] * 3 for epoch in range(4)]
    assert array[:] == [400, 4, 4, 4]


def test_workers_stay_while_a_state_with_descriptors_does_not_get_new_ones():
    class Hooked(Uses):
        def on_epoch_end(self):
            self.length += 1

    array = context_for("spawn").RawArray("i", 4)

    def facts(array, index):
        return os.getpid(), len(os.listdir("/proc/self/fd"))

    with OrderedEnqueuer(Hooked(array, facts), workers=1) as enqueuer:
        epochs = [set(enqueuer) for _ in range(5)]

    assert len({pid for epoch in epochs for pid, _ in epoch}) == 1
    assert len({count for epoch in epochs[1:] for _, count in epoch}) == 1  # and nothing piles up


@pytest.mark.parametrize("kind", ["SimpleQueue", "Queue", "JoinableQueue"])
@pytest.mark.parametrize("method", METHODS)
def test_what_workers_put_into_a_queue_arrives(method, kind):
    queue = getattr(context_for(method), kind)()

    def put(queue, index):
        queue.put(("from a worker", index))
        return index

    compute(queue, put, method=method)

    assert sorted(queue.get() for _ in range(6)) == [("from a worker", n) for n in range(6)]
    queue.close()


@pytest.mark.parametrize("method", METHODS)
def test_a_queue_that_the_consumer_has_used_works_in_a_worker(method):
    queue = context_for(method).Queue()
    queue.put("from the consumer")  # it has a thread for this queue now

    def put(queue, index):
        queue.put("from a worker")
        return index

    assert queue.get() == "from the consumer"
    compute(queue, put, method=method, length=1)

    assert queue.get(timeout=20) == "from a worker"
    queue.close()
    queue.join_thread()


@pytest.mark.parametrize("duplex", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_both_ends_of_a_pipe_work_in_workers(method, duplex):
    ours, theirs = context_for(method).Pipe(duplex)
    sender, receiver = theirs, ours

    def send(sender, index):
        sender.send(index)
        return index

    compute(sender, send, method=method)

    assert sorted(receiver.recv() for _ in range(6)) == list(range(6))
    ours.close()
    theirs.close()


@pytest.mark.parametrize("method", METHODS)
def test_events_conditions_semaphores_and_barriers_work(method):
    context = context_for(method)
    event, bounded = context.Event(), context.BoundedSemaphore(2)
    condition, barrier = context.Condition(), context.Barrier(2)

    def meet(held, index):
        event, bounded, condition, barrier = held
        barrier.wait(20)  # both workers are here
        with bounded, condition:
            condition.notify_all()
        event.set()
        return index

    held = event, bounded, condition, barrier
    assert compute(held, meet, method=method, length=2) == [0, 1]
    assert event.is_set()


@pytest.mark.parametrize("method", METHODS)
def test_a_replacement_has_them_too(method, tmp_path):
    context = context_for(method)
    held = context.Value("i", 0), context.SimpleQueue(), *context.Pipe()

    def use(held, index):
        value, queue, sender, _ = held
        with value.get_lock():
            value.value += 1
        queue.put(index)
        sender.send(index)
        return index

    with pytest.warns(match="SIGKILL"):
        batches = compute(held, use, method=method, killed=tmp_path / "killed")

    value, queue, sender, receiver = held
    assert batches == list(range(6))
    assert value.value >= 6  # one may have been computed twice
    assert {queue.get() for _ in range(6)} == {receiver.recv() for _ in range(6)} == set(range(6))
    for one in (queue, sender, receiver):
        one.close()


def test_a_replacement_has_what_the_user_has_closed_meanwhile(tmp_path):
    reader, writer = context_for("spawn").Pipe(False)

    def send(writer, index):
        writer.send(index)
        return index

    sequence = Uses(writer, send, length=30, killed=tmp_path / "killed")
    with OrderedEnqueuer(sequence, workers=1, max_queue_size=1) as enqueuer:
        batches = iter(enqueuer)
        first = next(batches)
        writer.close()
        with pytest.warns(match="SIGKILL"):
            rest = list(batches)

    assert [first, *rest] == list(range(30))

    assert {reader.recv() for _ in range(30)} == set(range(30))
    with pytest.raises(EOFError):  # nobody has the other end any more, seqloader neither
        while True:
            reader.recv()
    reader.close()


def test_an_object_that_a_hook_makes_reaches_workers():
    class Makes(Uses):
        def on_epoch_begin(self):
            self.held = context_for("spawn").SimpleQueue()
            queues.append(self.held)

    queues = []

    def put(queue, index):
        queue.put(index)
        return index

    with OrderedEnqueuer(Makes(None, put), workers=1) as enqueuer:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            assert list(enqueuer) == list(range(6))
            queue = queues.pop()
            assert [queue.get() for _ in range(6)] == list(range(6))
        del queue
        enqueuer.sequence.held = None
        list(enqueuer)  # begins another
        queues.clear()
        assert len(os.listdir("/proc/self/fd")) <= before + 8  # those of old epochs are closed


def test_worker_init_may_hold_them():
    started = context_for("spawn").Value("i", 0)

    def note(started, slot):
        with started.get_lock():
            started.value += 1

    sequence = Uses(None, lambda held, index: index)
    with OrderedEnqueuer(sequence, workers=1, worker_init=partial(note, started)) as enqueuer:
        list(enqueuer)

    assert started.value == 1


MADE_FOR_FORKED_CHILDREN = {
    "Lock": lambda context: context.Lock(),
    "BoundedSemaphore": lambda context: context.BoundedSemaphore(),
    "Event": lambda context: context.Event(),
    "Condition": lambda context: context.Condition(),
    "Barrier": lambda context: context.Barrier(2),
    "Queue": lambda context: context.Queue(),
    "JoinableQueue": lambda context: context.JoinableQueue(),
    "SimpleQueue": lambda context: context.SimpleQueue(),
    "Synchronized": lambda context: context.Value("i", 0),
    "SynchronizedArray": lambda context: context.Array("i", 3),
}


@pytest.mark.parametrize("kind", MADE_FOR_FORKED_CHILDREN)
def test_an_object_for_forked_children_is_refused_by_what_the_user_made(kind):
    held = MADE_FOR_FORKED_CHILDREN[kind](multiprocessing.get_context("fork"))

    with pytest.raises(Exception, match="is for forked children only") as refused:
        compute(held, lambda held, index: index, method="spawn")

    said = str(refused.value)
    assert re.match(rf"sequence\.held, a \S+\.{kind}, cannot be pickled", said)  # no lock inside it
    assert 'multiprocessing.get_context("spawn")' in said
    assert "start_method='fork'" in said


def test_pickling_them_starts_no_thread_in_the_consumer():
    held = context_for("spawn").Pipe()
    before = threading.active_count()

    with OrderedEnqueuer(Uses(held, lambda held, index: index), workers=1) as enqueuer:
        list(enqueuer)
        assert threading.active_count() == before

    for one in held:
        one.close()


def test_another_culprit_is_named_beside_objects_that_travel():
    held = {"fine": context_for("spawn").Lock(), "not": threading.Lock()}

    with pytest.raises(TypeError, match=r'held\["not"\], a _thread.lock'):
        compute(held, lambda held, index: index, method="spawn")


# --- Managers -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manager():
    with multiprocessing.get_context("spawn").Manager() as running:
        yield running


@pytest.mark.parametrize("method", METHODS)
def test_what_a_manager_holds_is_one_for_all(method, manager, tmp_path):
    held = manager.dict(), manager.list([0]), manager.Queue(), manager.Lock(), manager.Namespace()

    def use(held, index):
        numbers, counts, queue, lock, names = held
        numbers[index] = index * index
        with lock:
            counts[0] += 1
            names.last = index
        queue.put(index)
        return numbers[index]

    with pytest.warns(match="SIGKILL"):
        batches = compute(held, use, method=method, killed=tmp_path / "killed")

    numbers, counts, queue, _, names = held
    assert batches == [0, 1, 4, 9, 16, 25]
    assert dict(numbers) == {n: n * n for n in range(6)}
    assert counts[0] >= 6
    assert {queue.get() for _ in range(6)} == set(range(6))
    assert names.last in range(6)


@pytest.mark.parametrize("method", METHODS)
def test_a_managed_object_inside_a_managed_object_is_found(method, manager):
    outer = manager.dict(inner=manager.list([7]))

    assert compute(outer, lambda held, index: held["inner"][0], method=method) == [7] * 6


# --- Shared memory ------------------------------------------------------------------------

SHARED = """
    import os, pathlib, signal, sys, warnings
    from multiprocessing import shared_memory
    from seqloader import OrderedEnqueuer, Sequence

    class Reads(Sequence):
        def __init__(self, held, how):
            self.held = held
            self.how = how
        def __len__(self):
            return 6
        def __getitem__(self, index):
            killed = pathlib.Path("killed")
            if index == 3 and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "attribute":
                return bytes(self.held.buf[:4])
            if self.how == "list":
                return bytes(self.held[0])
            from multiprocessing.shared_memory import SharedMemory
            memory = SharedMemory(self.held)
            found = bytes(memory.buf[:4])
            memory.close()
            return found

    warnings.simplefilter("ignore")
    method, how = sys.argv[1:]
    memory = shared_memory.SharedMemory(create=True, size=16)
    memory.buf[:4] = b"abcd"
    listed = shared_memory.ShareableList([b"abcd"])
    held = {"attribute": memory, "list": listed, "name": memory.name}[how]
    for _ in range(2):
        with OrderedEnqueuer(Reads(held, how), workers=2, start_method=method) as enqueuer:
            for _ in range(2):
                assert list(enqueuer) == [b"abcd"] * 6
    again = shared_memory.SharedMemory(memory.name)
    again.close()
    memory.close()
    memory.unlink()
    listed.shm.close()
    listed.shm.unlink()
    print("there")
"""


@pytest.mark.parametrize("how", ["attribute", "list", "name"])
@pytest.mark.parametrize("method", METHODS)
def test_shared_memory_of_the_users_outlives_its_workers(method, how, tmp_path):
    done = run_code(SHARED, method, how, cwd=tmp_path)

    assert (done.stdout, done.stderr, done.returncode) == ("there\n", "", 0)
    assert (tmp_path / "killed").exists()


FOREIGN = """
    import sys
    from seqloader import OrderedEnqueuer, Sequence

    class Attaches(Sequence):
        def __len__(self):
            return 4
        def __getitem__(self, index):
            from multiprocessing.shared_memory import SharedMemory
            memory = SharedMemory(sys.argv[2])
            found = bytes(memory.buf[:4])
            memory.close()
            if index == 3 and sys.argv[3:] == ["unlink"]:
                memory.unlink()
            return found

    with OrderedEnqueuer(Attaches(), workers=1, start_method=sys.argv[1]) as enqueuer:
        assert list(enqueuer) == [b"abcd"] * 4
    print("done")
"""


@pytest.mark.parametrize("method", METHODS)
def test_memory_of_another_program_is_left_to_it(method, tmp_path, foreign_memory):
    done = run_code(FOREIGN, method, foreign_memory, cwd=tmp_path)

    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)
    assert os.path.exists(f"/dev/shm/{foreign_memory}")


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_may_unlink_what_it_attached(method, tmp_path, foreign_memory):
    done = run_code(FOREIGN, method, foreign_memory, "unlink", cwd=tmp_path)

    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)
    assert not os.path.exists(f"/dev/shm/{foreign_memory}")


@pytest.fixture
def foreign_memory():
    """The name of shared memory that no process of this test knows of."""
    if not os.path.isdir("/dev/shm"):
        pytest.skip("named shared memory is not shown in the file system")
    name = f"seqloader-test-{os.getpid()}"
    path = f"/dev/shm/{name}"
    with open(path, "wb") as file:
        file.write(b"abcd" * 4)
    yield name
    if os.path.exists(path):
        os.unlink(path)


MADE = """
    import sys
    from multiprocessing import resource_tracker, shared_memory
    from seqloader import OrderedEnqueuer, Sequence

    class Makes(Sequence):
        def __len__(self):
            return 4
        def __getitem__(self, index):
            memory = shared_memory.SharedMemory(create=True, size=16)
            memory.buf[:4] = b"abcd"
            memory.close()
            return memory.name

    resource_tracker.ensure_running()
    with OrderedEnqueuer(Makes(), workers=2, start_method=sys.argv[1]) as enqueuer:
        names = list(enqueuer)
    for name in names:
        memory = shared_memory.SharedMemory(name)
        assert bytes(memory.buf[:4]) == b"abcd"
        memory.close()
        memory.unlink()
    print("handed over")
"""


@pytest.mark.parametrize("method", METHODS)
def test_what_a_worker_makes_is_tracked_by_the_consumers_tracker(method, tmp_path):
    done = run_code(MADE, method, cwd=tmp_path)

    assert (done.stdout, done.stderr, done.returncode) == ("handed over\n", "", 0)


LEFT = """
    import sys
    from seqloader import OrderedEnqueuer, Sequence

    class Leaves(Sequence):
        def __len__(self):
            return 1
        def __getitem__(self, index):
            from multiprocessing import shared_memory
            memory = shared_memory.SharedMemory(create=True, size=16)
            memory.close()
            return memory.name

    with OrderedEnqueuer(Leaves(), workers=1, start_method=sys.argv[1]) as enqueuer:
        print(*enqueuer)
"""


@pytest.mark.parametrize("method", METHODS)
def test_what_a_worker_makes_and_leaves_ends_with_it_where_the_consumer_has_no_tracker(
    method, tmp_path
):
    for _ in range(3):
        done = run_code(LEFT, method, cwd=tmp_path)

        assert not os.path.exists(f"/dev/shm/{done.stdout.strip()}")
        assert "leaked shared_memory" in done.stderr  # as Python says it


# --- Tensors in torch's shared memory -----------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_in_shared_memory_is_one_for_all(method, tmp_path):
    torch = pytest.importorskip("torch")
    shared, private = torch.zeros(8).share_memory_(), torch.zeros(8)

    def write(held, index):
        part, private = held
        part[index] += 1
        private[index] += 1
        return float(part[6])

    held = shared[:7], private
    shared[6] = 5
    with pytest.warns(match="SIGKILL"):
        batches = compute(held, write, method=method, killed=tmp_path / "killed")

    assert batches == [5.0] * 6
    assert shared[:6].tolist() == [1.0] * 6
    assert not private.any()
    assert not private.is_shared()


# --- A child of multiprocessing -----------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_knows_its_name_its_parent_and_the_key(method):
    def look(held, index):
        import multiprocessing

        this, parent = multiprocessing.current_process(), multiprocessing.parent_process()
        return (
            this.name,
            this.daemon,
            this._identity,
            bytes(this.authkey),
            parent.name,
            parent.pid,
            parent.is_alive(),
        )

    [found] = compute(None, look, method=method, length=1)[:1]

    this = multiprocessing.current_process()
    assert found[0] in {"SeqloaderWorker-0", "SeqloaderWorker-1"}
    assert found[1] is False
    assert found[2] in {(1,), (2,)}
    assert found[3:] == (bytes(this.authkey), this.name, os.getpid(), True)


def test_the_consumers_start_method_is_the_workers(tmp_path):
    script = """
        import multiprocessing
        from seqloader import OrderedEnqueuer, Sequence

        class Asks(Sequence):
            def __len__(self):
                return 1
            def __getitem__(self, index):
                import multiprocessing
                return multiprocessing.get_start_method()

        multiprocessing.set_start_method("forkserver")
        with OrderedEnqueuer(Asks(), workers=1) as enqueuer:
            print(*enqueuer)
    """
    done = run_code(script, cwd=tmp_path)

    assert (done.stdout, done.stderr) == ("forkserver\n", "")


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_and_a_tool_inside_a_batch(method):
    def batch_of(held, index):
        import multiprocessing

        with multiprocessing.get_context("fork").Pool(2) as pool:
            total = sum(pool.map(abs, range(-5, 0)))
        command = [sys.executable, "-c", f"print({total})"]
        return int(subprocess.run(command, capture_output=True, check=True).stdout)

    assert compute(None, batch_of, method=method, length=2) == [15, 15]


def test_a_worker_that_does_not_use_multiprocessing_does_not_import_it(tmp_path):
    script = """
        from seqloader import OrderedEnqueuer, Sequence

        class Looks(Sequence):
            def __len__(self):
                return 1
            def __getitem__(self, index):
                import sys
                return "multiprocessing" in sys.modules

        with OrderedEnqueuer(Looks(), workers=1) as enqueuer:
            print(*enqueuer)
    """
    done = run_code(script, cwd=tmp_path)

    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.parametrize(("method", "seen"), [("spawn", 0), ("fork", 7)])
def test_an_array_over_shared_memory_is_a_copy_for_a_fresh_interpreter(method, seen):
    memory = sharedctypes.RawArray("b", 8)
    array = np.frombuffer(memory, np.int8)

    def write(held, index):
        held[0] = 7
        return int(held[0])

    assert compute(array, write, method=method) == [7] * 6
    assert memory[0] == seen
