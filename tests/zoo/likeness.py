"""What an object is, in words that can be compared between processes: all that pickle may lose.

Types, contents, the order of dictionaries, which objects are one object, and of arrays dtype with
metadata, strides, the read-only flag, a subclass's attributes, and who shares memory with whom.
"""

from __future__ import annotations

import copyreg
import gc
import random
import struct
import types
import weakref
from collections import abc

import numpy as np

from seqloader.arrays import byte_bounds

ATOMS = (type(None), bool, int, str, bytes)
DICT_VIEWS = (abc.KeysView, abc.ValuesView, abc.ItemsView)


def describe(obj, *, memory=True):
    """`memory`: also how the memory of arrays is laid out, and who shares it."""
    walk = _Walk(memory)
    described = walk.of(obj)
    return repr((described, walk.shared() if memory else None))


class _Walk:
    def __init__(self, memory):
        self._memory = memory
        self._seen = {}
        self._arrays = []

    def of(self, obj):
        kind = type(obj)
        if kind in ATOMS:
            return kind.__name__, obj
        if kind is float:
            return "float", struct.pack("d", obj).hex()
        if id(obj) in self._seen:
            return "again", self._seen[id(obj)][0]
        self._seen[id(obj)] = len(self._seen), obj  # kept alive: no other object gets its id
        return f"{kind.__module__}.{kind.__qualname__}", self._inside(kind, obj)

    def _inside(self, kind, obj):
        if obj is random._inst or obj is np.random.mtrand._rand:
            return "the global one"
        if issubclass(kind, (type, types.ModuleType)):
            return obj.__name__
        if issubclass(kind, np.ndarray):
            return self._of_array(obj)
        if kind is dict:
            return [(self.of(key), self.of(value)) for key, value in obj.items()]
        if kind in (list, tuple):
            return [self.of(part) for part in obj]
        if kind in (set, frozenset, weakref.WeakSet):
            return sorted(repr(type(self)(self._memory).of(part)) for part in obj)
        if kind is weakref.ref:
            return self.of(obj())
        if kind in (weakref.WeakKeyDictionary, weakref.WeakValueDictionary):
            return [(self.of(key), self.of(value)) for key, value in obj.items()]
        if kind is types.MappingProxyType or issubclass(kind, DICT_VIEWS):
            return [self.of(part) for part in gc.get_referents(obj)]
        if kind is types.FunctionType:
            cells = [cell.cell_contents for cell in obj.__closure__ or ()]
            return [obj.__qualname__, self.of(obj.__defaults__), self.of(cells), self.of(vars(obj))]
        if kind in (types.BuiltinFunctionType, types.MethodType):
            return [obj.__name__, self.of(obj.__self__)]
        if kind is property:
            return [self.of(part) for part in (obj.fget, obj.fset, obj.fdel, obj.__doc__)]
        if kind in (staticmethod, classmethod):
            return self.of(obj.__func__)
        reducer = copyreg.dispatch_table.get(kind)
        reduced = obj.__reduce_ex__(4) if reducer is None else reducer(obj)
        if isinstance(reduced, str):
            return reduced
        func, args, state, items, pairs = (*reduced, None, None, None)[:5]
        both = list(items or ()), list(pairs or ())
        if type(state) is tuple:
            state = tuple(None if _is_none(part) else part for part in state)
        return [
            getattr(func, "__qualname__", ""),
            self.of(args),
            self.of(None if _is_none(state) else state),
            self.of(both),
        ]

    def _of_array(self, array):
        plain = np.asarray(array)
        kind = (plain.dtype.str, plain.dtype.descr, dict(plain.dtype.metadata or {}), plain.shape)
        if plain.dtype.hasobject:
            return kind, [self.of(part) for part in plain.ravel().tolist()]
        own = dict(getattr(array, "__dict__", {}))
        if isinstance(array, np.ma.MaskedArray):
            own = {"mask": np.array(array.mask), "fill": array.fill_value}
        layout = None
        if self._memory:
            layout = (plain.strides if plain.size else (), plain.flags.writeable)
            if plain.size:
                self._arrays.append(plain)
        return kind, layout, plain.tobytes(), self.of(own)

    def shared(self):
        """Pairs of arrays that overlap, and by how many bytes their first elements are apart."""
        ranges = [(*byte_bounds(array), array.ctypes.data) for array in self._arrays]
        return [
            (one, other, ranges[other][2] - ranges[one][2])
            for one in range(len(ranges))
            for other in range(one)
            if ranges[one][0] < ranges[other][1] and ranges[other][0] < ranges[one][1]
        ]


def _is_none(state):
    """An empty `__dict__` is there or not, and so is the position of an iterator at its end."""
    return type(state) in (dict, int) and not state
