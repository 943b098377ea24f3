"""Arrays of torch, JAX and TensorFlow, as plain memory and back.

A framework is looked up in `sys.modules` and never imported to ask whether an object is one of
its arrays: where it is not imported, no such array can be. Rebuilding imports it.
"""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np

from seqloader.executors.process.wire.views import is_worth_overlapping

__all__ = [
    "rebuild_jax",
    "rebuild_tensorflow",
    "rebuild_torch",
    "reduce_jax",
    "reduce_tensorflow",
    "reduce_torch",
]


def reduce_torch(tensor: Any, *, overlaps: bool = False) -> Any:
    """Reduce a dense CPU tensor to its memory, out of band.

    `overlaps`: keep elements that lie over each other so (`expand`), however small.

    Subclasses, sparse, quantized, nested, lazily conjugated tensors and those that carry Python
    attributes are left to torch's own (slower) way.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None or type(tensor) is not torch.Tensor:
        return NotImplemented
    if tensor.device.type != "cpu":
        raise pickle.PicklingError(f"it lies on the device {str(tensor.device)!r}")
    if (
        tensor.layout is not torch.strided
        or tensor.is_quantized
        or tensor.is_nested
        or tensor.is_conj()
        or tensor.is_neg()
        or any(getattr(tensor, "names", ()))
        or tensor.__dict__
    ):
        return NotImplemented
    # As bytes, since numpy knows no bfloat16; flat first, since a 0-d tensor cannot change its
    # item size.
    dtype_name = str(tensor.dtype).removeprefix("torch.")
    shape = tuple(tensor.shape)
    flat, strides = _flat(tensor.detach(), overlaps)
    memory = pickle.PickleBuffer(flat.view(torch.uint8).numpy())
    return rebuild_torch, (memory, dtype_name, shape, tensor.requires_grad, strides)


def _flat(tensor: Any, overlaps: bool) -> tuple[Any, tuple[int, ...] | None]:
    """The memory of a tensor, and its strides in it where they are not the usual ones.

    Those of `channels_last`, for one. Where elements are left out, they are copied.
    """
    if not tensor.is_contiguous():
        strides = tuple(tensor.stride())
        extent = 1 + sum((n - 1) * step for n, step in zip(tensor.shape, strides, strict=True))
        size, item = tensor.numel(), tensor.element_size()
        if extent == size or (
            extent < size and (overlaps or is_worth_overlapping(size * item, extent * item))
        ):
            return tensor.as_strided((extent,), (1,)), strides
    return tensor.contiguous().reshape(-1), None


def rebuild_torch(
    buffer: Any,
    dtype_name: str,
    shape: tuple[int, ...],
    requires_grad: bool,
    strides: tuple[int, ...] | None = None,
) -> Any:
    """A tensor over `buffer`, which lives as long as the tensor."""
    import torch

    dtype = getattr(torch, dtype_name)
    if 0 in shape:  # `frombuffer` refuses empty buffers
        tensor = torch.empty(shape, dtype=dtype)
    else:
        if memoryview(buffer).readonly:
            buffer = bytearray(buffer)
        tensor = torch.frombuffer(buffer, dtype=dtype)
        tensor = tensor.reshape(shape) if strides is None else tensor.as_strided(shape, strides)
    return tensor.requires_grad_() if requires_grad else tensor


def reduce_jax(array: Any) -> Any:
    """Reduce a JAX array to a numpy array, from whatever device it lies on."""
    jax: Any = sys.modules.get("jax")
    if jax is None or not isinstance(array, jax.Array):
        return NotImplemented
    if getattr(array, "weak_type", False):  # which numpy has no word for, and JAX's own pickle has
        return NotImplemented
    try:
        return rebuild_jax, (np.asarray(array),)
    except TypeError:  # PRNG keys and other types that numpy has no word for
        return NotImplemented


def rebuild_jax(array: Any) -> Any:
    """A JAX array of the consumer's default device; on a CPU a view, if aligned."""
    import jax.numpy

    return jax.numpy.asarray(array)


def reduce_tensorflow(tensor: Any) -> Any:
    """Reduce an eager tensor to a numpy array, from whatever device it lies on."""
    tensorflow: Any = sys.modules.get("tensorflow")
    if tensorflow is None or not isinstance(tensor, tensorflow.Tensor):
        return NotImplemented
    return rebuild_tensorflow, (tensor.numpy(),)


def rebuild_tensorflow(array: Any) -> Any:
    """An eager tensor; on a CPU a view, if aligned."""
    import tensorflow

    return tensorflow.convert_to_tensor(array)
