"""seqloader itself: `OrderedEnqueuer` with nothing changed but workers and queue; 0 is "auto".

`on_epoch_end` runs as the enqueuer runs it: in the consumer, when the batch after the last is asked
for. A batch is never overwritten while anything refers to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Enqueuer:
    def __init__(
        self,
        sequence: Any,
        workers: int,
        queue: int,
        *,
        seed: int | None = None,
        timeout_s: float | None = None,
        start_method: str = "spawn",
    ) -> None:
        # Here, so that no peer is measured with seqloader loaded.
        from seqloader import OrderedEnqueuer

        self._enqueuer = OrderedEnqueuer(
            sequence,
            workers=workers or "auto",
            max_queue_size=queue or "auto",
            seed=seed,
            timeout_s=timeout_s,
            start_method=start_method,  # type: ignore[arg-type, unused-ignore]
        )
        self._enqueuer.start()

    @property
    def workers(self) -> int:
        return self._enqueuer.workers

    def epoch(self) -> Iterator[Any]:
        return iter(self._enqueuer)

    def close(self) -> None:
        self._enqueuer.stop()
