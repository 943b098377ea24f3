"""`verdict()`, what the log says at the end of an epoch, and the bar of `progress=True`."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
import time

import pytest
from sequences_for_tests import Held, Numbers

from seqloader import OrderedEnqueuer, Sequence
from seqloader.run import progress as progress_module
from seqloader.stats.verdict import Cause, Verdict

tqdm = pytest.importorskip("tqdm", reason="the bar is tqdm's")


@pytest.fixture(params=["inline"])
def executor(request):
    """Neither log nor bar knows of any: one is enough, where no test says another."""
    return request.param


def test_before_the_first_batch_nothing_is_known(make):
    verdict = make(Numbers()).verdict()

    assert isinstance(verdict, Verdict)
    assert verdict.cause is Cause.UNKNOWN


@pytest.mark.parametrize("executor", ["inline", "thread", "process"])
def test_a_verdict_may_be_had_in_an_epoch_after_it_and_after_the_stop(make, take):
    enqueuer = make(Numbers(length=6))

    take(enqueuer, 3)
    inside = enqueuer.verdict()
    list(enqueuer)
    after = enqueuer.verdict()
    enqueuer.stop()

    assert {inside.cause, after.cause, enqueuer.verdict().cause} <= set(Cause) - {Cause.UNKNOWN}
    assert str(after) == f"{after.cause}: {after.seen}. {after.advice}."


def test_without_workers_it_says_so(make_any):
    enqueuer = make_any(Slow(), workers=0)

    list(enqueuer)

    verdict = enqueuer.verdict()
    assert verdict.cause is Cause.COMPUTE
    assert "computed in the consumer (workers=0)" in verdict.seen


class Slow(Sequence):
    """A loop that does nothing waits for it, on a busy machine too."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        time.sleep(0.05)
        return index


# --- the log --------------------------------------------------------------------------------------


def test_an_epoch_that_ends_is_told_at_info(make, caplog):
    enqueuer = make(Numbers(length=3))

    with caplog.at_level(logging.INFO, logger="seqloader"):
        list(enqueuer)
        list(enqueuer)

    told = [record.getMessage() for record in caplog.records if record.name == "seqloader"]
    assert [text.partition(": ")[0] for text in told] == ["epoch 0", "epoch 1"]
    assert all(text.split(": ")[1] in set(Cause) for text in told)


def test_nothing_is_judged_where_nobody_listens(make, monkeypatch):
    def forbidden(*_):
        raise AssertionError("judged")

    monkeypatch.setattr("seqloader.run.judging.verdict_of", forbidden)

    list(make(Numbers(length=3)))


def test_logging_is_not_imported_for_it():
    program = (
        "import sys\n"
        "from seqloader import OrderedEnqueuer\n"
        "from seqloader.testing import Gate\n"
        "for name in [name for name in sys.modules if name.partition('.')[0] == 'logging']:\n"
        "    del sys.modules[name]\n"
        "for _ in range(2):\n"
        "    list(OrderedEnqueuer([1, 2, 3], workers=0))\n"
        "print('logging' in sys.modules, 'seqloader.stats.judge' in sys.modules)\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert ran.stdout.split() == ["False", "False"]


# --- the bar --------------------------------------------------------------------------------------


@pytest.fixture
def shown(capsys):
    """shown(): what the bars have written so far."""
    written = []

    def shown():
        written.append(capsys.readouterr().err)
        return "".join(written)

    return shown


def bars(shown):
    """The last state of each bar, by its epoch."""
    states = shown().replace("\n", "\r").split("\r")
    return {state.partition(":")[0]: state for state in states if state.startswith("epoch")}


def test_each_epoch_has_a_bar_that_ends_with_it(make, shown):
    enqueuer = make(Numbers(length=5), progress=True)

    list(enqueuer)
    assert "5/5" in bars(shown)["epoch 0"]
    assert "waited " in bars(shown)["epoch 0"]
    assert enqueuer._run.epochs.telling._progress._bar is None
    list(enqueuer)

    assert list(bars(shown)) == ["epoch 0", "epoch 1"]


def test_a_stream_has_a_bar_for_each_epoch(make, take, shown):
    enqueuer = make(Numbers(length=3), progress=True)

    take(enqueuer.get(), 7)
    enqueuer.stop()

    assert list(bars(shown)) == ["epoch 0", "epoch 1", "epoch 2"]
    assert "3/3" in bars(shown)["epoch 1"]
    assert "1/3" in bars(shown)["epoch 2"]


def test_an_epoch_that_is_resumed_goes_on_where_it_was(make, shown):
    enqueuer = make(Numbers(length=10), progress=True)

    enqueuer.seek(2, 6)
    list(enqueuer)

    assert "10/10" in bars(shown)["epoch 2"]


class Fails(Sequence):
    def __len__(self):
        return 9

    def __getitem__(self, index):
        if index == 4:
            raise LookupError("four")
        return index


@pytest.mark.parametrize("how", ["break", "raise", "stop", "interrupt", "error"])
def test_the_bar_is_closed_however_the_epoch_ends(make, shown, how):
    enqueuer = make(Fails() if how == "error" else Numbers(length=9), progress=True)
    kinds = {"raise": ValueError, "interrupt": KeyboardInterrupt, "error": LookupError}

    try:
        with enqueuer:
            for number, _ in enumerate(enqueuer):
                if number == 2 and how == "break":
                    break
                if number == 2 and how == "stop":
                    enqueuer.stop()
                    break
                if number == 2 and how in ("raise", "interrupt"):
                    raise kinds[how]
    except tuple(kinds.values()):
        pass

    assert enqueuer._run.epochs.telling._progress._bar is None
    assert shown().endswith("\n")


def test_the_bar_starts_no_thread_and_leaves_other_bars_as_they_are(make, shown):
    from tqdm import tqdm as other

    threads, interval = threading.active_count(), other.monitor_interval
    enqueuer = make(Numbers(length=5), progress=True, executor="process")

    iterator = iter(enqueuer)
    next(iterator)

    assert threading.active_count() == threads
    assert other.monitor_interval == interval != 0
    assert other.monitor is None
    list(iterator)


def test_an_output_that_fails_ends_the_bar_and_nothing_else(make, monkeypatch):
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Broken())
    enqueuer = make(Numbers(length=5), progress=True)

    assert len(list(enqueuer)) == 5


def test_without_tqdm_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)

    with pytest.raises(ImportError, match=r'pip install "seqloader\[progress\]"'):
        OrderedEnqueuer(Numbers(), progress=True)


def test_the_bar_is_shown_sparsely(make, shown, monkeypatch):
    looks = []
    monkeypatch.setattr(progress_module, "REFRESH_S", 3600.0)
    enqueuer = make(Numbers(length=50), progress=True)
    telling = enqueuer._run.epochs.telling
    look = telling.look
    monkeypatch.setattr(telling, "look", lambda *args: (looks.append(1), look(*args)))

    list(enqueuer)

    assert len(looks) == 1
    assert "50/50" in bars(shown)["epoch 0"]


def test_the_word_of_the_verdict_is_shown_where_the_loop_waits(make_any, gate, opens, shown):
    enqueuer = make_any(Held(gate, held=[0]), executor="thread", progress=True)

    opens(enqueuer, share=0.9)
    list(enqueuer)

    state = bars(shown)["epoch 0"]
    assert any(f"({cause})" in state for cause in Cause)
    assert any(f"{cause}: " in shown() for cause in Cause)  # the whole sentence


def test_progress_must_be_a_yes_or_no():
    with pytest.raises(TypeError, match="progress must be True or False"):
        OrderedEnqueuer(Numbers(), progress=1)
