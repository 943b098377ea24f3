"""Samples stacked into a batch: the nest of one sample, with an array of all in place of each leaf.

What becomes of a leaf
    array, tensor, image    an array (samples, *shape) of its dtype
    int, float, complex     an array (samples,) of int64, float64, complex128
    bool, numpy scalar      an array (samples,) of its dtype
    str, bytes              a list
Anything else is refused, and so are samples that differ in structure, shape or dtype: nothing is
padded, cut or converted in silence.

The arrays are made by `seqloader.empty`: each sample is copied once, to where it is delivered from.
Tensors are those of torch on the CPU. They become numpy arrays, so that the consumer's process
needs no torch. Images and other foreign arrays are whatever `numpy.asarray` makes of them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from seqloader.arrays import empty
from seqloader.samples.nest import children_of, form_of, keys_of, rebuilt, step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["as_array", "stack_samples"]

_HINT: Final = "samples of one batch must be alike: make them so in `transform`, or pass `collate`"
_NUMBERS: Final = (bool, int, float, complex)


def stack_samples(samples: list[Any], numbers: Sequence[int]) -> Any:
    """Return the samples as one batch; see the head of this file.

    Args:
        samples: At least one.
        numbers: Which samples these are in the source, for messages.

    Raises:
        ValueError: two samples differ; the message names them, and the leaf.
        TypeError: a leaf is of a kind that cannot be stacked.
    """
    return _Stack(numbers).column(samples, "")


def as_array(leaf: Any) -> NDArray[Any]:
    """The array that a leaf is, or views, or makes.

    Raises:
        TypeError: it has a mask, or is a tensor that numpy cannot view.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(leaf, torch.Tensor):
        return _of_tensor(leaf)
    if isinstance(leaf, np.ma.MaskedArray):
        raise TypeError("a masked array is two arrays: take its .data and its .mask")
    return np.asarray(leaf)


def _of_tensor(tensor: Any) -> NDArray[Any]:
    if tensor.device.type != "cpu":
        raise TypeError(
            f"it is a tensor on {tensor.device}: samples are made on the CPU, and moved to the "
            "device as a batch, in your loop"
        )
    try:
        array: NDArray[Any] = tensor.detach().resolve_conj().resolve_neg().numpy()
    except (RuntimeError, TypeError) as error:
        raise TypeError(
            f"numpy cannot view this tensor of {tensor.dtype}, layout {tensor.layout}: {error}"
        ) from error
    return array


class _Stack:
    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = numbers

    def column(self, values: list[Any], path: str) -> Any:
        """One leaf, or one nest, of all samples."""
        forms = {kind: _form_of(kind) for kind in set(map(type, values))}
        form = forms[type(values[0])]
        if len(forms) > 1:
            # Of what is put together again with its type, each has its own.
            alike = {k: k if f in ("named tuple", "dataclass") else f for k, f in forms.items()}
            self._check(values, path, lambda value: alike[type(value)], _name)
        if form is None:
            raise TypeError(
                f"{self._place(0, path)}: {_name(values[0])} cannot be stacked. Make numbers or "
                "arrays of it in `transform`, or pass `collate=list`, or one of your own"
            )
        if form == "text":
            return values
        if form == "number":
            return self._numbers_of(values, path)
        if form == "array":
            return self._arrays_of(values, path)
        return self._nest(values, form, path)

    def _nest(self, values: list[Any], form: str, path: str) -> Any:
        keys = keys_of(values[0], form)
        if form == "mapping":
            self._check(values, path, lambda node: node.keys(), list)
        elif form in ("tuple", "list"):
            self._check(values, path, len, lambda node: f"{len(node)} elements")
        columns = zip(*(children_of(node, form, keys) for node in values), strict=True)
        made = [
            self.column(list(column), path + step(form, key))
            for key, column in zip(keys, columns, strict=False)
        ]
        return rebuilt(values[0], form, keys, made)

    def _numbers_of(self, values: list[Any], path: str) -> NDArray[Any]:
        dtype = _dtype_of(values[0])
        if type(values[0]) not in _NUMBERS or len(set(map(type, values))) > 1:
            self._check(values, path, _dtype_of, _dtype_of)
        stacked = empty(len(values), dtype)
        if dtype.kind == "V":  # numpy would take it apart
            for row, value in enumerate(values):
                stacked[row] = value
            return stacked
        try:
            stacked[:] = values
        except OverflowError:
            row = next(row for row, value in enumerate(values) if not -(2**63) <= value < 2**63)
            self._refuse(
                row, path, *(f"{value}, beyond int64" for value in (values[row], values[0]))
            )
        return stacked

    def _arrays_of(self, values: list[Any], path: str) -> NDArray[Any]:
        if {*map(type, values)} != {np.ndarray}:
            values = [self._array(row, value, path) for row, value in enumerate(values)]
        shape, dtype = values[0].shape, values[0].dtype
        stacked = empty((len(values), *shape), dtype)
        for row, array in enumerate(values):
            # By hand, because numpy would broadcast and convert what differs.
            if array.shape != shape:
                self._refuse(row, path, *(f"shape {a.shape}" for a in (array, values[0])))
            if array.dtype != dtype:
                self._refuse(row, path, *(f"dtype {a.dtype}" for a in (array, values[0])))
            stacked[row, ...] = array
        return stacked

    def _array(self, row: int, value: Any, path: str) -> NDArray[Any]:
        try:
            return as_array(value)
        except TypeError as error:
            raise TypeError(f"{self._place(row, path)}: {error}") from error

    # --- refusing -------------------------------------------------------------------------------

    def _check(
        self,
        values: list[Any],
        path: str,
        fact: Callable[[Any], Any],
        told: Callable[[Any], Any],
    ) -> None:
        """Refuse the first value whose `fact` is not that of the first; `told` is shown of both."""
        first = fact(values[0])
        for row, value in enumerate(values):
            if fact(value) != first:
                self._refuse(row, path, told(value), told(values[0]))

    def _refuse(self, row: int, path: str, here: Any, first: Any) -> NoReturn:
        raise ValueError(
            f"{self._place(row, path)}: {here}; sample {self._numbers[0]} has {first}. {_HINT}"
        )

    def _place(self, row: int, path: str) -> str:
        return f"sample {self._numbers[row]}{f', leaf {path}' if path else ''}"


def _form_of(kind: type) -> str | None:
    """As `nest.form_of`; of leaves "text", "number", "array", or None for what has no rule."""
    if issubclass(kind, (str, bytes)):
        return "text"
    if issubclass(kind, (*_NUMBERS, np.generic)):
        return "number"
    torch = sys.modules.get("torch")
    if issubclass(kind, np.ndarray) or (torch is not None and issubclass(kind, torch.Tensor)):
        return "array"
    form = form_of(kind)
    if form is None and (hasattr(kind, "__array__") or hasattr(kind, "__array_interface__")):
        return "array"  # Pillow's images, arrays of JAX and TensorFlow
    return form


def _dtype_of(number: Any) -> np.dtype[Any]:
    if isinstance(number, np.generic):
        return number.dtype
    # Named, because numpy's own choice for int is 32 bits wide on some platforms.
    if isinstance(number, bool):
        return np.dtype(np.bool_)
    if isinstance(number, int):
        return np.dtype(np.int64)
    return np.dtype(np.float64 if isinstance(number, float) else np.complex128)


def _name(value: Any) -> str:
    return type(value).__qualname__
