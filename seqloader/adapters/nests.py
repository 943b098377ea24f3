"""What lies in a batch, leaf by leaf, at little cost for each batch."""

from __future__ import annotations

import copy
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seqloader.samples.nest import children_of, form_of, keys_of, rebuilt

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["map_leaves"]

LEAVES: Final = frozenset({np.ndarray, str, bytes, int, float, bool, type(None)})


def map_leaves(call: Callable[[Any], Any], node: Any) -> Any:
    """The nest with `call(leaf)` in place of each leaf.

    Tuples, lists, mappings, named tuples and dataclasses keep their types. No class of theirs is
    called: a dataclass is copied, and its fields are set.
    """
    # What nearly every batch consists of is told by its exact type: `form_of` takes 3 us a node.
    kind = type(node)
    if kind is tuple:
        return tuple([map_leaves(call, child) for child in node])
    if kind is dict:
        return {key: map_leaves(call, child) for key, child in node.items()}
    if kind is list:
        return [map_leaves(call, child) for child in node]
    if kind in LEAVES:
        return call(node)
    if isinstance(node, MutableMapping):
        made: Any = copy.copy(node)
        for key in node:
            made[key] = map_leaves(call, node[key])
        return made
    form = form_of(kind)
    if form is None:
        return call(node)
    keys = keys_of(node, form)
    children = [map_leaves(call, child) for child in children_of(node, form, keys)]
    return rebuilt(node, form, keys, children)
