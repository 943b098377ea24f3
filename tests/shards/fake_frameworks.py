"""Frameworks that are not there: as much of each as `shard="auto"` asks."""

from __future__ import annotations

from types import SimpleNamespace

__all__ = ["fake_jax", "fake_keras", "fake_torch"]


def fake_torch(rank=0, world_size=1, *, available=True, initialised=True):
    """Modules of torch whose process group has `world_size` processes."""
    if not available:  # a build without it has nothing else in that module
        distributed = SimpleNamespace(is_available=lambda: False)
    else:
        distributed = SimpleNamespace(
            is_available=lambda: True,
            is_initialized=lambda: initialised,
            get_rank=lambda: rank,
            get_world_size=lambda: world_size,
        )
    return {"torch": SimpleNamespace(distributed=distributed), "torch.distributed": distributed}


def fake_jax(index=0, count=1, *, distributed=False, backends=False, asked=None):
    """Modules of jax; `asked` gets a note of every question that would start its backends."""

    def answer(value):
        if asked is not None:
            asked.append(value)
        return value

    jax = SimpleNamespace(
        distributed=SimpleNamespace(is_initialized=lambda: distributed),
        process_index=lambda: answer(index),
        process_count=lambda: answer(count),
    )
    bridge = SimpleNamespace(backends_are_initialized=lambda: backends)
    return {"jax": jax, "jax._src.xla_bridge": bridge}


def fake_keras(processes=1, shard_id=0, replicas=None):
    """The module of a keras with a distribution over `processes`; None: none was set."""
    distribution = None
    if processes is not None:
        distribution = SimpleNamespace(
            num_processes=processes,
            num_model_replicas=replicas or processes,
            data_shard_id=shard_id,
        )
    return {
        "keras": SimpleNamespace(distribution=SimpleNamespace(distribution=lambda: distribution))
    }
