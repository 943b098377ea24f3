"""Which shard is ours: as it was given, or found in what this process trains with.

`shard="auto"` asks these, and the first that answers decides:

    torch.distributed     where its process group is initialised
    keras.distribution    where one is set that spans several processes
    jax                   where it runs on several processes
    environment           RANK and WORLD_SIZE, as torchrun and other launchers set them

Rules
    R1  No framework is imported for it: who has not imported one does not train with it.
    R2  jax is asked only where the answer costs it nothing: its first answer starts its backends,
        and after that `jax.distributed.initialize()` is refused.
    R3  keras and jax answer only for several processes. One process is what they say by default,
        also in a script that a launcher started many times: then the environment knows better.
    R4  keras comes before jax. It stands on jax, and knows more: where a model is spread over
        several processes (`ModelParallel`), all of them must get the same batches.
    R5  Nothing found is one shard of one, so that a script runs the same without a launcher.
    R6  It is asked when an epoch begins, not only when the enqueuer is made: that may be before the
        trainer has made the process group.

Not here: what a shard delivers (`order.plan`).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, SupportsIndex, TypeAlias

from seqloader.errors.integers import as_integer
from seqloader.order import Shard

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

__all__ = [
    "ShardArgument",
    "find_shard",
    "first_shard",
    "resolve_shard",
    "shard_of_group",
    "shard_source",
]

ShardArgument: TypeAlias = (
    tuple[SupportsIndex, SupportsIndex] | list[int] | Shard | Literal["auto"] | None
)
"""What `shard=` may be."""


def resolve_shard(shard: ShardArgument) -> Shard:
    """Return the shard that the argument `shard=` of an enqueuer means.

    Args:
        shard: (id, count): part number `id`, from 0, of `count` equal parts. "auto": found, as the
            head of this file says; the logger "seqloader" tells at INFO where. None: the whole.

    Raises:
        TypeError: `shard` has another form.
        ValueError: id and count do not fit, in `shard` or in what was found.
    """
    ours, source = _sourced(shard)
    if source in (NOT_FOUND, *_SOURCES):
        _log().info('shard="auto": %d of %d (%s)', ours.id, ours.count, source)
    if source == TORCH:
        _warn_if_the_launcher_differs(ours)
    return ours


def first_shard(shard: ShardArgument) -> Shard:
    """As `resolve_shard`, when an enqueuer is made: what "auto" finds may be half of it yet."""
    try:
        return resolve_shard(shard)
    except ValueError:
        # Lightning, for one, sets WORLD_SIZE and no RANK before it makes the process group.
        if shard == "auto":
            return Shard()
        raise


def find_shard() -> Shard:
    """What "auto" finds now, and says nothing of. ValueError: it does not fit."""
    return _find().shard


def shard_of_group() -> Shard | None:
    """What a framework says that runs on several processes; None: there is none."""
    found, source = _find()
    return found if source in (TORCH, KERAS, JAX) else None


def shard_source(shard: ShardArgument) -> str:
    """Say where `resolve_shard(shard)` has it from: words for a message. Raises as that does."""
    return _sourced(shard).source


def _log() -> logging.Logger:
    import logging  # by whoever has something found: it takes long

    return logging.getLogger("seqloader")


class _Sourced(NamedTuple):
    shard: Shard
    source: str


def _sourced(shard: Any) -> _Sourced:
    if shard is None:
        return _Sourced(Shard(), "shard=None")
    if isinstance(shard, str):
        if shard == "auto":
            return _find()
        raise ValueError(f'shard must be (id, count), "auto" or None, not {shard!r}')
    if isinstance(shard, Shard):
        shard = (shard.id, shard.count)
    if isinstance(shard, (tuple, list)) and len(shard) == 2:
        return _Sourced(_checked(shard, "shard"), f"shard=({shard[0]}, {shard[1]})")
    hint = ": a shard's id needs their count beside it" if as_integer(shard) is not None else ""
    raise TypeError(
        'shard must be a pair (id, count) of integers, "auto" or None (the whole), '
        f"not {shard!r}{hint}"
    )


def _checked(pair: tuple[Any, Any] | list[Any], source: str) -> Shard:
    """The shard of the two numbers that `source` gave."""
    number, count = (as_integer(value) for value in pair)
    if number is None or count is None:
        raise TypeError(
            f"{source} must be a pair (id, count) of integers, not ({pair[0]!r}, {pair[1]!r})"
        )
    if count < 1:
        raise ValueError(f"{source} is ({number}, {count}): the count must be at least 1")
    if not 0 <= number < count:
        swapped = f". Did you mean ({count}, {number})?" if count < number else ""
        raise ValueError(
            f"{source} is ({number}, {count}), meaning (id, count): the ids of {count} "
            f"{'shard' if count == 1 else 'shards'} are 0 ... {count - 1}{swapped}"
        )
    return Shard(number, count)


# --- "auto" -------------------------------------------------------------------------------

TORCH: Final = "torch.distributed"
KERAS: Final = "keras.distribution"
JAX: Final = "jax"
ENVIRONMENT: Final = "(RANK, WORLD_SIZE) in the environment"
NOT_FOUND: Final = (
    "nothing found: no torch.distributed, no keras.distribution or jax on several processes, "
    "no RANK and WORLD_SIZE in the environment"
)


def _find() -> _Sourced:
    for source, ask in _SOURCES.items():
        if (pair := ask()) is not None:
            return _Sourced(_checked(pair, f'shard="auto", from {source},'), source)
    return _Sourced(Shard(), NOT_FOUND)


def _ask_torch() -> tuple[int, int] | None:
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed.get_rank(), distributed.get_world_size()


def _ask_keras() -> tuple[int, int] | None:
    # An older Keras, without `data_shard_id`, leaves the answer to jax, on which it stands.
    keras: Any = sys.modules.get("keras")
    current = getattr(getattr(keras, "distribution", None), "distribution", None)
    distribution: Any = None if current is None else current()
    processes = getattr(distribution, "num_processes", 1)
    if processes <= 1 or not hasattr(distribution, "data_shard_id"):
        return None
    return distribution.data_shard_id, min(processes, distribution.num_model_replicas)


def _ask_jax() -> tuple[int, int] | None:
    jax: Any = sys.modules.get("jax")
    if jax is None or not (_jax_is_distributed(jax) or _jax_backends_are_there()):
        return None
    count = jax.process_count()
    return (jax.process_index(), count) if count > 1 else None


def _jax_is_distributed(jax: Any) -> bool:
    asked = getattr(getattr(jax, "distributed", None), "is_initialized", None)
    return False if asked is None else bool(asked())


def _jax_backends_are_there() -> bool:
    # On TPU pods jax knows its processes without `jax.distributed`. That its backends are started
    # only a private module tells; every public function that could, starts them (R2). Where jax
    # has moved it, we do without, and find those that called `jax.distributed.initialize()`.
    asked = getattr(sys.modules.get("jax._src.xla_bridge"), "backends_are_initialized", None)
    return False if asked is None else bool(asked())


def _ask_environment() -> tuple[int, int] | None:
    rank, count = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None and count is None:
        return None
    if rank is None or count is None:
        there, missing = ("RANK", "WORLD_SIZE") if count is None else ("WORLD_SIZE", "RANK")
        raise ValueError(
            f'shard="auto" found {there}={os.environ[there]!r} in the environment, but no '
            f"{missing}: a launcher such as torchrun sets both. Set {missing} too, unset "
            f"{there}, or pass shard=(id, count)"
        )
    try:
        return int(rank), int(count)
    except ValueError:
        raise ValueError(
            f'shard="auto" found RANK={rank!r} and WORLD_SIZE={count!r} in the environment: both '
            "must be whole numbers. Mend them, unset both, or pass shard=(id, count)"
        ) from None


def _warn_if_the_launcher_differs(ours: Shard) -> None:
    # No Python warning: torch's group is what the training runs on, so ours is right; and a group
    # that is smaller than what the launcher started may be meant.
    try:
        said = _ask_environment()
    except ValueError:
        return
    if said is not None and said != (ours.id, ours.count):
        _log().warning(
            'shard="auto" takes %d of %d, from the initialised torch.distributed; RANK=%d and '
            "WORLD_SIZE=%d in the environment say otherwise. If that is not meant, initialise the "
            "process group from the environment, or pass shard=(id, count)",
            *(ours.id, ours.count, *said),
        )


_SOURCES: Final[dict[str, Callable[[], tuple[int, int] | None]]] = {
    TORCH: _ask_torch,
    KERAS: _ask_keras,
    JAX: _ask_jax,
    ENVIRONMENT: _ask_environment,
}
