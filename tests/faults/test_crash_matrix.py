"""What happens to an epoch when a worker is struck: *when* x *how*, one table and one body."""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from deaths import worker_deaths
from victims import Blow, Full, LoadingVictim, PatchedWorker, ReduceVictim, Struck, Victim, value_of

from seqloader import OrderedEnqueuer
from seqloader.errors import WorkerLostWarning, WorkerStartError

STARTING = ("start", "import", "load", "worker_init")
COMPUTING = ("getitem", "encode", "reserve")
AT_WORK = ("idle", "taken", "report", "reported")
WHEN = (*STARTING, *COMPUTING, *AT_WORK, "leaving")
HOW = ("raise", "sys.exit", "os._exit", "SIGKILL", "SIGSEGV", "SIGSTOP")

LENGTH = 12
VICTIM = 3


@dataclass
class Expected:
    """What the one blow must come to."""

    respawns: set[int] = field(default_factory=lambda: {1})
    error: type[BaseException] | None = None
    cause: type[BaseException] | None = None


def expected(when: str, how: str) -> Expected:
    error = {"raise": Struck, "sys.exit": SystemExit}.get(how)
    if when == "start" and how == "raise":
        return Expected({0})  # the interpreter itself says so and goes on
    if when in STARTING[1:] and error is not None:
        return Expected({0}, WorkerStartError, error)
    if when in STARTING and how == "SIGSTOP":
        return Expected({0})  # the other worker does it all
    if when == "encode" and how == "raise":
        return Expected({0}, pickle.PicklingError)  # whose text names it, and what it was about
    if when in COMPUTING and error is not None:
        return Expected({0}, error)
    if when == "leaving":
        return Expected({0})
    return Expected({1})


def make_victim(when: str, blow: Blow, folder: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    if when == "import":
        return _fragile_module(blow, folder, monkeypatch)
    if when == "load":
        return LoadingVictim(blow)
    if when == "getitem":
        return Victim(blow, {VICTIM})
    if when == "encode":
        return ReduceVictim(blow, VICTIM)
    return Full()


def _folders(parent: Path) -> tuple[Path, Path]:
    scratch, modules = parent / "scratch", parent / "modules"
    scratch.mkdir()
    modules.mkdir()
    return scratch, modules


def _fragile_module(blow: Blow, folder: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A Sequence whose module strikes when it is imported, but for the import here."""
    (folder / "fragile.py").write_text(
        "import os, victims\n"
        f"if os.getpid() != {os.getpid()}:\n"
        f"    victims.Blow({blow.how!r}, {str(blow.scratch)!r}, {blow.times}).strike()\n"
        "class Fragile(victims.Full): ...\n"
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(sys.modules, "fragile", None)  # so that it is put back, which is gone
    del sys.modules["fragile"]
    return importlib.import_module("fragile").Fragile()


def struck_interpreter(blow: Blow, folder: Path) -> dict[str, str]:
    """Environment of an interpreter that is struck before it runs any code of ours."""
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        f"sys.path.append({str(Path(__file__).parent)!r})\n"
        "import victims\n"
        f"victims.Blow({blow.how!r}, {str(blow.scratch)!r}, {blow.times}).strike()\n"
    )
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("when", WHEN)
def test_struck_worker_costs_a_respawn_or_raises_what_is_promised(when, how, tmp_path, monkeypatch):
    scratch, folder = _folders(tmp_path)
    blow = Blow(how, scratch)
    stops = how == "SIGSTOP"
    patched = when in ("worker_init", "reserve", *AT_WORK, "leaving")
    enqueuer = OrderedEnqueuer(
        make_victim(when, blow, folder, monkeypatch),
        # With one worker no death can go unseen. One that is stopped while it starts may take as
        # long as it likes: somebody else must do the work.
        workers=2 if stops and when in STARTING else 1,
        worker_init=PatchedWorker(when, blow) if patched else None,
        worker_env=struck_interpreter(blow, folder) if when == "start" else None,
        timeout_s=0.5 if stops else None,
    )

    delivered: list[int] = []
    error: BaseException | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            for batch in enqueuer:
                delivered.append(value_of(batch[0] if isinstance(batch, list) else batch))
        except (Struck, SystemExit, pickle.PicklingError, WorkerStartError) as raised:
            error = raised
        finally:
            enqueuer.stop(timeout=0.5)

    promised = expected(when, how)
    assert blow.fallen() == 1
    assert enqueuer.stats().respawns in promised.respawns
    assert [w.category for w in caught].count(WorkerLostWarning) == enqueuer.stats().respawns
    assert not enqueuer.is_running()
    if promised.error is None:
        assert error is None
        assert delivered == list(range(LENGTH))  # no gap, no double, no disorder
    else:
        assert type(error) is promised.error
        assert how != "raise" or "struck" in str(error)
        assert promised.cause is None or type(error.__cause__) is promised.cause
        place = VICTIM if when in ("getitem", "encode") else len(delivered)
        assert delivered == list(range(place))


@pytest.mark.parametrize("when", STARTING)
@pytest.mark.parametrize("how", ["os._exit", "SIGSEGV"])
def test_three_deaths_in_a_row_before_a_first_batch_are_an_error(when, how, tmp_path, monkeypatch):
    scratch, folder = _folders(tmp_path)
    blow = Blow(how, scratch, times=3)
    enqueuer = OrderedEnqueuer(
        make_victim(when, blow, folder, monkeypatch),
        workers=1,
        worker_init=PatchedWorker(when, blow) if when == "worker_init" else None,
        worker_env=struck_interpreter(blow, folder) if when == "start" else None,
    )

    with (
        worker_deaths(),
        pytest.raises(WorkerStartError, match="3 workers in a row") as caught,
    ):
        next(iter(enqueuer))

    status = {"os._exit": "exit status 4", "SIGSEGV": "signal 11"}[how]
    assert status in str(caught.value)
    assert not enqueuer.is_running()


@pytest.mark.parametrize("when", STARTING)
def test_three_kills_in_a_row_while_starting_may_have_been_the_last(when, tmp_path, monkeypatch):
    scratch, folder = _folders(tmp_path)
    blow = Blow("SIGKILL", scratch, times=3)
    enqueuer = OrderedEnqueuer(
        make_victim(when, blow, folder, monkeypatch),
        workers=1,
        worker_init=PatchedWorker(when, blow) if when == "worker_init" else None,
        worker_env=struck_interpreter(blow, folder) if when == "start" else None,
    )

    with enqueuer, worker_deaths():
        delivered = [value_of(batch[0] if isinstance(batch, list) else batch) for batch in enqueuer]

    assert delivered == list(range(LENGTH))
    assert enqueuer.stats().respawns == 3


@pytest.mark.limit(120)
def test_ten_kills_in_a_row_with_nobody_left_are_an_error(tmp_path, monkeypatch):
    scratch, folder = _folders(tmp_path)
    blow = Blow("SIGKILL", scratch, times=None)

    with worker_deaths(), pytest.raises(WorkerStartError, match=r"10 workers in a row .* signal 9"):
        list(OrderedEnqueuer(make_victim("load", blow, folder, monkeypatch), workers=1))

    assert blow.fallen() == 10
