"""The arguments of an enqueuer, checked before anything is started."""

from __future__ import annotations

import numbers
import secrets
from collections import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from seqloader.errors.integers import checked_integer
from seqloader.executors.inline import InlineExecutor
from seqloader.executors.protocol import Executor
from seqloader.executors.thread import ThreadExecutor
from seqloader.memory.cpus import usable_cpus
from seqloader.order import REMAINDERS, Shard
from seqloader.run.shards import first_shard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Options",
    "checked_options",
    "checked_place",
    "checked_queue_size",
    "checked_timeout",
    "checked_workers",
    "without_effect",
]

EXECUTORS: Final = ("process", "thread", "inline")
MOST_SECONDS: Final = 1e6
"""Longer timeouts are cut to this: some system calls count milliseconds in 31 bits."""
MOST_DEFAULT_WORKERS: Final = 8
"""More workers than this by default would cost memory on large machines for nothing."""


@dataclass(frozen=True, slots=True)
class Options:
    """What an `OrderedEnqueuer` was asked for; see there."""

    workers: int
    max_queue_size: int | None
    max_queue_bytes: int | None
    seed: int
    seeded: bool
    """Whether the user gave the seed: then global generators are seeded per batch."""
    executor: str | Executor
    start_method: str
    timeout_s: float | None
    retries: int
    crash_retries: int
    on_error: str
    worker_init: Callable[[int], object] | None
    worker_env: Mapping[str, str]
    threads_per_worker: int | None
    copy: bool
    shard: Shard
    auto_shard: bool
    """Whether it is the one that was found, and is to be asked for again."""
    remainder: str | None
    """None: the length must be dealt out evenly."""

    def make_executor(self, workers: int, tickets_ahead: int) -> Executor:
        """An executor that is not started yet; the user's own, if one was given."""
        if not isinstance(self.executor, str):
            return self.executor
        if self.executor == "inline" or workers == 0:
            return InlineExecutor(copy=self.copy)
        if self.executor == "thread":
            return ThreadExecutor(workers, worker_init=self.worker_init, copy=self.copy)
        # Imported here, so that who computes inline or in threads does not pay for it.
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


def checked_options(
    *,
    use_multiprocessing: Any,
    workers: int | None,
    max_queue_size: int | None,
    max_queue_bytes: int | None,
    seed: int | None,
    executor: str | Executor | None,
    start_method: str | None,
    timeout_s: float | None,
    retries: int,
    crash_retries: int,
    on_error: str,
    worker_init: Callable[[int], object] | None,
    worker_env: Mapping[str, str] | None,
    threads_per_worker: int | None,
    copy: bool,
    shard: Any = None,
    remainder: str | None = None,
) -> Options:
    """Check every argument; TypeError or ValueError says what is wrong and what was meant."""
    kind = _executor(executor, use_multiprocessing)
    _refuse_unusable(
        kind,
        {
            "start_method": start_method,
            "timeout_s": timeout_s,
            "worker_env": worker_env,
            "threads_per_worker": threads_per_worker,
            "worker_init": worker_init,
            "copy": copy,
        },
    )
    if start_method not in (None, "spawn", "fork"):
        raise ValueError(f'start_method must be "spawn" or "fork", not {start_method!r}')
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error must be "raise" or "skip", not {on_error!r}')
    if worker_init is not None and not callable(worker_init):
        raise TypeError(f"worker_init must be callable as worker_init(slot), not {worker_init!r}")
    if timeout_s is not None:
        wanted = "positive seconds or None (no limit)"
        timeout_s = _seconds("timeout_s", timeout_s, wanted, least=1e-9)
    if remainder is not None and remainder not in REMAINDERS:
        names = ", ".join(f'"{name}"' for name in REMAINDERS)
        raise ValueError(f"remainder must be one of {names}, not {remainder!r}")
    if not isinstance(copy, bool):
        raise TypeError(f"copy must be True or False, not {copy!r}")
    return Options(
        workers=checked_workers(workers, kind),
        max_queue_size=checked_queue_size(max_queue_size),
        max_queue_bytes=_integer("max_queue_bytes", max_queue_bytes, 1, "None: no limit"),
        seed=secrets.randbits(63) if seed is None else _integer("seed", seed, 0) or 0,
        seeded=seed is not None,
        executor=kind,
        start_method=start_method or "spawn",
        timeout_s=timeout_s,
        retries=_integer("retries", retries, 0) or 0,
        crash_retries=_integer("crash_retries", crash_retries, 0) or 0,
        on_error=on_error,
        worker_init=worker_init,
        worker_env=_environment(worker_env),
        threads_per_worker=_integer("threads_per_worker", threads_per_worker, 1),
        copy=copy,
        shard=first_shard(shard),
        auto_shard=shard == "auto",
        remainder=remainder,
    )


