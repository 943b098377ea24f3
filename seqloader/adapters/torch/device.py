"""TorchLoader's way to a device. Not imported where batches stay on the CPU."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Any

from seqloader.adapters.device.drivers import driver_for
from seqloader.adapters.device.feed import DeviceFeed
from seqloader.adapters.frameworks import framework
from seqloader.adapters.nests import map_leaves
from seqloader.adapters.torch.tensors import as_tensor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["device_feed"]

torch = framework("torch", extra="torch")


def device_feed(device: Any, ahead: int) -> DeviceFeed:
    """The feed of a device, which is no CPU."""
    return DeviceFeed(driver_for(torch, device), ahead, _flatten)


def _flatten(batch: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The tensors of a batch of arrays; see `DeviceFeed`."""
    leaves: list[Any] = []
    map_leaves(lambda leaf: leaves.append(as_tensor(leaf)), batch)
    moves = [isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu" for leaf in leaves]

    def rebuilt(moved: list[Any]) -> Any:
        on_device = iter(moved)
        results = iter(
            [next(on_device) if m else leaf for leaf, m in zip(leaves, moves, strict=True)]
        )
        return map_leaves(lambda _: next(results), batch)

    return list(compress(leaves, moves)), rebuilt
