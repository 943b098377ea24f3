"""seqloader itself: `OrderedEnqueuer` with nothing changed but workers and queue.

`on_epoch_end` runs as the enqueuer runs it: in the consumer, when the batch after the last is asked
for. A batch is never overwritten while anything refers to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["make_loader"]


def make_loader(
    sequence: Any,
    workers: int,
    queue: int,
    *,
    seed: int | None = None,
    timeout_s: float | None = None,
    start_method: str = "spawn",
) -> Enqueuer:
    """An enqueuer that was started."""
    return Enqueuer(
        sequence, workers, queue, seed=seed, timeout_s=timeout_s, start_method=start_method
    )


class Enqueuer:
    def __init__(self, sequence: Any, workers: int, queue: int, **options: Any) -> None:
        # Here, so that no peer is measured with seqloader loaded.
        from seqloader import OrderedEnqueuer

        self._enqueuer = OrderedEnqueuer(sequence, workers=workers, max_queue_size=queue, **options)
        self._enqueuer.start()

    def epoch(self) -> Iterator[Any]:
        return iter(self._enqueuer)

    def close(self) -> None:
        self._enqueuer.stop()
