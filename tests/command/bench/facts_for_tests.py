"""Facts as a quiet machine with 4 CPUs would show them; a test changes what it is about."""

from __future__ import annotations

from seqloader.command.bench.figures import Facts, Figures, Work

MB = 1_000_000
GB = 1_000_000_000

LOOP = Figures(None, 100.0, startup_s=0.01, nbytes=MB, cpus=1.0, wait_s=0.01)
WORK = Work(mean_s=0.010, typical_s=0.010, slowest_s=0.010, handing_s=0.0005, cpus=1.0)


def row(workers, rate, **figures):
    """Workers that compute all the time, unless something else is said."""
    plain = {
        "queue": 10,
        "startup_s": 0.2,
        "nbytes": MB,
        "consumer_s": 20e-6,
        "cpus": float(workers or 1),
        "busy_share": 1.0 if workers else 0.0,
        "busy_s": 0.0105 if workers else 0.0,
        "slowest_per_s": 0.9 * rate,
        "fastest_per_s": 1.1 * rate,
    }
    return Figures(workers, rate, **{**plain, **figures})


def facts(*rows, loop=LOOP, **known):
    """Of a Sequence of 1,000 batches that each take 10 ms to compute."""
    plain = {
        "cpus": 4,
        "machine_cpus": 4,
        "batches_per_epoch": 1000,
        "available_bytes": 16 * GB,
        "work": WORK,
    }
    return Facts(loop, rows, **{**plain, **known})


def computing(**known):
    """The plain case: two workers are twice as fast as one."""
    return facts(row(0, 99.0), row(1, 97.0), row(2, 190.0), **known)
