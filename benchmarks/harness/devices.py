"""How fast batches reach a GPU, by whom, and how much of a training step is spent waiting for them.

Every element of every batch is compared, on the device, which takes it far less than the copy. What
came of that is asked for once, at the end: asking is waiting.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from peers.spdl_pipelines import SpdlLoader

from harness import workloads
from harness.cases import Case
from harness.limits import Figures, seconds_each
from harness.workloads import WrongBatch, expected

DEVICE = "cuda"
CALIBRATION_CYCLES = 20_000_000
TURN = 8  # copies that are waited for together


def unavailable() -> str:
    """Why nothing can be measured here; "": it can."""
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError:
        return "torch is not installed"
    return "" if torch.cuda.is_available() else "torch finds no CUDA device"


def memcpy(case: Case) -> Figures:
    """A copy of pinned memory to the device, again and again: the most that can be had."""
    torch: Any = importlib.import_module("torch")
    images, _ = _sequence(case)[0]
    source = torch.from_numpy(images).pin_memory()
    target = torch.empty_like(source, device=DEVICE)

    def turn() -> None:
        for _ in range(TURN):
            target.copy_(source, non_blocking=True)
        torch.cuda.synchronize()

    turn()
    each_s = seconds_each(turn, TURN, trial_s=case.measure_s / 3, trials=3)
    return {"gb_per_s": images.nbytes / each_s / 1e9}


def by_seqloader(case: Case) -> Figures:
    from seqloader.adapters.torch import TorchLoader

    options: Any = {"workers": case.workers, "max_queue_size": case.in_flight}
    loader: TorchLoader[Any] = TorchLoader(_sequence(case), device=DEVICE, **options)
    with loader:
        figures = _fed(case, iter(loader))
        feed = loader.feed
        assert feed is not None
        made, blocks = feed.registrations.made, len(feed.registrations)
        copied_mb = feed.buffered_bytes / 1e6
        return {**figures, "copied_mb": copied_mb, "registrations": made, "locked_blocks": blocks}


def by_data_loader(case: Case) -> Figures:
    """As its documentation says: batches pinned by its thread, copied without blocking."""
    data: Any = importlib.import_module("torch.utils.data")
    ahead = {"prefetch_factor": case.in_flight // case.workers} if case.workers else {}
    loader: Any = data.DataLoader(
        _sequence(case), batch_size=None, num_workers=case.workers, pin_memory=True, **ahead
    )
    return _fed(case, (_moved(batch) for batch in loader))


def by_spdl(case: Case) -> Figures:
    """Batches in its arenas, pinned in the loop: it has nothing of its own between the two."""
    torch: Any = importlib.import_module("torch")
    loader = SpdlLoader(_sequence(case), case.workers, case.in_flight, in_arena=True)
    with closing(loader):
        tensors = (map(torch.from_numpy, batch) for batch in loader.epoch())
        return _fed(case, (_moved([t.pin_memory() for t in each]) for each in tensors))


MEASURES: dict[str, Callable[[Case], Figures]] = {
    "device_memcpy": memcpy,
    "device_by_seqloader": by_seqloader,
    "device_by_data_loader": by_data_loader,
    "device_by_spdl": by_spdl,
}


def _sequence(case: Case) -> Any:
    return workloads.find(case.workload)(batch=case.workload_options["batch"])


def _moved(batch: Any) -> Any:
    return [tensor.to(DEVICE, non_blocking=True) for tensor in batch]


def _fed(case: Case, batches: Iterator[Any]) -> Figures:
    """Take batches, with a step of the device after each where the case has one."""
    steps = _Steps(case.workload_options.get("step_ms", 0.0))
    nbytes = 0
    warm_at_s = time.perf_counter() + case.warmup_s
    while steps.count < case.warmup_batches or time.perf_counter() < warm_at_s:
        images, labels = next(batches)
        steps.take(images, labels)
    steps.wait()

    first, own_before_s, begun_s = steps.count, time.process_time(), time.perf_counter()
    while steps.count < first + case.min_batches or time.perf_counter() < begun_s + case.measure_s:
        images, labels = next(batches)
        steps.take(images, labels)
        nbytes += images.nbytes + labels.nbytes
    steps.wait()
    wall_s, count = time.perf_counter() - begun_s, steps.count - first
    own_us = (time.process_time() - own_before_s) / count * 1e6
    steps.judge()
    figures = {"batches_per_s": count / wall_s, "gb_per_s": nbytes / wall_s / 1e9}
    if steps.step_ms:
        alone_s = steps.alone_s(images, labels)
        figures = {"wait_percent": (wall_s / count / alone_s - 1) * 100}
    return {**figures, "consumer_us": own_us, "batches": count}


class _Steps:
    """What a loop does with its batches: it compares them, and computes for `step_ms`."""

    def __init__(self, step_ms: float) -> None:
        self._torch: Any = importlib.import_module("torch")
        self.step_ms = step_ms
        self.count = 0
        self._wrong = self._torch.zeros((), dtype=self._torch.bool, device=DEVICE)
        self._cycles = 0
        if step_ms:
            self._cycles = CALIBRATION_CYCLES
            self._cycles = int(CALIBRATION_CYCLES * step_ms * 1e-3 / seconds_each(self._compute))

    def _compute(self) -> None:
        self._torch.cuda._sleep(self._cycles)
        self.wait()  # as who looks at the loss does

    def wait(self) -> None:
        self._torch.cuda.synchronize()

    def take(self, images: Any, labels: Any) -> None:
        """The next batch."""
        self._step(images, labels, self.count)
        self.count += 1

    def _step(self, images: Any, labels: Any, index: int) -> None:
        self._wrong |= (images != expected(index)).any() | (labels != index).any()
        if self._cycles:
            self._compute()

    def alone_s(self, images: Any, labels: Any) -> float:
        """Seconds a step takes with a batch that is there already."""
        return seconds_each(lambda: self._step(images, labels, self.count - 1), trial_s=0.1)

    def judge(self) -> None:
        if bool(self._wrong):
            raise WrongBatch("a batch on the device does not hold what was computed")
