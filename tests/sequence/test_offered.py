"""Objects that have an answer to every name are asked by their class."""

from __future__ import annotations

import unittest.mock
import xmlrpc.client

import pytest

from seqloader import BatchedSequence, OrderedEnqueuer
from seqloader.samples.source import check_source
from seqloader.sequence.interface import offered, overrides_hook


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


def test_table_whose_index_is_a_column_is_no_source():
    table = type("Table", (Numbered,), {"__module__": "pyarrow.lib", "columns": []})()

    with pytest.raises(TypeError, match=r"pyarrow\.lib\.Table.*is a column.*to_pylist"):
        check_source(table)
    with pytest.raises(TypeError, match="is a column"):
        OrderedEnqueuer(table)
