from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from published import Loaded, load, same

from seqloader.executors.process.consumer.state import StateFile
from seqloader.executors.process.worker.state import StateLoader

scalars = st.integers(-3, 3) | st.text(max_size=3) | st.booleans() | st.none()
values = st.recursive(
    scalars
    | st.builds(np.full, st.sampled_from([0, 3, 1 << 14]), st.integers(0, 3))
    | st.builds(lambda v: [v] * 1500, scalars)
    | st.builds(lambda v: dict.fromkeys(range(1200), v), scalars)
    | st.builds(lambda v: [(i, v) for i in range(1100)], scalars),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.builds(lambda v: Loaded(x=v), inner)
    ),
    max_leaves=5,
)
edits = st.tuples(
    st.sampled_from(["bind", "alias", "delete", "inside", "nothing"]),
    st.sampled_from("abcd"),
    st.sampled_from("abcd"),
    values,
)


def change_inside(value):
    """Change a value in place where it has an inside; say whether it did."""
    if isinstance(value, np.ndarray) and value.size:
        value.flat[-1] += 1
    elif isinstance(value, list):
        value.append("more")
    elif isinstance(value, dict):
        value["more"] = 1
    elif isinstance(value, Loaded):
        value.more = object  # a class, pickled by name
        value.count = getattr(value, "count", 0) + 1
    else:
        return False
    return True


def edit_sequence(sequence, kind, name, other, value):
    """Apply an edit; say whether the contents are certainly as before."""
    attributes = sequence.__dict__
    if kind == "bind":
        attributes[name] = value
    elif kind == "alias" and other in attributes:
        attributes[name] = attributes[other]
    elif kind == "delete" and name in attributes:
        del attributes[name]
    elif kind == "inside" and name in attributes:
        return not change_inside(attributes[name])
    else:
        return True
    return False


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), values), st.lists(edits, max_size=6))
def test_every_loaded_copy_equals_the_original(attributes, changes):
    file = StateFile()
    try:
        sequence = Loaded(**attributes)
        assert file.publish(sequence, in_place=False)
        loader = StateLoader(file.fd)
        for change in changes:
            unchanged = edit_sequence(sequence, *change)
            published = file.publish(sequence, in_place=True)
            assert not (unchanged and published)
            assert same(load(file, loader), sequence)
            file.reclaim([loader.acknowledged()])
        assert same(load(file), sequence)
    finally:
        file.close()
