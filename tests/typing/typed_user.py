"""What a user's code looks like to mypy --strict; checked by test_types_of_the_user.py, not run."""

from __future__ import annotations

from typing import Any, NamedTuple, assert_type

import numpy as np
from numpy.typing import NDArray

from seqloader import OrderedEnqueuer, Sequence, Stats, batch_context

Image = NDArray[np.float32]


class Pair(NamedTuple):
    image: Image
    label: int


class Bare(Sequence):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, int]:
        return {"index": index}


class Exact(Sequence[tuple[Image, int]]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Image, int]:
        return np.zeros(3, np.float32), batch_context().index

    def on_epoch_end(self) -> None:
        self.order = [1, 2]


class Endless(Sequence[int]):
    num_batches = None

    def __getitem__(self, index: int) -> int:
        return index


class ByDuckTyping:
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Pair:
        return Pair(np.zeros(3, np.float32), index)


class Untyped(Sequence):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return index


assert_type(OrderedEnqueuer(Bare()), OrderedEnqueuer[dict[str, int]])
assert_type(OrderedEnqueuer(Exact()), OrderedEnqueuer[tuple[Image, int]])
assert_type(OrderedEnqueuer(Endless()), OrderedEnqueuer[int])
assert_type(OrderedEnqueuer(ByDuckTyping()), OrderedEnqueuer[Pair])
assert_type(OrderedEnqueuer(Untyped()), OrderedEnqueuer[Any])
assert_type(OrderedEnqueuer([1.5, 2.5]), OrderedEnqueuer[float])
assert_type(OrderedEnqueuer(("a", "b")), OrderedEnqueuer[str])
assert_type(OrderedEnqueuer(range(3)), OrderedEnqueuer[int])

enqueuer = OrderedEnqueuer(ByDuckTyping(), False, True, workers=2, seed=1, timeout_s=None)
OrderedEnqueuer([1], executor="thread", on_error="skip", shard="auto", remainder="pad")
OrderedEnqueuer([1], start_method="fork", shard=(0, 2), remainder=None)
for batch in enqueuer:
    assert_type(batch, Pair)
    assert_type(batch.label, int)
for image, label in OrderedEnqueuer(Exact()):
    assert_type(image, Image)
    assert_type(label, int)
with OrderedEnqueuer(Endless(), max_queue_bytes=1 << 30) as opened:
    assert_type(opened, OrderedEnqueuer[int])
    assert_type(next(opened.get()), int)
    assert_type(next(iter(opened)), int)
    assert_type(opened.peek(), int)
    assert_type(opened.compute(3, epoch=1), int)
    assert_type(list(opened), list[int])

assert_type(enqueuer.stats(), Stats)
assert_type(enqueuer.stats().delivered, int)
assert_type(enqueuer.stats().busy_s[0], float)
assert_type(enqueuer.epoch, int)
assert_type(enqueuer.seed, int)
assert_type(enqueuer.is_running(), bool)
assert_type(len(enqueuer), int)
enqueuer.start(workers=2, max_queue_size=4)
enqueuer.stop(timeout=1.0)
enqueuer.close()


def takes_any(sequence: Sequence) -> OrderedEnqueuer[Any]:
    return OrderedEnqueuer(sequence)


takes_any(Exact())
takes_any(Bare())
