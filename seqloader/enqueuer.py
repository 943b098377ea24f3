"""OrderedEnqueuer: the surface. What happens inside its calls is in run/."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from seqloader.errors.integers import checked_integer
from seqloader.run.checks import checked_place
from seqloader.run.delivery import Delivery
from seqloader.run.iterators import EpochIterator, StreamIterator
from seqloader.run.options import Options
from seqloader.run.our_shard import check_common_order
from seqloader.run.resume.fit import share_of
from seqloader.run.resume.jumps import Jumps
from seqloader.run.run import Run
from seqloader.sequence.defaults import UNSAID, filled
from seqloader.sequence.interface import check_sequence, count_batches, overrides_hook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from seqloader.executors.protocol import Executor
    from seqloader.order import Remainder
    from seqloader.run.options import AutoInt, ExecutorName, OnError, StartMethod
    from seqloader.run.trace.tracing import Tracing
    from seqloader.run.tuning.log import TuningStep
    from seqloader.stats import Stats
    from seqloader.stats.verdict import Verdict

__all__ = ["OrderedEnqueuer"]

Batch = TypeVar("Batch")
Item = TypeVar("Item", covariant=True)


class _Indexed(Protocol[Item]):
    def __getitem__(self, index: int, /) -> Item: ...


class OrderedEnqueuer(Generic[Batch]):
    """Compute the batches of a `Sequence` ahead in worker processes, and deliver them in order.

    `for batch in enqueuer:` is one epoch; `get()` is the endless stream of the classic API.

    Args:
        sequence: `sequence[i]` is batch i: a nest (tuple, list, dict) of arrays, for instance
            `{"image": (batch, height, width, 3) float32, "label": (batch,) int64}`. Anything with
            `__getitem__` and `__len__` will do. `workers`, `use_multiprocessing` and
            `max_queue_size` that it was constructed with are the defaults of the arguments here.
        use_multiprocessing: The classic way to choose who computes: processes, or if False
            threads, as `executor="thread"` says.
        shuffle: Permute the order of the *batches*, anew in every epoch.
        workers: Processes or threads; 0 computes in the consumer, inside `next()`, which is for
            debugging: whatever is about workers is accepted then and has no effect, with a warning
            where batches might miss it. "auto": begins with 2, and finds out by itself how many
            keep the consumer from waiting; `tuning_log()` says what it did and why. None: the CPUs
            this process may use, at most 8.
        max_queue_size: Batches computed or being computed ahead of the consumer, beside those
            it still holds and the one it waits for. "auto": is found out, too. None: the larger of
            10 and twice `workers`; with `workers="auto"` as "auto".
        max_queue_bytes: The same in bytes, each batch counted as the largest seen this epoch.
        seed: Makes order and random numbers depend on (seed, epoch, index) alone, the global
            generators of `random`, numpy and torch included. None: drawn, see `seed`.
        executor: Who computes: "process", "thread", "inline" (the consumer), "ray" (actors on other
            machines, see `seqloader.executors.ray`) or an `Executor`. What the one that is named
            cannot use is refused. None: as `use_multiprocessing` says.
        start_method: "spawn" (fresh interpreters), "zygote" (forks of one that has imported what
            the Sequence needs: many workers, or imports that take long), or "fork" (of this
            process), for what cannot be pickled.
        timeout_s: Seconds one `__getitem__` may take before its worker is killed and the batch
            tried again; None waits for ever.
        retries: Extra tries of a `__getitem__` that raised.
        crash_retries: Extra tries of a batch whose worker died or passed `timeout_s`.
        on_error: "raise", or "skip": such batches are left out, counted and warned about once.
        worker_init: Called as `worker_init(slot)` in each worker, replacements too, after the
            Sequence was loaded and before its first batch.
        worker_env: Environment variables of the workers.
        threads_per_worker: For BLAS and OpenMP. None: 1, unless the environment says otherwise.
        copy: Deliver private memory instead of views.
        progress: Show a bar for each epoch, in a terminal or a notebook: batches/s, the share of
            the time waited, and in a word why, if that is more than 5 %. Needs
            `seqloader[progress]`.
        shard: Our part of every epoch, as (id, count): global positions id, id + count, ... of one
            order that is the same for any count. "auto": as torch.distributed, JAX or Keras say,
            where they are initialised, or `RANK` and `WORLD_SIZE` in the environment. They are
            asked when an epoch begins.
        remainder: What becomes of batches that cannot be dealt out evenly: "drop" them, "pad" with
            repeated ones (marked by `batch_context().padding`), or "uneven" shards. None: an error.

    Yields:
        Batches whose arrays are writable views into shared memory. A view lives as long as anything
        refers to it in this process; its memory is used again after that. (The inline and thread
        executors hand over what `__getitem__` returned.)

    Raises:
        TypeError, ValueError: An argument is wrong; nothing was started.
        WorkerStartError: Workers cannot start.
        WorkerLostError: A batch outlived every worker it was given to.

    Threads: iterate from one thread; several may take turns. `stop()` and `stats()` may be called
    from any.
    """

    def __init__(
        self,
        sequence: _Indexed[Batch],
        use_multiprocessing: bool = UNSAID,
        shuffle: bool = False,
        *,
        workers: AutoInt | None = None,
        max_queue_size: AutoInt | None = None,
        max_queue_bytes: int | None = None,
        seed: int | None = None,
        executor: ExecutorName | Executor | None = None,
        start_method: StartMethod | None = None,
        timeout_s: float | None = None,
        retries: int = 0,
        crash_retries: int = 2,
        on_error: OnError = "raise",
        worker_init: Callable[[int], object] | None = None,
        worker_env: Mapping[str, str] | None = None,
        threads_per_worker: int | None = None,
        copy: bool = False,
        progress: bool = False,
        shard: tuple[int, int] | Literal["auto"] | None = None,
        remainder: Remainder | None = None,
    ) -> None:
        check_sequence(sequence)
        asked, taken = filled(sequence, locals())  # every argument, by its name
        try:
            options = Options.of(asked)
        except (TypeError, ValueError) as error:
            if taken:
                kind = type(sequence).__qualname__
                error.add_note(f"of these, the Sequence ({kind}) was constructed with {taken}")
            raise
        _check_shuffle(sequence, shuffle, options.shard.count, options.seeded)
        _check_shares(sequence, options)
        self.use_multiprocessing: bool = asked["use_multiprocessing"]
        self._run = Run(sequence, shuffle, options)
        self._delivery = Delivery(self._run)
        self._jumps = Jumps(self._run)

    # --- what one asks it -----------------------------------------------------------------

    @property
    def sequence(self) -> _Indexed[Batch]:
        """The Sequence; another one is used from the next epoch on."""
        sequence: _Indexed[Batch] = self._run.subject.sequence
        return sequence

    @sequence.setter
    def sequence(self, sequence: _Indexed[Batch]) -> None:
        check_sequence(sequence)
        self._check_order(sequence, self.shuffle)
        self._run.subject.replace_sequence(sequence)

    @property
    def shuffle(self) -> bool:
        """Whether the order of the batches is permuted; a change counts from the next epoch on."""
        return self._run.subject.shuffle

    @shuffle.setter
    def shuffle(self, shuffle: bool) -> None:
        self._check_order(self.sequence, shuffle)
        self._run.subject.shuffle = shuffle

    def _check_order(self, sequence: Any, shuffle: bool) -> None:
        _check_shuffle(sequence, shuffle, self.shard[1], self._run.subject.seeding.reseed_globals)

    @property
    def workers(self) -> int:
        """Processes or threads, now; 0: batches are computed in the consumer."""
        return self._run.session.workers

    @property
    def max_queue_size(self) -> int:
        """Batches computed or being computed ahead of the consumer, at most."""
        return self._run.session.max_queue_size

    @property
    def seed(self) -> int:
        """What order and random numbers derive from; drawn from the system if none was given."""
        return self._run.subject.seeding.seed

    @property
    def shard(self) -> tuple[int, int]:
        """Our part of every epoch: (id, count); (0, 1) is the whole.

        With "auto", what is found now; inside an epoch, what was found when it began.
        """
        shard = self._run.subject.options_now().shard
        return shard.id, shard.count

    @property
    def epoch(self) -> int:
        """Number of the epoch under way; between epochs, of the coming one."""
        return self._run.subject.number

    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._run.session.is_running

    def __len__(self) -> int:
        """Number of batches that a whole epoch has on this shard, read from the Sequence now."""
        count = count_batches(self.sequence)
        if count is None:
            raise TypeError("an endless Sequence has no length")
        return share_of(count, self._run.subject.options_now())

    def stats(self) -> Stats:
        """A snapshot of what has been done so far. Any thread."""
        return self._run.stats()

    def tuning_log(self) -> list[TuningStep]:
        """What was decided with `workers="auto"` or `max_queue_size="auto"`, the last 1,000 times:
        when, from which size to which, and why. `print` shows each as a line. Any thread."""
        return list(self._run.session.size.steps)

    def trace(self, path: str | os.PathLike[str], *, limit_bytes: int = 64 << 20) -> Tracing:
        """Write a trace of what happens in a `with` block: `with enqueuer.trace("run.json"):`.

        In the trace-event format of Perfetto and chrome://tracing: a lane for each worker, the
        consumer's waits, hand-overs and hooks, epochs, deaths, resizes, memory. It can be read at
        any time, also after a crash; `seqloader report run.json` makes a page of it. The variable
        `SEQLOADER_TRACE=run.json` of the environment does the same for every enqueuer of a process.

        Args:
            path: Of the file. It is overwritten.
            limit_bytes: Its size, at most. Past half of it, fewer and fewer batches are written.

        Raises:
            OSError: It cannot be written. (What fails later is a warning, and ends the trace.)
            RuntimeError: The enqueuer is traced already.
            TypeError, ValueError: Another trace is being written to that file; or `limit_bytes` is
                no integer, or below 1 MiB.
        """
        if os.name != "posix":
            raise RuntimeError("a trace is written on Linux and macOS only")
        from seqloader.run.trace.tracing import Tracing  # who writes none does not need it

        return Tracing(self._run, path, checked_integer("limit_bytes", limit_bytes, 1 << 20))

    def verdict(self) -> Verdict:
        """What limits the loading, and what to change: of the epoch under way, or of the last.

        `str()` of it is a sentence, `.cause` a word. Where the loop hardly waits, the cause is
        "consumer", and the loader is not to blame. In the consumer's own thread, between batches;
        it takes a millisecond or so, since the system is asked what the workers use. At the end of
        each epoch the verdict is logged at INFO, as "seqloader".
        """
        return self._run.verdict()

    def compute(self, index: int, epoch: int = 0) -> Batch:
        """Compute one batch here, in this process, exactly as a worker would.

        Error messages name it: `enqueuer.compute(907, epoch=2)` reproduces what went wrong.
        """
        batch: Batch = self._run.compute(index, epoch)
        return batch

    # --- start and stop -------------------------------------------------------------------

    def start(self, workers: AutoInt | None = None, max_queue_size: AutoInt | None = None) -> None:
        """Launch the workers and send them the Sequence. Runs no hook.

        Args:
            workers: None takes the constructor's value, or that of the last `resize()`.
            max_queue_size: None takes the constructor's value.
        """
        self._run.session.start(workers, max_queue_size)

    def resize(self, workers: int) -> None:
        """Have so many workers from now on, also in mid-epoch.

        More start beside those at work; those too many leave after the batch they compute, and
        nobody waits for that. Order, random numbers and saved states do not depend on it. Where
        `max_queue_size` was not given, it follows. Before `start()`, it says how many that starts.
        With `workers="auto"`, the number stays as it is said here.

        With `start_method="fork"`, workers that are forked later see what was changed in place
        since, and must not be forked once a library has begun to use threads or a GPU.

        Raises:
            RuntimeError: Batches are computed in the consumer.
            TypeError: An `Executor` of the user's own has a fixed number of workers.
        """
        self._run.session.resize(workers)

    def stop(self, timeout: float | None = None) -> None:
        """End the workers; returns within `timeout` seconds (None: 5) with none left.

        Idle workers leave by themselves; busy ones have half of the time, then they are killed.
        In the consumer's own thread, an epoch that was begun ends: `on_epoch_end` runs, after
        the workers are gone. Idempotent; before `start()` it does nothing; `start()` may follow.
        """
        self._run.session.stop(timeout)

    close = stop

    def __enter__(self) -> OrderedEnqueuer[Batch]:
        if not self.is_running():
            self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self._run.session.stop_after_error()

    def __reduce__(self) -> Any:
        # For pickle, copy.copy and copy.deepcopy, which would say that a lock cannot be pickled.
        raise TypeError(
            "an enqueuer cannot be copied or pickled: its workers and the epoch under way belong "
            "to this process. Make another one of its Sequence, OrderedEnqueuer("
            "enqueuer.sequence, ...); to go on from here elsewhere, load its state_dict() there"
        )

    # --- batches --------------------------------------------------------------------------

    def __iter__(self) -> EpochIterator[Batch]:
        """Begin an epoch, at once, and return its batches."""
        return EpochIterator(self._delivery, *self._delivery.begin_loop())

    def get(self) -> StreamIterator[Batch]:
        """The endless stream of batches over all epochs; several `get()`s share it."""
        return StreamIterator(self._delivery, *self._delivery.join_stream())

    def peek(self) -> Batch:
        """The next batch, without delivering it: the next `next()` returns the same object.

        Where no epoch is under way one begins, and the next `for` or `get()` goes on with it.
        """
        batch: Batch = self._delivery.peek()
        return batch

    def join_end_of_epoch(self) -> None:
        """If the last batch of the epoch was handed out, end the epoch now, in this thread."""
        self._run.join_end_of_epoch()

    def end_epoch(self) -> None:
        """End the epoch under way now, in this thread, as the next `iter()` would.

        What is left of it is not delivered. Where a state was loaded, or sought, inside an epoch,
        its hooks run, and none of its batches is computed. An epoch of which nothing was delivered
        is none to end.
        """
        self._run.end_epoch()

    # --- resume ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands: after the last batch delivered. What is in flight does not count.

        A plain dictionary that JSON can write, below 1 KB, whatever the length of the Sequence.
        (Not counting what was named to `skip()`, and what the Sequence's own `state_dict()`
        returns, if it has one: that is carried along.) Any thread, any moment.
        """
        return self._jumps.state_dict()

    def load_state_dict(
        self, state: Mapping[str, Any], *, strict: bool = True, replay_hooks: bool = False
    ) -> None:
        """Go on where `state` was saved: the next batch is the one that would have come next.

        It is computed at once; nothing before it is computed again. Order and random numbers are
        those of the uninterrupted run, with any number of workers, executor and start method. On
        another number of shards, what remained of the epoch is dealt out anew: load it on each.
        Without a `seed` of its own, the enqueuer takes that of the state. An epoch under way is cut
        without a hook, and iterators over it are stale.

        Args:
            state: What `state_dict()` returned.
            strict: False takes what can be taken of a state that does not fit, and warns.
            replay_hooks: Run `on_epoch_begin` and `on_epoch_end` of all epochs before, each under
                its own seed, on a Sequence made anew: it then stands where it stood. For one whose
                hooks shuffle and which has no `state_dict()`.

        Raises:
            ResumeError: It does not fit: another length, seed, shuffle or version. Nothing has
                changed. Or hooks of this Sequence have run already, and cannot be replayed.
            Exception: What a replayed hook raised. The Sequence then stands between two epochs,
                the enqueuer is stopped, and both must be made anew.
        """
        if not isinstance(replay_hooks, bool):
            raise TypeError(f"replay_hooks must be True or False, not {replay_hooks!r}")
        self._jumps.load_state_dict(state, strict, replay_hooks)

    def seek(self, epoch: int, position: int = 0) -> None:
        """Go on at any place: the next batch is that of `position` in `epoch`, on this shard.

        An epoch under way is cut without a hook, and iterators over it are stale. In an endless
        Sequence, positions are counted from its first batch; in an epoch that was begun on another
        number of shards, from where it went on.

        Raises:
            ResumeError: The epoch has fewer positions.
        """
        self._jumps.seek(checked_place("epoch", epoch), checked_place("position", position))

    def skip(self, positions: Iterable[int], *, epoch: int | None = None) -> None:
        """Leave out these positions, for instance those around a spike of the loss.

        They are not computed, and not delivered; other positions keep their numbers. Saved states
        remember them. With several shards, call it alike on each. (Where a state is loaded on
        another number of shards, the skipped are left out, and positions are counted anew.)

        Args:
            positions: Of this shard, not delivered yet; a `range` may be of any length.
            epoch: None: the one under way; between epochs, the coming one.
        """
        number = None if epoch is None else checked_place("epoch", epoch)
        self._jumps.skip(positions, number)

    # --- changes --------------------------------------------------------------------------

    def refresh(self) -> None:
        """Say that the Sequence was changed in place, outside of its hooks.

        Workers see it from the next epoch on.
        """
        self._run.subject.must_refresh = True


def _check_shuffle(sequence: Any, shuffle: Any, shards: int, seeded: bool) -> None:
    if not isinstance(shuffle, bool):
        raise TypeError(f"shuffle must be True or False, not {shuffle!r}")
    if shuffle and _is_endless(sequence):
        raise ValueError(
            "an endless Sequence (num_batches is None) cannot be shuffled: its order has no end"
        )
    check_common_order(sequence, shuffle, shards, seeded)


def _check_shares(sequence: Any, options: Options) -> None:
    if options.shard.count == 1 or options.remainder is not None:
        return
    try:
        count = count_batches(sequence)
    except Exception:  # as below; then it is said where the epoch begins
        return
    if count is not None and not overrides_hook(sequence, "on_epoch_begin"):
        share_of(count, options)


def _is_endless(sequence: Any) -> bool:
    # `__len__` may need what a hook sets up, so an error here says nothing yet.
    try:
        return count_batches(sequence) is None
    except Exception:
        return False
