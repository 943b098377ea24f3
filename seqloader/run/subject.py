"""What a run is about: the Sequence, how it is asked for, and where the run stands in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqloader.errors import ResumeError
from seqloader.order import Cursor
from seqloader.randomness.drawn_orders import draw_orders, draws_orders
from seqloader.randomness.seeding import Seeding
from seqloader.run.our_shard import options_now, settled
from seqloader.run.resume.place import Place, PlaceStore
from seqloader.sequence.interface import is_told_of_epochs, overrides_hook, run_hook
from seqloader.stats import Counters

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqloader.run.options import Options

__all__ = ["Subject"]


class Subject:
    """One Sequence and what is known of it. It starts, computes and stops nothing."""

    def __init__(self, sequence: Any, shuffle: bool, options: Options) -> None:
        self.sequence = sequence
        self.shuffle = shuffle
        self.options = options
        self.store = PlaceStore(Place(Cursor(), Seeding(options.seed, options.seeded)))
        self.counters = Counters()
        self.must_refresh = False
        """Whether the Sequence was changed, and workers must be sent it."""
        self.hooked: Any = None
        """The Sequence whose hooks have run."""
        self.broken: Any = None
        """A Sequence on which hooks were run again, and not to the end: it computes no batch."""

    @property
    def place(self) -> Place:
        """Where the run stands."""
        return self.store.place

    @property
    def seeding(self) -> Seeding:
        """What order and random numbers come from."""
        return self.store.place.seeding

    @property
    def number(self) -> int:
        """Number of the epoch under way; between epochs, of the coming one."""
        return self.store.place.next.epoch

    def replace_sequence(self, sequence: Any) -> None:
        """Another one is used from the next epoch on. What was saved of the old is not its own."""
        self.sequence = sequence
        self.hooked = self.broken = None
        self.store.forget_states()

    def options_now(self) -> Options:
        """The options; with `shard="auto"` what is found now, if no epoch depends on it."""
        return options_now(self.options, self.place)

    def settle_shard(self) -> None:
        """With `shard="auto"`, keep to what is found now."""
        self.options = settled(self.options, self.place, self.sequence, self.shuffle)

    def settle_order(self, *, begins: bool = False) -> None:
        """Have orders drawn that each worker would else draw for itself."""
        draw_orders(self.sequence, self.seeding, self.number, begins=begins)

    def check_whole(self) -> None:
        """Refuse a Sequence on which hooks were run again, and not to the end."""
        if self.broken is not None and self.broken is self.sequence:
            raise ResumeError(
                "load_state_dict(state, replay_hooks=True) failed, and has left the "
                f"{type(self.sequence).__qualname__} somewhere between two epochs: make another"
            )

    def may_have_changed(self) -> bool:
        """Whether the Sequence may not be what the workers have, although nothing was bound anew in
        it and no `on_epoch_begin` has run."""
        return (
            self.must_refresh
            or overrides_hook(self.sequence, "on_epoch_end")
            or is_told_of_epochs(self.sequence)
        )

    def is_still(self) -> bool:
        """Whether nothing of it changes at the turn of an epoch, unless attributes are bound anew:
        no hook runs, no order is drawn, nothing in it is told of epochs by `set_epoch`, and nobody
        has said that it was changed."""
        sequence = self.sequence
        return not (
            self.must_refresh
            or overrides_hook(sequence, "on_epoch_begin")
            or overrides_hook(sequence, "on_epoch_end")
            or draws_orders(sequence)
            or is_told_of_epochs(sequence)
        )

    def run_hook(
        self, name: str, sequence: Any, epoch: int, begins: Callable[[str], object]
    ) -> bool:
        """Run a hook of a Sequence (the one that this epoch began with) under its random numbers.
        `begins` is told before. False: there is none that may do anything."""
        if not overrides_hook(sequence, name):
            return False
        begins(name)
        self.hooked = sequence
        self.store.freeze(self.sequence)
        self.seeding.hook(epoch, lambda: run_hook(sequence, name), name=name)
        return True
