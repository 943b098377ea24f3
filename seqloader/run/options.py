"""The arguments of an enqueuer, checked before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, cast, get_args

from seqloader.errors.integers import checked_integer
from seqloader.executors.protocol import Executor, Resizable
from seqloader.memory.cpus import usable_cpus
from seqloader.order import REMAINDERS
from seqloader.run import checks
from seqloader.run.shards import first_shard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seqloader.order import Remainder, Shard

__all__ = [
    "AutoInt",
    "ExecutorName",
    "OnError",
    "Options",
    "StartMethod",
    "check_resizable",
    "checked_queue",
    "checked_size",
    "checked_workers",
    "is_auto",
    "without_effect",
]

ExecutorName: TypeAlias = Literal["process", "thread", "inline", "ray"]
StartMethod: TypeAlias = Literal["spawn", "zygote", "fork"]
OnError: TypeAlias = Literal["raise", "skip"]
AutoInt: TypeAlias = int | Literal["auto"]
"""What `workers` and `max_queue_size` may be, beside None."""

EXECUTORS: Final[tuple[str, ...]] = get_args(ExecutorName)
FIRST_WORKERS: Final = 2
"""With "auto", to begin with."""

MOST_DEFAULT_WORKERS: Final = 8
"""More workers than this by default would cost memory on large machines for nothing."""


class Options(NamedTuple):
    """What an `OrderedEnqueuer` was asked for; see there."""

    executor: ExecutorName | Executor
    workers: int
    auto_workers: bool
    """Whether that is only to begin with."""
    max_queue_size: int | None
    auto_queue: bool
    """Whether it was said to be "auto"; then it is None."""
    max_queue_bytes: int | None
    seed: int
    seeded: bool
    """Whether the user gave the seed: then global generators are seeded per batch."""
    start_method: StartMethod
    timeout_s: float | None
    retries: int
    crash_retries: int
    on_error: OnError
    worker_init: Callable[[int], object] | None
    worker_env: Mapping[str, str]
    threads_per_worker: int | None
    copy: bool
    progress: bool
    shard: Shard
    auto_shard: bool
    """Whether it is the one that was found, and is to be asked for again."""
    remainder: Remainder | None
    """None: the length must be dealt out evenly."""

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Options:
        """Check every argument; TypeError or ValueError says what is wrong and what was meant.

        Args:
            asked: the arguments of the enqueuer by name, all of them; others do not matter.
        """
        executor = _executor(asked["executor"], asked["use_multiprocessing"])
        _refuse_unusable(executor, asked)
        checked = {name: check(name, asked[name]) for name, check in _checks(executor).items()}
        return cls(
            executor=executor,
            seeded=asked["seed"] is not None,
            auto_workers=is_auto(asked["workers"]) and executor != "inline",
            auto_queue=is_auto(asked["max_queue_size"]) and executor != "inline",
            auto_shard=asked["shard"] == "auto",
            **checked,
        )

    def make_executor(self, workers: int, tickets_ahead: int) -> Executor:
        """An executor that is not started yet; the user's own, if one was given."""
        if not isinstance(self.executor, str):
            return self.executor
        # Each is imported by whoever wants it: nobody pays for the others.
        if self.executor == "inline" or workers == 0:
            from seqloader.executors.inline import InlineExecutor

            return InlineExecutor(copy=self.copy)
        if self.executor == "thread":
            from seqloader.executors.thread import ThreadExecutor

            return ThreadExecutor(workers, worker_init=self.worker_init, copy=self.copy)
        if self.executor == "ray":
            from seqloader.executors.ray import RayExecutor

            ray = RayExecutor(
                workers,
                timeout_s=self.timeout_s,
                worker_init=self.worker_init,
                worker_env=self.worker_env,
                copy=self.copy,
            )
            ray.resize(workers, tickets_ahead)
            return ray
        from seqloader.executors.process.executor import ProcessExecutor

        return ProcessExecutor(
            workers,
            tickets_ahead=tickets_ahead,
            start_method=self.start_method,
            timeout_s=self.timeout_s,
            worker_init=self.worker_init,
            worker_env=self.worker_env,
            threads_per_worker=self.threads_per_worker,
            copy=self.copy,
        )


def _checks(executor: ExecutorName | Executor) -> dict[str, checks.Check]:
    """What checks each argument, in the order in which errors come."""
    return {
        "start_method": checks.optional(checks.one_of(get_args(StartMethod)), "spawn"),
        "on_error": checks.one_of(get_args(OnError)),
        "worker_init": checks.optional(checks.function_of_slot),
        "timeout_s": checks.optional(checks.limit_s),
        "remainder": checks.optional(checks.one_of(REMAINDERS)),
        "copy": checks.boolean,
        "progress": checks.boolean,
        "workers": lambda _, workers: checked_workers(workers, executor),
        "max_queue_size": lambda _, size: checked_queue(size, executor),
        "max_queue_bytes": checks.optional(checks.integer(1, "None: no limit")),
        "seed": checks.seed_or_drawn,
        "retries": checks.optional(checks.integer(0), 0),
        "crash_retries": checks.optional(checks.integer(0), 0),
        "worker_env": checks.environment,
        "threads_per_worker": checks.optional(checks.integer(1)),
        "shard": lambda _, shard: first_shard(shard),
    }


# --- who computes ---------------------------------------------------------------------------------


