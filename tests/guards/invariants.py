"""What has invariants is asked whether they hold: its `check()`.

After each test, every run that is still there. The parts of the process executor after each call of
theirs that tears nothing, in the folders that are about them, and once more when the test is over.
What a test interrupted is not asked: it is replaced, not mended.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from seqloader.executors.process.consumer.pool import Pool
from seqloader.executors.process.consumer.state import StateFile
from seqloader.run.run import Run

__all__: list[str] = []

FOLDERS: Final = {"enqueuer", "executors", "faults", "process"}
CHECKED: Final = {Pool: ("collect", "discard", "stop"), StateFile: ("publish", "reclaim")}


@pytest.fixture(autouse=True)
def _invariants() -> Iterator[None]:
    made: weakref.WeakSet[Run] = weakref.WeakSet()
    begin = Run.__init__

    def noting(self: Run, *args: Any) -> None:
        made.add(self)
        begin(self, *args)

    # Its frame counts as one of ours: warnings name the first line that is not.
    noting.__code__ = noting.__code__.replace(co_filename=begin.__code__.co_filename)
    # Not by `monkeypatch`: each test would have it then, and what a test has patched would be put
    # back only after the guard of leaks has looked.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "__init__", noting)
        yield
    for run in made:
        if not hasattr(run, "relocation"):  # its construction was interrupted
            continue
        if run.session.lock.acquire(blocking=False):  # else a thread that was left is inside
            try:
                run.check()
            finally:
                run.session.lock.release()


@pytest.fixture(autouse=True)
def _invariants_of_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    whole: weakref.WeakSet[Any] = weakref.WeakSet()
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name in FOLDERS:
            for kind, names in CHECKED.items():
                for name in names:
                    patch.setattr(kind, name, _checking(getattr(kind, name), whole))
        yield
    for part in list(whole):
        part.check()


def _checking(method: Callable[..., Any], whole: weakref.WeakSet[Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(part: Any, *arguments: Any, **options: Any) -> Any:
        whole.discard(part)
        result = method(part, *arguments, **options)
        part.check()
        whole.add(part)
        return result

    return call
