"""Objects that have an answer to every name are asked by their class."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import unittest.mock
import xmlrpc.client
from pathlib import Path

import pytest

from seqloader import BatchedSequence, OrderedEnqueuer, Sequence
from seqloader.samples.source import check_source
from seqloader.sequence.interface import offered, overrides_hook

ROOT = Path(__file__).parents[1]


class Numbered:
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return index


class Keyed(Numbered):
    """Answers out of a dictionary, and raises KeyError."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return {}[name]


class Stub(Numbered):
    """Answers to every name with a call that fails."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*_):
            raise RuntimeError(f"remote procedure {name} does not exist")

        return call


class Remote(xmlrpc.client.ServerProxy, Numbered):
    def __init__(self):
        super().__init__("http://localhost:1")


def mock():
    made = unittest.mock.MagicMock()
    made.__len__.return_value = 3
    made.__getitem__.side_effect = lambda index: index
    return made


class Hooked(Numbered):
    ended = 0

    def on_epoch_end(self):
        self.ended += 1


class Wrapper(Numbered):
    """Hands on what it does not know."""

    def __init__(self):
        self.inner = Hooked()

    def __getattr__(self, name):
        return getattr(self.__dict__["inner"], name)


@pytest.mark.parametrize("make", [Keyed, Stub, Remote, mock])
def test_object_that_answers_to_every_name_has_no_hooks_and_no_state(make):
    made = make()

    with OrderedEnqueuer(made, workers=0) as enqueuer:
        assert list(enqueuer) == [0, 1, 2]
        state = enqueuer.state_dict()

    assert "sequence" not in state
    assert not overrides_hook(made, "on_epoch_end")


@pytest.mark.parametrize("make", [Keyed, Stub, Remote, mock])
def test_object_that_answers_to_every_name_is_a_source(make):
    assert BatchedSequence(make(), 3, shuffle=False)[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.parametrize("make", [Keyed, Stub])
def test_object_that_answers_to_every_name_reaches_its_workers(make, method):
    with OrderedEnqueuer(make(), workers=1, start_method=method) as enqueuer:
        assert list(enqueuer) == [0, 1, 2]


def test_wrapper_hands_on_the_hooks_of_what_it_wraps():
    wrapper = Wrapper()

    with OrderedEnqueuer(wrapper, workers=0) as enqueuer:
        list(enqueuer)

    assert wrapper.inner.ended == 1


def test_offered_is_none_where_nothing_is_offered():
    assert offered(Numbered(), "on_epoch_end") is None
    assert offered(Wrapper(), "on_epoch_begin") is None
    assert offered(Wrapper(), "on_epoch_end") is not None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_enqueuer_cannot_be_copied_and_says_what_to_do(copied):
    with pytest.raises(TypeError, match=r"an enqueuer cannot be copied.*Make another one"):
        copied(OrderedEnqueuer(Numbered(), workers=0))


def test_enqueuer_inside_a_sequence_is_named():
    class Nested(Sequence):
        def __init__(self):
            self.inner = OrderedEnqueuer(Numbered(), workers=0)

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return next(self.inner.get())

    with pytest.raises(TypeError, match=r"sequence\.inner, a seqloader\.enqueuer.OrderedEnqueuer"):
        OrderedEnqueuer(Nested(), workers=1).start()


def test_table_whose_index_is_a_column_is_no_source():
    table = type("Table", (Numbered,), {"__module__": "pyarrow.lib", "columns": []})()

    with pytest.raises(TypeError, match=r"pyarrow\.lib\.Table.*is a column.*to_pylist"):
        check_source(table)
    with pytest.raises(TypeError, match="is a column"):
        OrderedEnqueuer(table)


LIMITED = """
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
        [sys.executable, "-c", LIMITED.format(root=str(ROOT))],
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
