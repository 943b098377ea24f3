"""What the hooks of earlier epochs did to a Sequence, done again on one that was made anew.

As in the uninterrupted run, each epoch's `on_epoch_begin`, length and `on_epoch_end` follow each
other, under the random numbers of that epoch. Batches are not computed: with a seed they leave no
trace in the consumer's generators, and what `__getitem__` changes stays with whoever computed.

Assumed is that each of these epochs began and ended as usual: with at least one batch asked for,
not cut by `seek()`, `load_state_dict()` or an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqloader.randomness.drawn_orders import draw_orders, forget_orders
from seqloader.sequence.interface import count_batches, run_hook

if TYPE_CHECKING:
    from seqloader.randomness.seeding import Seeding

__all__ = ["replay_hooks"]


def replay_hooks(sequence: Any, seeding: Seeding, epochs: int) -> None:
    """Bring a Sequence made anew to where it stood before the epoch of that number.

    Raises whatever a hook or `__len__` raises, with a note that names the epoch.
    """
    forget_orders(sequence)  # an enqueuer that is running had them drawn, under another seed
    for epoch in range(epochs):
        try:
            _replay(sequence, seeding, epoch)
        except BaseException as error:
            error.add_note(f"raised while the hooks of epoch {epoch} were run again")
            raise


def _replay(sequence: Any, seeding: Seeding, epoch: int) -> None:
    def run(name: str) -> None:
        seeding.hook(epoch, lambda: run_hook(sequence, name), name=name)

    run("on_epoch_begin")
    count_batches(sequence)
    draw_orders(sequence, seeding, epoch, begins=True)
    run("on_epoch_end")
