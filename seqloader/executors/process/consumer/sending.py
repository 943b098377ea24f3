"""The pickle of a Sequence: one head, with everything large beside it.

One pickle holds the whole object, so that what is one object twice in the Sequence is one object
twice in the worker. Out of it stay the memory of arrays, as out-of-band buffers, and large flat
containers, as persistent ids: both are compared and sent by themselves. The memory of shared arrays
is a persistent id too, and is not sent at all.

Arrays that share memory are seen only when all of them are known. Then the object is pickled once
more, with them as views of regions (`wire/overlaps.py`); where nothing is shared, which is nearly
always, that costs nothing.
"""

from __future__ import annotations

import copyreg
import io
import pickle
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from seqloader.arrays import is_plain
from seqloader.errors import ERRORS, as_raisable
from seqloader.executors.process.consumer.change import LARGE_FROM, Kept, is_flat
from seqloader.executors.process.consumer.mp_objects import PassedDescriptors, reduce_shared
from seqloader.executors.process.wire import foreign
from seqloader.executors.process.wire.culprit import find_culprit
from seqloader.executors.process.wire.definitions.pickler import DefinitionPickler, dumps
from seqloader.executors.process.wire.definitions.registrations import with_reductions
from seqloader.executors.process.wire.memmap import FileMap, file_map_of
from seqloader.executors.process.wire.overlaps import Regions, find_regions
from seqloader.executors.process.wire.refusals import explain_sent, is_known_kind
from seqloader.executors.process.wire.views import (
    Region,
    has_default_reduction,
    reduce_dense,
    reduce_view,
    with_attributes,
)
from seqloader.memory.shared_arrays import SharedMemory, memory_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from numpy.typing import NDArray

__all__ = ["SMALL_BYTES", "Pickled", "pickle_function", "pickle_part", "pickle_state"]

SMALL_BYTES: Final = 1 << 16
"""Arrays below it travel inside the head: a mapping's page faults would cost more than a copy."""


class Pickled(NamedTuple):
    """A Sequence, taken apart. The buffers are views of the Sequence's own memory."""

    head: NDArray[np.uint8]
    buffers: list[NDArray[np.uint8]]
    externals: list[Kept]
    shared: list[SharedMemory]
    modules: frozenset[str]
    """What has to be imported to load it."""
    is_private: bool
    """Whether it refers to nothing that this process may change once it is sent: no shared memory,
    no file that is mapped for writing, no object of multiprocessing."""


def pickle_state(
    sequence: Any, kept: Iterable[Kept] = (), passed: PassedDescriptors | None = None
) -> Pickled:
    """Take a Sequence apart.

    Args:
        kept: the externals of the version before.
        passed: gets the descriptors that its workers have to inherit.
    """
    with (passed or PassedDescriptors()).pickling():
        try:
            state = _State(kept)
            pickled = state.take_apart(with_reductions(sequence))
            regions = state.find_regions()
            if regions:
                pickled = _State(kept, regions).take_apart(with_reductions(sequence))
        except ERRORS as error:
            explained = _explained(error, sequence, "sequence", "the Sequence", _trial_pickler)
            if explained is error:
                raise
            raise explained from error
    return pickled


def pickle_part(obj: Any, blind_to: Container[int] = ()) -> Pickled:
    """Take apart what a Sequence holds, without the objects of these ids."""
    return _State(blind_to=blind_to).take_apart(obj)


def pickle_function(function: Any, name: str) -> tuple[bytes, bool]:
    """The pickle of a function for workers, and whether it refers to nothing that this process may
    change once it is sent. `name`: what messages call it."""
    reach = _Reach()
    try:
        return dumps(function, reach.reduce), reach.is_private
    except ERRORS as error:
        explained = _explained(error, function, name, name, _function_pickler)
        if explained is error:
            raise
        raise explained from error


def _explained(
    error: BaseException, obj: Any, name: str, what: str, make_pickler: Callable[[io.BytesIO], Any]
) -> BaseException:
    """What to raise in place of an error of pickling, which says only what is no help."""
    if isinstance(error, MemoryError):  # says nothing about the object
        return error
    culprit = find_culprit(obj, name, make_pickler, is_known_kind)
    explained = explain_sent(culprit, error, what)
    for kind in (TypeError, pickle.PicklingError):
        if isinstance(error, kind):
            return kind(explained)
    raisable = as_raisable(error, f"the pickling of {culprit.location}")
    raisable.add_note(explained)
    return raisable


class _StatePickler(DefinitionPickler):
    def __init__(self, file: io.BytesIO, state: _State) -> None:
        super().__init__(file, state.reduce, buffer_callback=state.is_small)
        self._state = state

    # Called for every object, so that aliasing is kept wherever it is.
    def persistent_id(self, obj: Any) -> int | tuple[int] | None:
        """The number of an external; that of shared memory, in a tuple."""
        state = self._state
        if state.blind_to and id(obj) in state.blind_to:
            return 0
        kind = type(obj)
        large_from = LARGE_FROM.get(kind)
        if large_from is not None:
            return state.external(obj) if len(obj) >= large_from else None
        return (state.number_of(obj),) if kind is SharedMemory else None


class _Reach:
    """Whether something that is pickled refers to what this process may change afterwards."""

    def __init__(self) -> None:
        self.is_private = True
        self._of_multiprocessing: dict[type, bool] = {}

    def reduce(self, obj: Any) -> Any:
        """As `reduce_shared`."""
        kind = type(obj)
        is_shared = self._of_multiprocessing.get(kind)
        if is_shared is None:
            is_shared = any(base.__module__.startswith("multiprocessing") for base in kind.__mro__)
            self._of_multiprocessing[kind] = is_shared
        reduced = reduce_shared(obj)
        if is_shared or reduced is not NotImplemented:
            self.is_private = False
        return reduced


