"""The `keras.utils.PyDataset` over an enqueuer.

Actors
    trainer     the thread that runs `fit`; it calls the hooks, and reads lengths
    asker       who asks for batches: the trainer, or TensorFlow's thread

Rules
    D1  What Keras does is told to `Passes`, which says what to do. One lock is held around both.
    D2  Lengths are read without the lock: the asker holds it while it waits for a batch.
    D3  The index that Keras asks for is not used: order is the enqueuer's.
"""

from __future__ import annotations

import sys
import threading
import warnings
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from seqloader.adapters.exits import stop_at_exit
from seqloader.adapters.frameworks import framework
from seqloader.adapters.keras.frames import forget_gone, generator_of, walk_of
from seqloader.adapters.keras.images import make_sendable
from seqloader.adapters.keras.passes import Answer, Ending, Passes
from seqloader.adapters.keras.remarks import ENDED, Remarks, refuse_tf_keras, sharding_by_keras
from seqloader.adapters.keras.steps import Steps
from seqloader.adapters.last_error import without_traceback
from seqloader.adapters.owner import EnqueuerOwner
from seqloader.adapters.passes import Pass
from seqloader.errors import SeqloaderWarning
from seqloader.sequence.interface import count_batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.run.iterators import EpochIterator

__all__ = ["KerasDataset"]

keras = framework("keras", extra="keras", at_least="3.8")
PyDataset: Any = keras.utils.PyDataset


