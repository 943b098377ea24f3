"""What an adapter owns, and the passes over it: without any framework."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest
from sequences_for_adapters import Counted

from seqloader import EnqueuerStopped, OrderedEnqueuer
from seqloader.adapters.frameworks import framework
from seqloader.adapters.owner import EnqueuerOwner
from seqloader.adapters.passes import Pass


@pytest.fixture
def enqueuer():
    with OrderedEnqueuer(Counted(4), workers=0) as made:
        yield made


# --- who owns an enqueuer -----------------------------------------------------------------


def test_what_was_made_for_an_adapter_takes_the_arguments_and_ends_with_it():
    with EnqueuerOwner(Counted(4), workers=1, seed=3) as owner:
        assert owner.enqueuer.seed == 3
        assert len([*owner.enqueuer]) == 4
        assert owner.enqueuer.is_running()
    assert not owner.enqueuer.is_running()

    owner = EnqueuerOwner(Counted(4), workers=1)
    next(iter(owner.enqueuer))
    owner.close()
    assert not owner.enqueuer.is_running()


def test_what_was_made_before_goes_on_when_the_adapter_is_closed(enqueuer):
    with EnqueuerOwner(enqueuer) as owner:
        assert owner.enqueuer is enqueuer
    owner.close()
    assert enqueuer.is_running()


def test_an_error_in_a_with_runs_no_hook():
    sequence = Counted(4)
    with pytest.raises(KeyError), EnqueuerOwner(sequence, workers=0) as owner:
        next(iter(owner.enqueuer))
        raise KeyError
    assert sequence.hooks == ["begin"]
    assert not owner.enqueuer.is_running()


def test_arguments_beside_an_enqueuer_are_refused_by_name(enqueuer):
    with pytest.raises(TypeError, match=r"EnqueuerOwner\(enqueuer\) has no use for workers, seed"):
        EnqueuerOwner(enqueuer, workers=2, seed=1)


def test_arguments_are_judged_as_those_of_an_enqueuer():
    with pytest.raises(ValueError, match="workers must be at least 0"):
        EnqueuerOwner(Counted(4), workers=-1)
    with pytest.raises(TypeError, match="no_such"):
        EnqueuerOwner(Counted(4), no_such=1)


# --- passes -------------------------------------------------------------------------------


def test_a_pass_that_nobody_reads_begins_nothing(enqueuer):
    _unread, second = Pass(enqueuer), Pass(enqueuer)
    assert enqueuer.sequence.hooks == []

    assert [batch.tolist() for batch in second] == [[0, 0], [1, 0], [2, 0], [3, 0]]
    assert enqueuer.sequence.hooks == ["begin", "end"]


def test_a_pass_goes_on_where_the_enqueuer_stands(enqueuer):
    enqueuer.seek(0, 2)

    assert [batch[0] for batch in Pass(enqueuer)] == [2, 3]
    assert enqueuer.epoch == 1


def test_a_later_pass_makes_an_earlier_one_stale(enqueuer):
    earlier = Pass(enqueuer)
    next(earlier)
    later = Pass(enqueuer)
    next(later)

    with pytest.raises(RuntimeError, match="stale"):
        next(earlier)
    assert enqueuer.sequence.hooks == ["begin", "end", "begin"]


def test_a_pass_of_a_stopped_enqueuer_says_so(enqueuer):
    batches = Pass(enqueuer)
    next(batches)
    enqueuer.stop()

    with pytest.raises(EnqueuerStopped):
        next(batches)


# --- frameworks ---------------------------------------------------------------------------


def test_a_framework_that_is_missing_is_named_with_its_cure():
    with pytest.raises(ImportError) as raised:
        framework("no_such_framework", extra="keras", at_least="3.8")
    assert str(raised.value) == (
        "seqloader.adapters.keras needs no_such_framework 3.8 or later, which is not installed: "
        'pip install "seqloader[keras]"'
    )


@pytest.mark.parametrize(
    ("version", "enough"),
    [("3.7.9", False), ("3.8", True), ("3.8.0.dev1", True), ("3.10.0", True), ("2.21.0", False)],
)
def test_a_version_counts_by_its_numbers(monkeypatch, version, enough):
    module = types.ModuleType("a_framework")
    module.__version__ = version
    monkeypatch.setitem(sys.modules, "a_framework", module)

    if enough:
        assert framework("a_framework", extra="keras", at_least="3.8") is module
    else:
        with pytest.raises(ImportError, match=f"this is a_framework {version}: pip install"):
            framework("a_framework", extra="keras", at_least="3.8")


def test_what_a_framework_itself_lacks_is_not_blamed_on_it(tmp_path, monkeypatch):
    (tmp_path / "lacking_framework.py").write_text("import what_it_lacks")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="what_it_lacks"):
        framework("lacking_framework", extra="keras")


def test_importing_seqloader_imports_no_adapter():
    code = (
        "import sys, seqloader; seqloader.OrderedEnqueuer; "
        "print([name for name in sys.modules if 'adapters' in name])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
