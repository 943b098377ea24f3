"""JaxLoader: batches as JAX arrays, on their devices when the loop gets them.

Whose memory it is

    On a CPU, JAX views the memory that a worker wrote if it is aligned to 64 bytes, as ours is, and
    copies nothing. jaxlib gives memory back late: when a computation that reads it has run, and
    something calls JAX after that. A loop that waits for no result runs some 32 computations ahead,
    and as many batches are held. Nothing is overwritten: a block is written again after the last
    reference to it is gone, whoever holds it and however long, and until then workers use others.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from seqloader.adapters.frameworks import framework
from seqloader.adapters.nests import map_leaves
from seqloader.adapters.owner import EnqueuerOwner
from seqloader.adapters.prefetch import Prefetched
from seqloader.errors.integers import checked_integer

if TYPE_CHECKING:
    from collections.abc import Mapping

jax = framework("jax", extra="jax", at_least="0.4.34")

__all__ = ["JaxLoader"]


class JaxLoader(EnqueuerOwner[Any]):
    """The batches of an enqueuer as JAX arrays, put on their devices ahead of the loop.

    `for batch in loader:` is one epoch, which begins when its first batch is asked for. Nests keep
    their structure. NumPy and JAX arrays become `jax.Array`s; what JAX has no type for (strings,
    dates, objects) stays as it is, and so do Python's own numbers. Unless `jax_enable_x64` is set,
    JAX makes arrays of 64 bits those of 32: float64 is rounded, and of integers the lower half is
    kept, without a word.

    Args:
        source: A Sequence, or whatever else an `OrderedEnqueuer` takes; or an enqueuer.
        sharding: Where to: a `jax.Device`, a `Sharding`, or None for JAX's default device. Every
            array of a batch is laid out so. Where it reaches over several processes, each gives
            its own part of the global batch (`shard="auto"`, and all parts of one size).
        prefetch: How many batches are put on their devices ahead of the loop, beside the one that
            it has; 0 for none.
        options: The arguments of `OrderedEnqueuer`, where one is to be made.

    Raises:
        TypeError, ValueError: An argument is wrong; nothing was started.

    Threads: iterate from one thread; several may take turns.
    """

    def __init__(
        self, source: Any, *, sharding: Any = None, prefetch: int = 2, **options: Any
    ) -> None:
        if not (sharding is None or isinstance(sharding, (jax.Device, jax.sharding.Sharding))):
            raise TypeError(
                f"sharding must be a jax.Device, a jax.sharding.Sharding or None, not {sharding!r}"
            )
        self._prefetch = checked_integer("prefetch", prefetch, 0)
        super().__init__(source, **options)
        self._put = partial(_put, sharding)

    def __len__(self) -> int:
        """Number of batches that a whole epoch has on this shard."""
        return len(self._enqueuer)

    def __iter__(self) -> Prefetched[Any, Any]:
        """The batches of the coming epoch, or of what is left of one that a loaded state is in."""
        return Prefetched(self._enqueuer, self._prefetch, self._put)

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands: after the last batch that the loop got. Any thread, any moment."""
        return self._enqueuer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any], **options: bool) -> None:
        """Go on where `state` was saved; as `OrderedEnqueuer.load_state_dict`, `options` too."""
        self._enqueuer.load_state_dict(state, **options)


def _put(sharding: Any, batch: Any, padding: bool) -> Any:
    """The batch on its devices. Copies are begun, and may not have ended."""
    arrays: list[Any] = []
    map_leaves(lambda leaf: arrays.append(leaf) if _is_taken(leaf) else None, batch)
    try:
        moved = iter(_moved(sharding, arrays))
    except ValueError as error:
        _explain(error, sharding, batch)
        raise
    return map_leaves(lambda leaf: next(moved) if _is_taken(leaf) else leaf, batch)


def _moved(sharding: Any, arrays: list[Any]) -> list[Any]:
    shared = isinstance(sharding, jax.sharding.Sharding) and not sharding.is_fully_addressable
    if shared:  # with other processes
        return [jax.make_array_from_process_local_data(sharding, array) for array in arrays]
    moved: list[Any] = jax.device_put(arrays, sharding)  # one call for all: each takes its time
    return moved


def _is_taken(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) or (isinstance(leaf, np.ndarray) and _has_type(leaf.dtype))


@lru_cache
def _has_type(dtype: np.dtype[Any]) -> bool:
    """Whether JAX has it, by another length or not; it knows more of them than NumPy does."""
    subtype = jax.numpy.issubdtype
    return dtype.isnative and (subtype(dtype, np.number) or subtype(dtype, np.bool_))


def _explain(error: ValueError, sharding: Any, batch: Any) -> None:
    shapes = map_leaves(lambda leaf: getattr(leaf, "shape", leaf), batch)
    error.add_note(
        f"raised when a batch of shapes {shapes} was laid out as {sharding}. A batch that cannot "
        "be split evenly over the devices is often the last one of an epoch: leave it out "
        "(`drop_last`, or one less in `__len__`) or fill it up"
    )
