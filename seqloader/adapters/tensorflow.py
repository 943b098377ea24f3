"""to_tf_dataset: the batches of an enqueuer as a `tf.data.Dataset`.

What tf.data does, and what follows

    It calls for batches in threads of its own, and hooks run there. What `prefetch` and the like
    hold ahead counts as delivered. It also adds a prefetch without being asked: that is turned off.
    It goes on with a pass for as long as its iterator lives, read or not. So passes have an order:
    a later one ends an earlier one, and an earlier one never begins after a later one.
    It hides exceptions: their text is kept, their type is not. They are in `last_error`.
    It views memory that is aligned to 64 bytes, as ours is, and lets go of it with the last tensor.
    It keeps what it was given to call for as long as the program runs: so that is a weak reference.
    At the end of the program it waits for its threads. One may wait for a batch: it is stopped.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from seqloader.adapters.exits import stop_at_exit
from seqloader.adapters.frameworks import framework
from seqloader.adapters.last_error import without_traceback
from seqloader.adapters.owner import EnqueuerOwner
from seqloader.adapters.passes import Pass
from seqloader.errors import EnqueuerStopped
from seqloader.samples.nest import children_of, form_of, keys_of, rebuilt, step

if TYPE_CHECKING:
    from collections.abc import Callable

tf = framework("tensorflow", extra="tensorflow", at_least="2.18")

__all__ = ["TensorFlowLoader", "to_tf_dataset"]


def to_tf_dataset(source: Any, output_signature: Any = None, **options: Any) -> Any:
    """A `tf.data.Dataset` of the batches; each pass over it is one epoch.

    Nests of dicts, tuples and named tuples keep their structure, and lists become tuples, because
    tf.data takes a list for one tensor. Arrays keep their types; those of text become `tf.string`.
    Nothing is taken ahead: `.prefetch(2)` is yours to add.

    Args:
        source: A Sequence, or whatever else an `OrderedEnqueuer` takes; or an enqueuer.
        output_signature: A nest of `tf.TypeSpec`s. None: as the first batch is, with its first axis
            open. That batch is computed now, with workers and `on_epoch_begin`; it is not lost.
            (Of an enqueuer whose epoch a loop has left, it is the next of that epoch, which ends
            where the first pass begins another: call `end_epoch()` before.)
        options: The arguments of `OrderedEnqueuer`, where one is to be made.

    Returns:
        The dataset. Its attribute `loader` is a `TensorFlowLoader`, whose `close()` ends the
        workers, and so does the end of the dataset. Transformed datasets lack the attribute.

    Raises:
        TypeError, ValueError: An argument is wrong, or tf.data has no type for something in the
            first batch.
    """
    loader = TensorFlowLoader(source, **options)
    try:
        if output_signature is None:
            output_signature = _signature(loader.enqueuer.peek())
        dataset = tf.data.Dataset.from_generator(
            _beginner(loader), output_signature=_without_lists(output_signature)
        )
    except BaseException:
        loader.close()
        raise
    as_asked = tf.data.Options()
    as_asked.experimental_optimization.inject_prefetch = False
    dataset = dataset.with_options(as_asked)
    dataset.loader = loader
    return dataset


def _beginner(loader: TensorFlowLoader) -> Callable[[], _NumberedPass]:
    """Begins a pass of a loader that the dataset keeps alive."""
    alive = weakref.ref(loader)

    def begin() -> _NumberedPass:
        loader = alive()
        if loader is None:
            raise EnqueuerStopped("the dataset that to_tf_dataset() returned is gone")
        return loader.begin_pass()

    return begin


class TensorFlowLoader(EnqueuerOwner[Any]):
    """What stands behind a dataset: its enqueuer, and the passes over it."""

    def __init__(self, source: Any, **options: Any) -> None:
        super().__init__(source, **options)
        self._lock = threading.Lock()
        self._passes = 0
        self._latest = 0
        """Number of the pass that began last."""
        self.last_error: BaseException | None = None
        """What ended the last pass that ended in an error; tf.data raises one of its own."""
        stop_at_exit(self)

    def begin_pass(self) -> _NumberedPass:
        """The batches of the coming epoch."""
        with self._lock:
            self._passes += 1
            return _NumberedPass(self, self._passes)

    def note(self, error: BaseException, number: int) -> None:
        """That pass has ended in an error; nobody reads one that a later pass has ended."""
        if self.may_go_on(number):
            self.last_error = without_traceback(error)

    def may_go_on(self, number: int) -> bool:
        """Whether no later pass has begun; this one counts as begun then."""
        with self._lock:
            self._latest = max(self._latest, number)
            return self._latest == number


class _NumberedPass:
    """One pass. An object, never a generator, which an exception from outside would end."""

    def __init__(self, loader: TensorFlowLoader, number: int) -> None:
        self._loader = loader
        self._number = number
        self._batches: Pass[Any] = Pass(loader.enqueuer)
        self._failed = False

    def __iter__(self) -> _NumberedPass:
        return self

    def __next__(self) -> Any:
        if not self._loader.may_go_on(self._number):
            raise RuntimeError(
                "a later pass over this dataset has begun: there is one at a time. Make another "
                "dataset of the Sequence to read both"
            )
        try:
            return _without_lists(next(self._batches))
        except StopIteration:
            raise
        except BaseException as error:
            if not self._failed:  # a prefetch goes on asking, and hears that all was stopped
                self._failed = True
                self._loader.note(error, self._number)
            raise


def _signature(batch: Any) -> Any:
    return _mapped(_spec, batch)


def _spec(leaf: Any, path: str) -> Any:
    array = np.asarray(leaf)
    dtype = _type_of(array)
    if dtype is None:
        kind = type(leaf).__qualname__
        what = f"{kind} of dtype {array.dtype}" if isinstance(leaf, np.ndarray) else kind
        raise TypeError(
            f"a tf.data.Dataset has no type for batch{path}, a {what}: leave it out, or return "
            "numbers or text in its place"
        )
    return tf.TensorSpec([None, *array.shape[1:]] if array.ndim else [], dtype)


def _type_of(array: np.ndarray[Any, Any]) -> Any:
    kind = array.dtype.kind
    if kind == "O":
        is_text = array.size > 0 and all(isinstance(item, (str, bytes)) for item in array.flat)
        return tf.string if is_text else None
    try:
        return tf.string if kind in "US" else tf.as_dtype(array.dtype)
    except TypeError:
        return None


def _without_lists(nest: Any) -> Any:
    return _mapped(lambda leaf, _: leaf, nest)


def _mapped(call: Callable[[Any, str], Any], nest: Any, path: str = "") -> Any:
    """The nest with `call(leaf, path)` in place of each leaf, and tuples in place of lists."""
    form = form_of(type(nest))
    if form is None:
        return call(nest, path)
    if form == "dataclass":
        raise TypeError(
            f"batch{path} is a {type(nest).__qualname__}, and a tf.data.Dataset takes no "
            "dataclasses: return a dict or a named tuple"
        )
    keys = keys_of(nest, form)
    children = [
        _mapped(call, child, path + step(form, key))
        for key, child in zip(keys, children_of(nest, form, keys), strict=True)
    ]
    return rebuilt(nest, "tuple" if form == "list" else form, keys, children)
