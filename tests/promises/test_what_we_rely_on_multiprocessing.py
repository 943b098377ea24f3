"""What we rely on of `multiprocessing` (see docs/architecture/beyond-promises.md), alone."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import context, reduction, spawn
from multiprocessing.connection import Connection
from typing import Any, ClassVar

from interpreter import printed_by, run_python

MARKED = """
import multiprocessing

def say():
    mark = getattr(multiprocessing.current_process(), "_inheriting", False)
    print(__name__, mark, flush=True)

say()
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=say)
    process.start()
    process.join()
"""


def test_a_process_that_multiprocessing_prepares_is_marked(tmp_path):
    (tmp_path / "marked.py").write_text(MARKED)

    said = run_python("marked.py", cwd=tmp_path)

    assert said.stdout.splitlines() == ["__main__ False", "__mp_main__ True", "__mp_main__ False"]


def test_multiprocessing_asks_who_is_started_to_take_descriptors():
    class Child:
        taken: ClassVar[list[int]] = []
        DupFd = staticmethod(int)

        def duplicate_for_child(self, fd: int) -> int:
            self.taken.append(fd)
            return fd

    ours, theirs = multiprocessing.Pipe()
    reducers: Any = reduction.ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    context.set_spawning_popen(Child())  # type: ignore[arg-type]
    try:
        _, (fd, *_) = reducers[type(ours)](ours)
    finally:
        context.set_spawning_popen(None)

    assert Child.taken == [fd] == [ours.fileno()]
    assert reducers[type(ours)].__module__ == "multiprocessing.connection"
    ours.close()
    theirs.close()


def test_a_lock_for_forked_children_has_no_name():
    program = """
        import multiprocessing
        for method in ("fork", "spawn"):
            lock = multiprocessing.get_context(method).Lock()
            print(type(lock).__module__, lock._semlock.name is None)
    """
    module = "multiprocessing.synchronize"

    assert printed_by(program).splitlines() == [f"{module} True", f"{module} False"]


def test_a_shared_value_has_its_memory_beside_it():
    program = """
        import ctypes
        from multiprocessing import reduction, sharedctypes
        value = sharedctypes.RawValue("i")
        kind = reduction.ForkingPickler._extra_reducers[type(value)].__module__
        arena = value._wrapper._state[0][0]
        memory = reduction.ForkingPickler._extra_reducers[type(arena)].__module__
        print(kind, memory, arena.size > 0, arena.fd >= 0, hasattr(ctypes.c_int(1), "_wrapper"))
    """
    kinds = "multiprocessing.sharedctypes multiprocessing.heap"

    assert printed_by(program).strip() == f"{kinds} True True False"


def test_the_resource_tracker_can_be_shared_by_its_descriptor():
    program = """
        import os
        from multiprocessing import resource_tracker, shared_memory
        tracker = resource_tracker._resource_tracker
        print(tracker._fd, tracker._pid)
        reader, tracker._fd = os.pipe()
        assert shared_memory.resource_tracker is resource_tracker
        resource_tracker.register("/none", "shared_memory")
        print(os.read(reader, 999).decode().split()[-1], tracker._pid)
        os.close(tracker._fd)
        tracker._fd = None
        tracker.ensure_running()
        print(tracker._pid > 0)
        tracker._stop()
        print(tracker._pid)
    """
    lines = printed_by(program).splitlines()

    assert lines[0] == "None None"
    assert "REGISTER" in lines[1]
    assert lines[1].endswith(" None")
    assert lines[2:] == ["True", "None"]


def test_a_process_can_be_told_its_parent():
    program = """
        import os
        from multiprocessing import current_process, parent_process, process
        reader, writer = os.pipe()
        this = current_process()
        this.authkey = b"key"
        this._name, this._identity, this._config["daemon"] = "worker", (3,), False
        process._parent_process = process._ParentProcess("parent", os.getppid(), reader)
        alive = parent_process().is_alive()
        os.close(writer)
        print(parent_process().name, alive, parent_process().is_alive(), this.name, this.daemon)
        print(bytes(this.authkey), isinstance(process.ORIGINAL_DIR, str))
    """

    assert printed_by(program).splitlines() == [
        "parent True False worker False",
        "b'key' True",
    ]


def test_the_start_method_can_be_chosen_where_it_is_kept():
    program = """
        import multiprocessing
        from multiprocessing import context
        context._default_context.set_start_method("spawn", force=True)
        print(multiprocessing.get_start_method())
    """

    assert printed_by(program).strip() == "spawn"


def test_a_forked_child_can_let_go_of_its_parents_queues():
    program = """
        import multiprocessing, os
        from multiprocessing import process, util
        queue = multiprocessing.get_context("fork").Queue()
        queue.put("parent")
        queue.get()
        if not os.fork():
            process._children = set()
            util._finalizer_registry.clear()
            util._run_after_forkers()
            queue.put("child")
            util._exit_function()
            os._exit(0)
        print(queue.get(timeout=20))
        os.wait()
    """

    assert printed_by(program).strip() == "child"


def test_the_executable_that_was_set_is_told():
    before = spawn.get_executable()
    try:
        multiprocessing.set_executable("/some/python")
        told = spawn.get_executable()
    finally:
        spawn.set_executable(before)

    assert told in ("/some/python", b"/some/python")


def test_a_process_of_multiprocessing_keeps_what_it_knows_of_itself():
    process: Any = multiprocessing.process
    this = process.current_process()

    assert isinstance(process._children, set)
    assert this._config["authkey"] == this.authkey
    assert process._parent_process is process.parent_process()
    reading, writing = os.pipe()
    try:
        parent = process._ParentProcess("parent", os.getpid(), reading)
        assert (parent.name, parent.ident, parent.is_alive()) == ("parent", os.getpid(), True)
    finally:
        os.close(writing)
        os.close(reading)


def test_multiprocessing_finishes_by_these_functions():
    code = (
        "import os\n"
        "from multiprocessing import util\n"
        "class Owner: pass\n"
        "owner = Owner()\n"
        "util.register_after_fork(owner, lambda owner: print('after the fork', flush=True))\n"
        "util.Finalize(owner, print, ('not here',), exitpriority=1)\n"
        "util._finalizer_registry.clear()\n"
        "util.Finalize(owner, print, ('finished',), exitpriority=1)\n"
        "util._run_after_forkers()\n"
        "util._exit_function()\n"
    )

    lines = printed_by(code).splitlines()

    assert lines == ["after the fork", "finished"]


def test_the_start_method_is_that_of_the_default_context():
    code = (
        "import multiprocessing\n"
        "multiprocessing.context._default_context.set_start_method('forkserver', force=True)\n"
        "print(multiprocessing.get_start_method())\n"
    )

    lines = printed_by(code).splitlines()

    assert lines == ["forkserver"]


TRACKER = (
    "from multiprocessing import resource_tracker\n"
    "tracker = resource_tracker._resource_tracker\n"
    "print(tracker._fd, tracker._pid)\n"
    "resource_tracker.ensure_running()\n"
    "print(tracker._fd == resource_tracker.getfd(), tracker._pid > 0)\n"
    "tracker._stop()\n"
    "print(tracker._fd, tracker._pid)\n"
)


def test_the_resource_tracker_is_known_by_its_descriptor():
    lines = printed_by(TRACKER).splitlines()

    assert [line.split()[0] for line in lines] == ["None", "True", "None"]


def test_the_resource_tracker_can_be_waited_for():
    lines = printed_by(TRACKER).splitlines()

    assert [line.split()[1] for line in lines] == ["None", "True", "None"]


def test_multiprocessing_registers_how_its_objects_travel():
    reducers: Any = reduction.ForkingPickler
    assert reducers._extra_reducers[Connection] is not None
