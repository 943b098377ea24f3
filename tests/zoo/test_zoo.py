"""Nothing changes on its way, silently: what a Sequence holds, it holds in its workers."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st
from inhabitants import TRAVELS
from likeness import describe

from seqloader import OrderedEnqueuer, Sequence
from seqloader.executors.process.consumer.state import StateFile
from seqloader.executors.process.wire import pickling
from seqloader.executors.process.worker.state import StateLoader


def to_a_worker(obj):
    file = StateFile()
    try:
        file.publish(obj, in_place=True)
        return StateLoader(file.fd).load(file.version, file.offset)
    finally:
        file.close()


def to_the_consumer(obj):
    data, buffers = pickling.dumps(obj)
    return pickling.loads(data, [bytearray(buffer.raw()) for buffer in buffers])


@pytest.mark.parametrize("kind", TRAVELS)
def test_value_arrives_in_a_worker_as_it_is(kind):
    value = TRAVELS[kind]()
    expected = describe(value)

    assert describe(to_a_worker(value)) == expected
    assert describe(value) == expected  # and pickling it has not changed it


@pytest.mark.parametrize("kind", TRAVELS)
def test_value_comes_back_from_a_worker_as_it_is(kind):
    # Arrays of a batch have memory of their own: strides and the read-only flag may differ.
    value = TRAVELS[kind]()

    assert describe(to_the_consumer(value), memory=False) == describe(value, memory=False)


def nests(kinds):
    """Nests of values, some of which are in them more than once."""
    made = st.sampled_from(kinds).map(lambda kind: TRAVELS[kind]())
    return st.recursive(
        made,
        lambda parts: st.one_of(
            st.lists(parts, max_size=4),
            parts.map(lambda part: {"one": part, "other": [part]}),
            st.tuples(parts, parts),
        ),
        max_leaves=6,
    )


@hypothesis.settings(max_examples=60, deadline=None, database=None)
@hypothesis.given(nests(sorted(TRAVELS)))
def test_nest_of_values_arrives_in_a_worker_as_it_is(nest):
    assert describe(to_a_worker(nest)) == describe(nest)


SET_IN_WORKERS = {"random generator", "numpy generators", "generators of the same bits"}
"""Kinds of which a worker's differs on purpose: each batch has random numbers of its own."""


class Zoo(Sequence):
    """Says what it holds, in whatever process it is asked."""

    def __init__(self):
        kinds = TRAVELS.keys() - SET_IN_WORKERS
        self.values = {kind: TRAVELS[kind]() for kind in sorted(kinds)}

    def __len__(self):
        return len(self.values) + 1

    def __getitem__(self, index):
        if index == len(self.values):
            return describe(self.values)
        return describe([*self.values.values()][index])


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_zoo_is_in_a_worker_what_it_is_in_the_consumer(method):
    zoo = Zoo()
    expected = [zoo[index] for index in range(len(zoo))]

    with OrderedEnqueuer(zoo, workers=1, start_method=method) as enqueuer:
        seen = list(enqueuer)

    for kind, one, other in zip([*zoo.values, "all together"], seen, expected, strict=True):
        assert one == other, kind
