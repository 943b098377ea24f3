"""A Sequence as it was made, of which copies can be had in the same process."""

from __future__ import annotations

import io
import pickle
from typing import Any

import cloudpickle
import numpy as np

from seqloader.executors.process.wire.memmap import FileMap, file_map_of

__all__ = ["Original"]


class Original:
    """Keeps a pickle of an object; mapped files, which may be huge, are kept as they are."""

    def __init__(self, sequence: Any) -> None:
        self._maps: list[Any] = []
        data = io.BytesIO()
        _Pickler(data, self._maps).dump(sequence)
        self._data = data.getvalue()

    def copy(self) -> Any:
        """An object equal to what the original was."""
        return _Unpickler(io.BytesIO(self._data), self._maps).load()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, file: Any, maps: list[Any]) -> None:
        super().__init__(file, protocol=5)
        self._maps = maps
        self._known: dict[int, FileMap | None] = {}

    def persistent_id(self, obj: Any) -> int | None:
        if not isinstance(obj, np.ndarray) or file_map_of(obj, self._known) is None:
            return None
        self._maps.append(obj)
        return len(self._maps) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, maps: list[Any]) -> None:
        super().__init__(file)
        self._maps = maps

    def persistent_load(self, pid: Any) -> Any:
        return self._maps[pid]