class _State:
    """What a Sequence holds, found while it is pickled: most is beside the pickle."""

    def __init__(
        self,
        kept: Iterable[Kept] = (),
        regions: Regions | None = None,
        blind_to: Container[int] = (),
    ) -> None:
        self._buffers: list[NDArray[np.uint8]] = []
        self._externals: list[Kept] = []
        self._shared: dict[SharedMemory, int] = {}
        """The memory of shared arrays, numbered."""
        self._kept = list(kept)
        self._kept_by_id = {id(one.container): one for one in self._kept}
        self._seen: dict[int, tuple[Any, int | None]] = {}
        """Large containers by id, kept alive: number of the external, None where not flat."""
        self._file_maps: dict[int, FileMap | None] = {}
        self._regions = regions
        self.blind_to = blind_to
        self._arrays: list[NDArray[Any]] = []
        """Whose memory is sent, so far. Kept alive: no other array gets their addresses."""
        self._reach = _Reach()
        self._views = False
        """Whether one of them may lie in memory of another."""

    def take_apart(self, obj: Any) -> Pickled:
        """Take an object apart. Once only."""
        head = io.BytesIO()
        pickler = _StatePickler(head, self)
        pickler.dump(obj)
        data = np.frombuffer(head.getbuffer(), np.uint8)
        shared = list(self._shared)
        private = self._reach.is_private and not shared
        return Pickled(data, self._buffers, self._externals, shared, pickler.modules(), private)

    def find_regions(self) -> Regions:
        """The regions that arrays pickled here share: to be pickled again with them."""
        return find_regions(self._arrays) if self._views else Regions()

    def number_of(self, memory: SharedMemory) -> int:
        """Of the memory of a shared array."""
        return self._shared.setdefault(memory, len(self._shared))

    def external(self, container: Any) -> int | None:
        """The number of the external that stands for a large container, if one does."""
        if id(container) not in self._seen:
            kept = self._recall(container)
            if kept is None and is_flat(container):
                kept = Kept(container)
            if kept is not None:
                self._externals.append(kept)
            number = None if kept is None else len(self._externals) - 1
            self._seen[id(container)] = container, number
        return self._seen[id(container)][1]

    def _recall(self, container: Any) -> Kept | None:
        """What was kept of it for the version before, if it still holds the same."""
        kept = self._kept_by_id.get(id(container))
        if kept is None and len(self._externals) < len(self._kept):
            # A `__getstate__` may build a new container of the same elements each time.
            kept = self._kept[len(self._externals)]
        return kept if kept is not None and kept.same(container) else None

    def reduce(self, obj: Any) -> Any:
        """Reduce arrays to what the worker can map."""
        if isinstance(obj, np.ndarray):
            return self._reduce_array(obj)
        reduced = self._reach.reduce(obj)
        return self._reduce_tensor(obj) if reduced is NotImplemented else reduced

    def _reduce_array(self, array: NDArray[Any]) -> Any:
        cls = type(array)
        if not is_plain(array.dtype) or not has_default_reduction(cls):
            return NotImplemented
        if cls in copyreg.dispatch_table:
            return NotImplemented
        memory = memory_of(array)
        if memory is not None and not memory.private:
            return with_attributes(array, reduce_view(array, memory))
        file_map = file_map_of(array, self._file_maps)
        if file_map is not None:
            self._reach.is_private &= file_map.mode == "r"
            return reduce_view(array, file_map)
        region = self._region_of(array)
        if isinstance(array, np.memmap):
            array, cls = np.asarray(array), np.ndarray  # its file does not come along
        if region is not None:
            return with_attributes(array, reduce_view(array, region))
        if cls is np.ndarray and array.nbytes < SMALL_BYTES and _is_kept_by_numpy(array):
            return NotImplemented
        return with_attributes(array, reduce_dense(array, cls))

    def _region_of(self, array: NDArray[Any]) -> Region | None:
        if self._regions:
            return self._regions.find(array)
        self._arrays.append(array)
        self._views = self._views or array.base is not None
        return None

    def _reduce_tensor(self, tensor: Any) -> Any:
        """A reduced tensor, with an array in place of its buffer where others use that too."""
        reduced = foreign.reduce_torch(tensor, overlaps=True)
        if reduced is NotImplemented:
            return reduced
        rebuild, (buffer, *rest) = reduced
        array = np.asarray(buffer.raw())
        if memory_of(array) is None and self._region_of(array) is None:
            return reduced
        return rebuild, (array, *rest)

    def is_small(self, buffer: pickle.PickleBuffer) -> bool:
        """Whether a buffer travels inside the pickle; otherwise it is kept."""
        raw = buffer.raw()
        if raw.nbytes < SMALL_BYTES:
            return True
        self._buffers.append(np.frombuffer(raw, np.uint8))
        return False


def _trial_pickler(file: io.BytesIO) -> _StatePickler:
    return _StatePickler(file, _State())


def _function_pickler(file: io.BytesIO) -> DefinitionPickler:
    return DefinitionPickler(file, reduce_shared)


def _is_kept_by_numpy(array: NDArray[Any]) -> bool:
    """Whether numpy's own pickle of a small array keeps its strides and its read-only flag."""
    return array.flags.forc and (array.flags.writeable or array.dtype.kind in "biufc")
