"""A Sequence whose items are a function of (index, seed, epoch): what those of this package share.

Where seed and epoch come from
    in an enqueuer      the batch's context; the Sequence's own seed, if it was given one, goes
                        before the enqueuer's
    in a plain `for`    its own seed, given or drawn when it was made; each `for` is the next epoch
    sequence[i]         the same, in epoch 0
"""

from __future__ import annotations

import itertools
import operator
import os
from typing import TYPE_CHECKING, Any

from seqloader.randomness.context import current_batch
from seqloader.randomness.seeding import Seeding
from seqloader.randomness.seeds import check_seed
from seqloader.samples.identity import check_identity, check_parts
from seqloader.sequence.base import Pass, Sequence
from seqloader.sequence.interface import offered, run_hook
from seqloader.tickets import Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SeededSequence"]


class SeededSequence(Sequence[Any]):
    """Base of the Sequences of this package.

    A subclass defines `__len__`, `_compute` and `_identity`, and, where it is made of other
    objects, `_parts`: their hooks are called with its own, and their states are part of its own.
    """

    def __init__(self, seed: int | None) -> None:
        self.seed = None if seed is None else check_seed(seed)
        # Drawn here and not when it is needed: workers, and indices, must agree.
        self._drawn_seed = int.from_bytes(os.urandom(16), "little")
        # An object that counts, for binding an attribute anew would count as a change of state.
        self._passes = itertools.count()

    def __getitem__(self, index: int, /) -> Any:
        """The item number `index`; from the end, if it is negative."""
        count = len(self)
        number = operator.index(index)
        if number < 0:
            number += count
        if not 0 <= number < count:
            raise IndexError(
                f"{type(self).__name__}: {index} was asked for, and there are {count}, from 0 on"
            )
        context = current_batch()
        if context is None:
            return self._seeding().compute(_InContext(self), Ticket(0, number, number))
        seed = context.seed if self.seed is None else self.seed
        return self._compute(number, count, seed, context.epoch)

    def __iter__(self) -> Iterator[Any]:
        """One pass, here and now: no workers, no hooks. Each is another epoch: 0, 1, 2, ...

        Order and random numbers are those of an enqueuer with the same seed.
        """
        epoch, seeding = next(self._passes), self._seeding()
        return Pass(lambda number: seeding.compute(self, Ticket(epoch, number, number)), len(self))

    def on_epoch_begin(self) -> None:
        """Call the hook of what this was made of, where that has one."""
        for part in self._hook_parts():
            run_hook(part, "on_epoch_begin")

    def on_epoch_end(self) -> None:
        """Call the hook of what this was made of, where that has one."""
        for part in self._hook_parts():
            run_hook(part, "on_epoch_end")

    def state_dict(self) -> dict[str, Any]:
        """What a saved run must agree with: plain JSON, but for the states of its parts.

        Order and random numbers are computed from seed and epoch, so there is nothing to restore;
        but a run that goes on with other lengths or arguments would not be the same run. A source
        that has `state_dict` and `load_state_dict` has its state carried along.
        """
        state = self._seeded_identity()
        parts = {name: part.state_dict() for name, part in self._stateful_parts().items()}
        return {**state, "parts": parts} if parts else state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Check that `state` was saved by a Sequence like this one, and load those of its parts.

        Raises:
            ResumeError: it was not; `differences` has a sentence for each thing that differs.
        """
        saved = dict(state)
        states = saved.pop("parts", {})
        parts = self._stateful_parts()
        differing = check_parts(states, parts)
        check_identity(type(self).__name__, saved, self._seeded_identity(), differing)
        for name, part in parts.items():
            part.load_state_dict(states[name])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_passes"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._passes = itertools.count()

    # --- what a subclass defines --------------------------------------------------------------

    def _compute(self, number: int, count: int, seed: int, epoch: int) -> Any:
        """The item `number` of `count`, 0 <= number < count. Called inside a batch's context."""
        raise NotImplementedError

    def _identity(self) -> dict[str, Any]:
        """Name -> value, plain JSON, of what a resumed run must have in common with the saved."""
        raise NotImplementedError

    def _parts(self) -> dict[str, Any]:
        """Name -> object, of what it is made of."""
        return {}

    def order_is_drawn(self) -> bool:
        """Whether the order of its samples depends on the seed of the enqueuer."""
        return any(
            part.order_is_drawn()
            for part in self._parts().values()
            if isinstance(part, SeededSequence)
        )

    # --- helpers --------------------------------------------------------------------------------

    def _hook_parts(self) -> list[Any]:
        """See `seqloader.sequence.interface.overrides_hook`."""
        return list({id(part): part for part in self._parts().values()}.values())

    def _seqloader_parts(self) -> list[tuple[str, Any]]:
        """See `seqloader.sequence.interface.wrapped_by`."""
        return list(self._parts().items())

    def _seeded_identity(self) -> dict[str, Any]:
        identity = self._identity()
        return identity if self.seed is None else {**identity, "seed": self.seed}

    def _stateful_parts(self) -> dict[str, Any]:
        return {
            name: part
            for name, part in self._parts().items()
            if callable(offered(part, "state_dict")) and callable(offered(part, "load_state_dict"))
        }

    def _seeding(self) -> Seeding:
        seed = self._drawn_seed if self.seed is None else self.seed
        return Seeding(seed, reseed_globals=False)


class _InContext:
    """Its items are computed by the base class: a subclass's own `__getitem__` is under way."""

    def __init__(self, sequence: SeededSequence) -> None:
        self._sequence = sequence

    def __getitem__(self, index: int) -> Any:
        return SeededSequence.__getitem__(self._sequence, index)