def _executor(executor: Any, use_multiprocessing: Any) -> ExecutorName | Executor:
    """The executor that the two arguments choose: one of the names, or the user's own."""
    if not isinstance(use_multiprocessing, bool):
        wrong = f"use_multiprocessing must be True or False, not {use_multiprocessing!r}"
        if isinstance(use_multiprocessing, int):
            wrong += f": did you mean workers={use_multiprocessing}?"
        raise TypeError(wrong)
    if executor is None:
        return "process" if use_multiprocessing else "thread"
    if isinstance(executor, str):
        if executor not in EXECUTORS:
            names = ", ".join(f'"{name}"' for name in EXECUTORS)
            raise ValueError(f"executor must be one of {names}, or an Executor, not {executor!r}")
        if executor == "process" and not use_multiprocessing:
            raise ValueError('use_multiprocessing=False contradicts executor="process"')
        return cast("ExecutorName", executor)
    if isinstance(executor, Executor) and not isinstance(executor, type):
        return executor
    raise TypeError(
        f"executor must be a name or an instance with the methods of seqloader.executors.protocol."
        f"Executor, not {executor!r}"
    )


def is_auto(value: Any) -> bool:
    """Whether an argument says that the enqueuer is to find it out itself."""
    return isinstance(value, str) and value == "auto"


def checked_queue(size: Any, executor: str | Executor) -> int | None:
    """Batches ahead; None: as many as suit the workers, or, with "auto", as are found out."""
    if is_auto(size):
        _refuse_auto("max_queue_size", executor)
        return None
    given: int | None = checks.queue_size("max_queue_size", size)
    return given


def _refuse_auto(name: str, executor: str | Executor) -> None:
    if not isinstance(executor, str):
        raise ValueError(
            f'{name}="auto" is for executor="process" and "thread": how many batches '
            f"{type(executor).__qualname__} computes at once is the business of whoever made it"
        )
    if executor == "ray":
        raise ValueError(
            f'{name}="auto" goes by the CPUs and the memory of this machine, and executor="ray" '
            "computes elsewhere: say how many, by what the cluster has"
        )


def checked_workers(workers: Any, executor: str | Executor) -> int:
    """Number of workers; None: the CPUs this process may use, at most 8; "auto": a few."""
    if is_auto(workers):
        _refuse_auto("workers", executor)
        return 0 if executor == "inline" else min(FIRST_WORKERS, usable_cpus())
    if not isinstance(executor, str):
        return executor.workers
    inline = executor == "inline"
    check = checks.integer(0, "" if inline else "0: compute in the consumer")
    count: int | None = checks.optional(check)("workers", workers)
    if inline:
        return 0
    return min(MOST_DEFAULT_WORKERS, usable_cpus()) if count is None else count


def checked_size(workers: Any, executor: str | Executor) -> int:
    """Number of workers that a pool is given while it runs."""
    if executor == "inline":
        raise RuntimeError(
            'executor="inline" computes in the consumer: there are no workers to resize'
        )
    return checked_integer(
        "workers", workers, 1, hint="for 0, computing in the consumer: stop() and start(workers=0)"
    )


def check_resizable(executor: Executor, workers: int, count: int) -> None:
    """Refuse to resize what runs without workers, or cannot change their number."""
    if workers == 0:
        raise RuntimeError(
            "the enqueuer was started with workers=0 and computes in the consumer: to have workers,"
            f" stop() and start(workers={count})"
        )
    if not isinstance(executor, Resizable):
        raise TypeError(
            f"{type(executor).__qualname__} has a fixed number of workers, {workers}: an executor "
            "that can change it has the method resize(workers, tickets_ahead) of "
            "seqloader.executors.protocol.Resizable"
        )


# --- what the executor can use --------------------------------------------------------------------

USED_BY: Final = {
    "start_method": ("process",),
    "timeout_s": ("process", "ray"),
    "worker_env": ("process", "ray"),
    "threads_per_worker": ("process",),
    "worker_init": ("process", "thread", "ray"),
    "copy": ("process", "thread", "inline", "ray"),
}
"""Arguments that not every executor can use. One of the user's own has its own constructor."""


def _refuse_unusable(executor: ExecutorName | Executor, asked: Mapping[str, Any]) -> None:
    """Refuse what the executor that was named cannot use.

    `workers=0` is not looked at: it is the switch for debugging, and whoever turns it leaves the
    other arguments as they are (see `without_effect`).
    """
    for name, users in USED_BY.items():
        if asked[name] is None or asked[name] is False:
            continue
        if not isinstance(executor, str):
            raise ValueError(
                f"{name} is the business of the Executor that was given: pass it to its constructor"
            )
        if executor not in users:
            why = {
                "thread": "a thread cannot be killed and shares the consumer's environment",
                "inline": "it is about workers, and inline there are none",
                "ray": "an actor's process is started by Ray",
            }[executor]
            raise ValueError(f'{name} needs executor="process": {why}')


def without_effect(options: Options, workers: int) -> list[str]:
    """Names of what was given, and with `workers=0` has no effect that one could miss.

    Whatever is about workers is accepted there. Of that, `start_method` and `threads_per_worker`
    make no difference to the batches; these may.
    """
    if workers or options.executor not in ("process", "thread", "ray"):
        return []
    given = {
        "worker_init": options.worker_init,
        "worker_env": options.worker_env or None,
        "timeout_s": options.timeout_s,
    }
    return [name for name, value in given.items() if value is not None]
