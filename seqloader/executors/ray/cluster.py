"""The Ray that an executor works with: one that the user has, or one that is started here.

Rules
    K1  Never `ray.init` over an initialised Ray, and never `ray.shutdown` of one that is not ours.
    K2  Ours ends with the last executor that uses it. Who uses Ray besides calls `ray.init` first,
        and so owns it.
    K3  The processes of a Ray end with the *thread* that has started them (PR_SET_PDEATHSIG). So a
        thread that may end starts none: one that waits for the end of Ray does it in its place.
"""

from __future__ import annotations

import os
import shutil
import threading
from queue import SimpleQueue
from typing import Any, Final

from seqloader.memory.cpus import usable_cpus

__all__ = ["Connection", "describe", "import_ray"]

STORE_BYTES: Final = 2 << 30
"""Of the object store of a Ray that is started here, if memory allows. It fills up to this size
whatever is in it, and a smaller one is faster: its pages have been written before."""
LEAST_STORE_BYTES: Final = 80 << 20
"""Ray accepts no less than 75 MiB."""

_lock = threading.Lock()
_ended = threading.Event()
_starters: list[threading.Thread] = []
"""The thread that has started our Ray in another's place, and waits for `_ended`."""
_ours: dict[str, int] = {}
"""Of the Ray that an executor has initialised: in which process, how many executors use it, and
whether it was started here. Empty: there is none."""


def import_ray() -> Any:
    """The module.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise ImportError(
            'executor="ray" needs Ray, which is not installed: pip install "seqloader[ray]"',
            name="ray",
        ) from error
    return ray


class Connection:
    """One executor's use of Ray."""

    def __init__(self, address: str | None, store_bytes: int | None) -> None:
        """Connect to Ray, or start one.

        Args:
            address: Of a cluster; "auto": one that runs on this machine; "local": start one. None:
                what is initialised already, else the environment's `RAY_ADDRESS`, else "local".
            store_bytes: Of the object store, if one is started.
        """
        ray = import_ray()
        self._pid = os.getpid()
        with _lock:
            if not ray.is_initialized():
                _ours.clear()
                wanted = address or os.environ.get("RAY_ADDRESS") or "local"
                _init_to_stay(ray, wanted, store_bytes)
                _ours.update(pid=self._pid, users=0, local=wanted == "local")
            self._counts = bool(_ours)
            if self._counts:
                _ours["users"] += 1
            self.is_local = bool(_ours.get("local"))
            """Whether it was started here, by an executor."""

    def close(self, *, end: bool) -> None:
        """No longer used. Idempotent.

        Args:
            end: Whether a Ray of ours ends now, if nobody else uses it; it takes a second.
        """
        if not self._counts or os.getpid() != self._pid:
            return
        self._counts = False
        with _lock:
            if not _ours or _ours["pid"] != self._pid:
                return
            _ours["users"] -= 1
            if _ours["users"] or not end:
                return
            _ours.clear()
            import_ray().shutdown()
            _ended.set()
            while _starters:
                _starters.pop().join()


def _init_to_stay(ray: Any, address: str, store_bytes: int | None) -> None:
    """As `_init`, from whatever thread."""
    if address != "local" or threading.current_thread() is threading.main_thread():
        _init(ray, address, store_bytes)
        return
    _ended.clear()
    begun: SimpleQueue[BaseException | None] = SimpleQueue()

    def stay() -> None:
        try:
            _init(ray, address, store_bytes)
        except BaseException as error:
            begun.put(error)
            return
        begun.put(None)
        _ended.wait()

    starter = threading.Thread(target=stay, name="seqloader-ray-starter", daemon=True)
    starter.start()
    _starters.append(starter)
    if (error := begun.get()) is not None:
        raise error


def _init(ray: Any, address: str, store_bytes: int | None) -> None:
    options: dict[str, Any] = {"logging_level": "ERROR"}
    if address == "local":
        options |= {
            "include_dashboard": False,
            "num_cpus": usable_cpus(),
            "object_store_memory": store_bytes or _usual_store_bytes(),
        }
    usage = os.environ.get("RAY_USAGE_STATS_ENABLED")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=address, **options)
    finally:
        if usage is None:
            os.environ.pop("RAY_USAGE_STATS_ENABLED", None)


def _usual_store_bytes() -> int:
    """What fits into shared memory: beyond that, Ray writes to files in /tmp."""
    try:
        room = shutil.disk_usage("/dev/shm").free * 9 // 10
    except OSError:
        room = STORE_BYTES
    return max(LEAST_STORE_BYTES, min(STORE_BYTES, room))


def describe(resources: dict[str, Any]) -> str:
    """What a cluster has, in words: `16 CPU, 2 GPU, 30.0 GiB memory`."""
    found = []
    for name, amount in sorted(resources.items()):
        if name in ("memory", "object_store_memory"):
            found.append(f"{amount / (1 << 30):.1f} GiB {name}")
        elif not name.startswith("node:"):
            found.append(f"{amount:g} {name}")
    return ", ".join(found) or "nothing"
