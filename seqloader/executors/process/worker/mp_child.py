"""What makes a worker a child of multiprocessing, for user code that uses it.

A worker never imports multiprocessing by itself. When user code does, each of its modules is told
what it tells its own children: whose child this is, the key by which managers know each other, the
start method, and the one process that tracks named resources.

# Note [attached is not owned]
Until Python 3.13, `SharedMemory(name)` has the memory tracked as if the process had made it; and
from there on, an unpickled one has. The tracker then unlinks it, at the latest when the processes
have ended that it works for: a worker's own, if the consumer has none, at the end of a worker. So
in a worker, what is attached is not tracked. What a worker makes is.
"""

from __future__ import annotations

import atexit
import functools
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.executors.process.wire.settings import Parent

__all__ = ["be_child", "be_forked_child", "leave"]


def be_child(parent: Parent, slot: int, life: int, tracker: int) -> None:
    """Be a child of `parent`, for each module of multiprocessing that is imported, or will be.

    Args:
        life: hung up when the parent is gone.
        tracker: descriptor of the parent's resource tracker; -1: it has none.
    """
    changes: dict[str, Callable[[Any], None]] = {
        "multiprocessing.process": lambda module: _name(module, parent, slot, life),
        "multiprocessing.context": lambda module: _choose_method(module, parent),
        "multiprocessing.resource_tracker": lambda module: _share_tracker(module, tracker),
        "multiprocessing.shared_memory": _attach_untracked,
    }
    again = _Importer.current is not None  # a zygote was one before it became this worker
    if again:
        sys.meta_path.remove(_Importer.current)
    else:
        atexit.register(_end_tracker)  # before multiprocessing's, so that it comes after
    for name in [name for name in changes if name in sys.modules]:
        change = changes.pop(name)
        if not (again and change is _attach_untracked):  # which is done for all children
            change(sys.modules[name])
    _Importer.current = _Importer(changes)
    sys.meta_path.insert(0, _Importer.current)


def be_forked_child() -> None:
    """Let go of what belongs to the process that this one was forked from, as multiprocessing does:
    its children, its finalizers, the threads behind its queues, its connections to managers."""
    process: Any = sys.modules.get("multiprocessing.process")
    if process is not None:
        process._children = set()
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util._finalizer_registry.clear()
        util._run_after_forkers()
    tracker: Any = sys.modules.get("multiprocessing.resource_tracker")
    if tracker is not None:
        tracker._resource_tracker._pid = None  # no child of this process


def leave() -> None:
    """Finish what user code has begun, at a forked worker's end: what it put into queues is
    written, and its own children are joined. (A fresh interpreter does it by itself.)"""
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util._exit_function()
    _end_tracker()


def _end_tracker() -> None:
    """Wait for the tracker that this process has started, if it has: it belongs to our process
    group, and would be killed before it has given back what user code left."""
    tracker: Any = sys.modules.get("multiprocessing.resource_tracker")
    if tracker is not None and tracker._resource_tracker._pid is not None:
        tracker._resource_tracker._stop()


class _Importer:
    """Finds the modules as others do, and has each changed once it is imported."""

    current: Any = None

    def __init__(self, changes: dict[str, Callable[[Any], None]]) -> None:
        self._changes = changes

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        change = self._changes.pop(name, None)
        if change is None:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, change)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """A module's own loader, and what is done when it is through."""

    def __init__(self, loader: Any, change: Callable[[Any], None]) -> None:
        self._loader = loader
        self._change = change

    def exec_module(self, module: Any) -> None:
        self._loader.exec_module(module)
        module.__loader__ = module.__spec__.loader = self._loader
        self._change(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def _name(process: Any, parent: Parent, slot: int, life: int) -> None:
    this = process.current_process()
    this.authkey = parent.authkey
    this._name = f"SeqloaderWorker-{slot}"
    this._identity = (slot + 1,)
    this._config["daemon"] = False  # it may have children of its own
    process._parent_process = process._ParentProcess(parent.name, parent.pid, life)
    process.ORIGINAL_DIR = parent.directory


def _choose_method(context: Any, parent: Parent) -> None:
    if parent.start_method:
        context._default_context.set_start_method(parent.start_method, force=True)


def _share_tracker(resource_tracker: Any, tracker: int) -> None:
    if tracker >= 0:
        resource_tracker._resource_tracker._fd = tracker


def _attach_untracked(shared_memory: Any) -> None:
    """See Note [attached is not owned]."""
    kind = shared_memory.SharedMemory
    begin = kind.__init__
    tracker = shared_memory.resource_tracker = _Tracker(shared_memory.resource_tracker)

    @functools.wraps(begin)
    def make_or_attach(
        self: Any, name: Any = None, create: Any = False, *size: Any, **named: Any
    ) -> None:
        tracker.attaching.here = not create
        try:
            begin(self, name, create, *size, **named)
        finally:
            tracker.attaching.here = False

    kind.__init__ = make_or_attach


class _Tracker:
    """The resource tracker, for `SharedMemory` in a worker."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.attaching = threading.local()

    def register(self, name: str, kind: str) -> None:
        if not getattr(self.attaching, "here", False):
            self._module.register(name, kind)

    def unregister(self, name: str, kind: str) -> None:
        if self._module._resource_tracker._fd is not None:
            self._module.register(name, kind)  # it complains of what it does not know
            self._module.unregister(name, kind)