def checked_workers(workers: int | None, executor: str | Executor) -> int:
    """Number of workers; None: the CPUs this process may use, at most 8."""
    if not isinstance(executor, str):
        return executor.workers
    if executor == "inline":
        _integer("workers", workers, 0)
        return 0
    count = _integer("workers", workers, 0, "0: compute in the consumer")
    return min(MOST_DEFAULT_WORKERS, usable_cpus()) if count is None else count


def checked_queue_size(max_queue_size: int | None) -> int | None:
    """The bound on batches ahead; never unbounded, as 0 was in the classic API."""
    hint = "the classic 0, an unbounded queue, is not offered: it computed the whole epoch ahead"
    return _integer("max_queue_size", max_queue_size, 1, hint)


def checked_place(name: str, value: Any) -> int:
    """An epoch or a position."""
    return checked_integer(name, value, 0)


def checked_timeout(timeout: Any) -> float:
    """Seconds that a `stop()` may take."""
    return _seconds("timeout", timeout, "seconds, not negative, or None (5)", least=0)


def _seconds(name: str, value: Any, wanted: str, *, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be {wanted}, not {value!r}")
    seconds = float(value)
    if not seconds >= least:
        raise ValueError(f"{name} must be {wanted}, not {value!r}")
    return min(seconds, MOST_SECONDS)


def _executor(executor: str | Executor | None, use_multiprocessing: Any) -> str | Executor:
    if not isinstance(use_multiprocessing, bool):
        hint = (
            f" did you mean workers={use_multiprocessing}?"
            if isinstance(use_multiprocessing, int)
            else ""
        )
        raise TypeError(
            f"use_multiprocessing must be True or False, not {use_multiprocessing!r}:{hint}"
            if hint
            else f"use_multiprocessing must be True or False, not {use_multiprocessing!r}"
        )
    if executor is None:
        return "process" if use_multiprocessing else "thread"
    if isinstance(executor, str):
        if executor not in EXECUTORS:
            names = ", ".join(f'"{name}"' for name in EXECUTORS)
            raise ValueError(f"executor must be one of {names}, or an Executor, not {executor!r}")
        if executor == "process" and not use_multiprocessing:
            raise ValueError('use_multiprocessing=False contradicts executor="process"')
        return executor
    if isinstance(executor, Executor) and not isinstance(executor, type):
        return executor
    raise TypeError(
        f"executor must be a name or an instance with the methods of seqloader.executors.protocol."
        f"Executor, not {executor!r}"
    )


def _refuse_unusable(kind: str | Executor, given: Mapping[str, Any]) -> None:
    """Refuse what the executor that was named cannot use.

    `workers=0` is not looked at: it is the switch for debugging, and whoever turns it leaves the
    other arguments as they are (see `without_effect`).
    """
    for name, value in given.items():
        if value is None or value is False or kind == "process":
            continue
        if not isinstance(kind, str):
            raise ValueError(
                f"{name} is the business of the Executor that was given: pass it to its constructor"
            )
        if name == "copy" or (name == "worker_init" and kind == "thread"):
            continue
        why = {
            "thread": "a thread cannot be killed and shares the consumer's environment",
            "inline": "it is about workers, and inline there are none",
        }[kind]
        raise ValueError(f'{name} needs executor="process": {why}')


def without_effect(options: Options, workers: int) -> list[str]:
    """Names of what was given, and with `workers=0` has no effect that one could miss.

    Whatever is about workers is accepted there. Of that, `start_method` and `threads_per_worker`
    make no difference to the batches; these may.
    """
    if workers or options.executor not in ("process", "thread"):
        return []
    given = {
        "worker_init": options.worker_init,
        "worker_env": options.worker_env or None,
        "timeout_s": options.timeout_s,
    }
    return [name for name, value in given.items() if value is not None]


def _integer(name: str, value: Any, least: int, hint: str = "") -> int | None:
    return None if value is None else checked_integer(name, value, least, hint=hint)


def _environment(worker_env: Mapping[str, str] | None) -> dict[str, str]:
    if worker_env is None:
        return {}
    if not isinstance(worker_env, abc.Mapping):
        raise TypeError(f"worker_env must map variables to values, not {worker_env!r}")
    environment = dict(worker_env)
    for name, value in environment.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"worker_env must map str to str, not {name!r} to {value!r}")
    return environment