class KerasDataset(EnqueuerOwner[Any], PyDataset):  # type: ignore[misc]
    """Batches of an enqueuer for `fit`, `evaluate` and `predict` of Keras 3.8 or later.

        model.fit(KerasDataset(train, workers=4, seed=0), epochs=10)

    In every pass each batch comes once, in the enqueuer's order, and the Sequence's `on_epoch_end`
    runs once an epoch. What Keras looks at beforehand (to build a model, or for shapes) is shown
    again and not lost. With `steps_per_epoch`, an epoch of the Sequence goes on over several of
    Keras'. A pass that is left early is cut, and the next begins another epoch.

    Use one dataset in one place at a time: not in `fit` and, from a callback, in `evaluate`.

    Args:
        source: A Sequence whose batches are (inputs,), (inputs, targets) or (inputs, targets,
            sample_weights), or a dict: a `keras.utils.PyDataset` of your own or what
            `ImageDataGenerator().flow(...)` returns, too. Or an `OrderedEnqueuer` made before.
        endless: One epoch is followed by the next without an end, so that `steps_per_epoch` may be
            above the length. Keras then needs `steps_per_epoch` (`steps`, `validation_steps`).
        options: The arguments of `OrderedEnqueuer`.

    Raises:
        ImportError: Keras is not installed, or older than 3.8.
        ValueError: In `fit`: Keras is to shard datasets over several processes by itself. (A
            warning says so before, when the dataset is made.)
        TypeError: In `fit` of tf_keras, which is Keras 2.
    """

    def __init__(self, source: Any, *, endless: bool = False, **options: Any) -> None:
        EnqueuerOwner.__init__(self, source, **options)
        make_sendable(self._enqueuer.sequence)
        PyDataset.__init__(self)
        if keras.backend.backend() == "tensorflow":  # whose threads ask for batches
            stop_at_exit(self)
        self._is_endless = endless
        self._passes = Passes()
        self._lock = threading.RLock()
        self._epoch: EpochIterator[Any] | None = None
        """The one under way; None: the next batch begins one."""
        self._begun = (0, 0)
        """Number of that epoch, and the position at which it was begun."""
        self._steps_now: int | None = None
        """How many batches it had when it was begun."""
        self._reached: EpochIterator[Any] | None = None
        """The one that `go_to` began last."""
        self._reader = 0
        self._remarks = Remarks(shard_is_given=options.get("shard") is not None)
        self._places: deque[dict[str, Any]] | None = None
        """After each batch that was delivered and is not said to be trained yet."""
        self._trained: dict[str, Any] | None = None
        """After the last that was."""
        self.last_error: BaseException | None = None
        """What was raised in place of a batch, without its traceback: TensorFlow shows no more
        than its text."""
        if (trouble := sharding_by_keras()) is not None:
            # In `fit` Keras itself refuses it, and knows half of the cure.
            warnings.warn(SeqloaderWarning(trouble), stacklevel=2)

    # --- what Keras reads -----------------------------------------------------------------

    @property
    def workers(self) -> int:
        """1, for Keras: the enqueuer has workers of its own."""
        self._reader = id(sys._getframe(1))
        return 1

    @property
    def use_multiprocessing(self) -> bool:
        """False, for Keras."""
        # Who reads both is an adapter in the making; somebody who is curious reads one.
        reader, self._reader = self._reader, 0
        if reader == id(sys._getframe(1)):
            if (trouble := sharding_by_keras()) is not None:
                raise ValueError(trouble)
            self._remarks.on_shards(self._enqueuer)
            with self._lock:
                self.last_error = None
                self._passes.made()
                if self._is_over() and self._passes.is_untrained:
                    self._epoch = None  # somebody else's iterator has ended it
        return False

    @property
    def shape(self) -> Any:
        """There is none. By asking for it, tf_keras finds out what kind of data it was given."""
        refuse_tf_keras(sys._getframe(1))
        raise AttributeError(f"{type(self).__name__!r} object has no attribute 'shape'")

    @property
    def num_batches(self) -> Steps | None:
        """How many batches the pass under way has, or the coming one; None: endless."""
        if self._is_endless or count_batches(self._enqueuer.sequence) is None:
            return None
        return Steps(_steps_of(weakref.ref(self)))

    def steps(self) -> int:
        """How many batches the pass under way has, or the coming one."""
        if self._epoch is None or self._steps_now is None or self._passes.cut:
            return len(self._enqueuer)
        return self._steps_now

    def __len__(self) -> int:
        return len(self._enqueuer)

    def __iter__(self) -> Pass[Any]:
        """One epoch, in a loop of your own."""
        return Pass(self._enqueuer)

    # --- what Keras calls -----------------------------------------------------------------

    def on_epoch_begin(self) -> None:
        """For Keras. The Sequence's hook runs when an epoch of the enqueuer begins."""
        walk = walk_of(sys._getframe(1))
        with self._lock:
            forget_gone(self._passes.abandoned)
            cut = self._passes.begin(walk)
            if cut:
                self._forget_places()
            # Before Keras looks at the length: the Sequence's hook may change it.
            if cut or self._epoch is None or self._is_over():
                self._begin()

    def on_epoch_end(self) -> None:
        """For Keras. The Sequence's hook runs when an epoch of the enqueuer ends."""
        walk = walk_of(sys._getframe(1))
        with self._lock:
            forget_gone(self._passes.abandoned)
            if self._passes.end(walk) is Ending.GO_BACK:
                self._enqueuer.seek(*self._begun)
                self._epoch = None
            else:
                self._join()

    def __getitem__(self, index: int) -> Any:
        frame = generator_of(sys._getframe(1))
        with self._lock:
            answer, begins = self._passes.ask(frame)
            if answer is Answer.REFUSE:
                raise RuntimeError(ENDED)
            if answer is Answer.COMPUTE:
                return self._enqueuer.compute(index)
            try:
                return self._deliver(answer, begins, frame, index)
            except BaseException as error:
                self.last_error = without_traceback(error)
                self._passes.fail()
                raise

    def _deliver(self, answer: Answer, begins: bool, generator: Any, index: int) -> Any:
        passes = self._passes
        if begins:
            self._begin()
        if generator is not None:
            self._remarks.on_order(index)
        place: dict[str, Any] | None = None
        if answer is Answer.AGAIN:
            batch, place = passes.again()
        elif generator is None and self._is_over():
            batch, _ = passes.last_kept()  # a probe for shapes, beyond the last batch
        else:
            batch = self._next()
            if answer is Answer.KEEP or self._places is not None:
                place = self._enqueuer.state_dict()
            if answer is Answer.KEEP:
                passes.keep((batch, place))
        if self._places is not None and place is not None and passes.is_training:
            self._places.append(place)
        return batch

    def _next(self) -> Any:
        """The next batch; of the next epoch, where this one has no other."""
        epoch = self._epoch or self._begin()
        try:
            return next(epoch)
        except StopIteration:
            if not self._is_endless:
                self._remarks.on_missing(self._begun[0], self._steps_now)
        try:
            return next(self._begin())
        except StopIteration:
            pass  # raised inside of Keras' generator, it would be an error without a reason
        raise ValueError(
            f"epochs {self._begun[0] - 1} and {self._begun[0]} have no batch: the length is 0, or "
            "every batch was None or skipped"
        )

    def _begin(self) -> EpochIterator[Any]:
        epoch = self._epoch = iter(self._enqueuer)
        self._begun = epoch.epoch.number, epoch.position
        self._steps_now = epoch.remaining
        return epoch

    def _is_over(self) -> bool:
        epoch = self._epoch
        return epoch is not None and epoch.remaining == 0 and not self._passes.is_pending

    def _join(self) -> None:
        if self._is_over():
            self._epoch = None
            self._passes.joined()
            self._enqueuer.join_end_of_epoch()

    # --- for ResumeKeras ------------------------------------------------------------------

    def follow(self) -> None:
        """From now on, know where the batches end that were trained, too."""
        with self._lock:
            self._places = deque()
            self._trained = None
            if self._passes.is_pending:
                # The same epoch: what was looked at lies in it, before anything was trained.
                self._trained = {**self._enqueuer.state_dict(), "position": self._begun[1]}

    def trained(self, batches: int) -> None:
        """So many more of those delivered were trained (or fewer, where no more were)."""
        places = self._places
        while places and batches > 0:
            self._trained = places.popleft()
            batches -= 1

    @property
    def is_endless(self) -> bool:
        """Whether its epochs follow each other without an end, whatever Keras calls an epoch."""
        return self._is_endless

    def place(self) -> dict[str, Any]:
        """The state after the last batch that was trained."""
        with self._lock:
            if self._trained is not None and (self._places or self._passes.is_pending):
                return self._trained
            return self._enqueuer.state_dict()

    def go_to(self, state: dict[str, Any], batches: int) -> int:
        """Go on so many batches after that state, which may be in a later epoch.

        Returns:
            How many epochs end on the way. Where nothing is left of one, it ends.
        """
        ended = 0
        with self._lock:
            self._enqueuer.load_state_dict(state)
            self._passes.moved()
            self._forget_places()
            while True:
                epoch = self._begin()
                left = epoch.remaining
                if left is None or batches < left:
                    break
                batches -= left
                self._skip(left)
                for _ in epoch:
                    raise AssertionError("all that was left of the epoch is skipped")
                ended += 1
            self._skip(batches)
            self._steps_now = epoch.remaining
            self._reached = epoch
        return ended

    def is_where_it_was_brought(self) -> bool:
        """Whether the next batch is the one to which `go_to` went. Before a fit's first walk."""
        with self._lock:
            is_reached = self._epoch is not None and self._epoch is self._reached
            # Nothing remains of an epoch that somebody else's iterator has ended.
            return is_reached and self._passes.is_untrained and not self._is_over()

    def _skip(self, batches: int) -> None:
        position = self._begun[1]
        self._enqueuer.skip(range(position, position + batches))

    def _forget_places(self) -> None:
        self._trained = None
        if self._places is not None:
            self._places.clear()

    # --- its end --------------------------------------------------------------------------

    def close(self, timeout: float | None = None) -> None:
        """End the enqueuer, if it was made for this; `timeout` is that of its `stop()`."""
        # The hook of an epoch that is over runs here, whichever thread has asked for its batches.
        if self._lock.acquire(blocking=False):
            try:
                self._join()
            finally:
                self._lock.release()
        super().close(timeout)


def _steps_of(dataset: weakref.ref[KerasDataset]) -> Callable[[], int]:
    """Reads its steps. A model keeps that (in its history), and is not to keep the dataset."""
    latest = 0

    def read() -> int:
        nonlocal latest
        alive = dataset()
        if alive is not None:
            latest = alive.steps()
        return latest

    return read
