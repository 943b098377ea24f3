"""Epochs that are computed ahead: when what was planned holds, and a run in which all changes.

The run is a real one, over an executor that computes in any order, fails and loses workers, and
keeps a state of its own, as worker processes do.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from seqloader import OrderedEnqueuer, Sequence
from seqloader.order import Cursor, Plan, Ranges, Shard
from seqloader.run import ahead
from seqloader.run.ahead import Basis
from seqloader.sequence.bindings import bindings, same_bindings
from seqloader.tickets import Death, Lost, Raised, Ticket

SEQUENCE = object()
BASIS = Basis(SEQUENCE, {"a": SEQUENCE}, Plan(3, True, 7, 5), 0, None)
OTHER = {
    "sequence": object(),
    "bound": {"a": object()},
    "start": 1,
    "skips": Ranges.of([1]),
}
PLANS = {
    "length": Plan(4, True, 7, 5),
    "shuffle": Plan(3, False, 7, 5),
    "seed": Plan(3, True, 8, 5),
    "epoch": Plan(3, True, 7, 6),
    "shard": Plan(3, True, 7, 5, Shard(0, 2)),
    "first": Plan(3, True, 7, 5, first=1),
    "remainder": Plan(3, True, 7, 5, remainder="drop"),
    "left out": Plan(3, True, 7, 5, left_out=Ranges.of([0])),
}


def test_what_was_planned_holds_where_nothing_has_changed():
    again = Basis(SEQUENCE, {"a": SEQUENCE}, Plan(3, True, 7, 5))

    assert BASIS.holds(again)


@pytest.mark.parametrize("what", OTHER)
def test_what_was_planned_does_not_hold_where_one_thing_is_another(what):
    assert not BASIS.holds(BASIS._replace(**{what: OTHER[what]}))


@pytest.mark.parametrize("what", PLANS)
def test_what_was_planned_does_not_hold_where_the_plan_is_another(what):
    assert not BASIS.holds(BASIS._replace(plan=PLANS[what]))


@given(before=st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)))
def test_an_attribute_that_is_added_removed_or_bound_anew_is_a_change(before):
    now = {**before, "d": 1}

    assert not BASIS._replace(bound=before).holds(BASIS._replace(bound=now))
    assert not BASIS._replace(bound=now).holds(BASIS._replace(bound=before))


FATES = ["computed"] * 6 + ["raised", "lost"]


class Changing(Sequence[Any]):
    """Batches are what they were computed from. No hook, until one is set on the instance."""

    def __init__(self) -> None:
        self.value = 0
        self.cell = [0]
        """Changed in place."""
        self.lengths = [3]
        """The same: so the length may change although nothing is bound anew."""

    def __len__(self) -> int:
        return self.lengths[0]

    def __getitem__(self, index: int, /) -> Any:
        raise AssertionError("the executor has a state of its own")


class Batch:
    """The outcome `Computed`."""

    slot, nbytes, busy_s = 0, 8, 0.001

    def __init__(self, ticket: Ticket, state: Any) -> None:
        self.ticket = ticket
        self._state = state
        self._is_left = True

    def open(self) -> Any:
        self.discard()
        return self.ticket.epoch, self.ticket.position, self.ticket.index, self._state

    def discard(self) -> None:
        assert self._is_left, "opened or discarded twice"
        self._is_left = False


class Copying:
    """Computes with the state that was loaded, in an order of its own, one ticket for each wait."""

    workers = 2

    def __init__(self, seed: int, *, always: bool = False) -> None:
        self._choice = random.Random(seed)
        self.always = always
        """Whether it runs ahead at every epoch, and computes whatever it is given."""
        self.queue: list[Ticket] = []
        self.answers: list[Any] = []
        self.state: Any = None
        self._sequence: Any = None
        self._bound: Any = None
        self.batches = 0
        """How many were computed."""

    def start(self, sequence: Any, seeding: Any) -> None:
        self._take(sequence)

    def _take(self, sequence: Any) -> None:
        self.state = (sequence.value, sequence.cell[0])
        self._sequence, self._bound = sequence, bindings(sequence)

    def runs_ahead(self) -> bool:
        return self.always or self._choice.random() < 0.8

    def load(self, sequence: Any, *, in_place: bool) -> None:
        assert not self.queue and not self.answers, "sent while batches are computed"
        is_known = sequence is self._sequence and same_bindings(self._bound, bindings(sequence))
        if in_place or not is_known:
            self._take(sequence)

    def submit(self, ticket: Ticket) -> None:
        self.queue.append(ticket)

    def compute(self, count: int) -> None:
        for _ in range(min(count, len(self.queue))):
            ticket = self.queue.pop(self._choice.randrange(len(self.queue)))
            fates = ["computed"] if ticket.attempt or self.always else FATES
            fate = self._choice.choice(fates)
            if fate == "raised":
                self.answers.append(Raised(ticket, 0, ValueError("no")))
            elif fate == "lost":
                self.answers.append(Lost(ticket, Death(0, 4242, -9, 1 << 30)))
            else:
                self.batches += 1
                self.answers.append(Batch(ticket, self.state))

    def wait(self, timeout_s: float | None) -> None:
        assert self.queue or self.answers, "waits for what nobody computes"
        self.compute(1)

    def collect(self) -> list[Any]:
        taken, self.answers = self.answers, []
        return taken

    def alarmed(self) -> bool:
        return False

    def resize(self, workers: int, tickets_ahead: int) -> None:
        self.workers = workers

    def discard(self, timeout_s: float | None = None) -> bool:
        self.reset()
        return True

    def reset(self) -> None:
        self.queue.clear()
        self.answers.clear()

    def wake(self) -> None:
        pass

    def kill(self) -> None:
        pass

    def stop(self, timeout_s: float) -> None:
        self.reset()

    def abandon(self) -> None:
        pass


CHANGES = [
    *("bind_anew", "change_in_place", "refresh", "turn_shuffle", "add_or_remove_a_hook"),
    *("save_and_load", "skip_the_second_batch_of_the_coming_epoch", "use_another"),
    "add_a_hook_and_use_another",
]


class Runs(RuleBasedStateMachine):
    """A run in which anything is done at any time, beside what each epoch should be."""

    @initialize(seed=st.integers(0, 99), limit=st.integers(2, 9), shuffle=st.booleans())
    def start(self, seed: int, limit: int, shuffle: bool) -> None:
        self.executor = Copying(seed)
        self.pause, ahead.LONGEST_PAUSE = ahead.LONGEST_PAUSE, 0  # type: ignore[misc]
        self.sequence = Changing()
        self.limit = limit
        self.enqueuer: OrderedEnqueuer[Any] = OrderedEnqueuer(
            self.sequence,
            executor=self.executor,
            max_queue_size=limit,
            seed=3,
            shuffle=shuffle,
            retries=1,
        )
        self.enqueuer.start()
        self.iterator: Any = None
        self.cursor = Cursor()
        self.expected: list[Any] = []
        self.taken = 0
        """Batches that were delivered."""
        self.is_sent_anew = False
        self.state = (0, 0)
        """What the workers were last sent."""
        self.bound, self.sent = bindings(self.sequence), self.sequence
        self.begin()
        self.turn_with_a_change("", 0)  # only then others are computed ahead

    # --- the consumer ---------------------------------------------------------------------

    def is_under_way(self) -> bool:
        return self.iterator is not None

    @rule()
    def begin(self) -> None:
        if self.iterator is not None and self.delivered:
            self._end()
        self._send()
        epoch = self.cursor.epoch
        plan = Plan(len(self.sequence), self.enqueuer.shuffle, 3, epoch)
        skipped = self.cursor.skipped.get(epoch, Ranges())
        start = min(self.cursor.position, len(self.sequence))
        self.expected = [
            (epoch, position, plan.index(position), self.state)
            for position in range(start, len(self.sequence))
            if position not in skipped
        ]
        self.delivered = False
        self.iterator = iter(self.enqueuer)

    def _send(self) -> None:
        """What an epoch that begins has the workers know."""
        hooks = "on_epoch_end" in vars(self.sequence)
        changed = self.sent is not self.sequence or not same_bindings(
            self.bound, bindings(self.sequence)
        )
        if hooks or changed or self.is_sent_anew:
            self.state = (self.sequence.value, self.sequence.cell[0])
            self.bound, self.sent = bindings(self.sequence), self.sequence
        self.is_sent_anew = False

    def _end(self) -> None:
        self.cursor = self.cursor.at(self.cursor.epoch + 1)
        self.iterator = None

    @precondition(is_under_way)
    @rule(count=st.integers(1, 5))
    def take(self, count: int) -> None:
        for _ in range(count):
            batch = next(self.iterator, None)
            self.delivered = True
            assert batch == (self.expected.pop(0) if self.expected else None)
            if batch is None:
                self._end()
                return
            self.taken += 1

    @precondition(is_under_way)
    @rule()
    def ask_whether_there_is_another(self) -> None:
        assert self.iterator.has_next() == bool(self.expected)

    @precondition(is_under_way)
    @rule(change=st.sampled_from(["", *CHANGES]), computed=st.integers(0, 6))
    def turn_with_a_change(self, change: str, computed: int) -> None:
        self.take(len(self.expected) + 1)
        self.compute(computed)
        if change:
            getattr(self, change)()
        self.begin()

    @precondition(is_under_way)
    @rule()
    def take_all_but_the_end_and_begin(self) -> None:
        if self.expected:
            self.take(len(self.expected))
            self.begin()

    @rule(count=st.integers(1, 6))
    def compute(self, count: int) -> None:
        self.executor.compute(count)

    @rule()
    def end_epoch(self) -> None:
        inside = self.cursor.position > 0 or (self.iterator is not None and self.delivered)
        self.enqueuer.end_epoch()
        if inside and self.iterator is None:  # it was begun for that
            self._send()
        if inside:
            self._end()

    # --- what changes ---------------------------------------------------------------------

    @rule()
    def bind_anew(self) -> None:
        self.sequence.value += 1000  # another object each time

    @rule()
    def change_in_place(self) -> None:
        self.sequence.cell[0] += 1

    @rule()
    def refresh(self) -> None:
        self.enqueuer.refresh()
        self.is_sent_anew = True

    @rule(length=st.integers(1, 5))
    def change_the_length(self, length: int) -> None:
        if self.iterator is None and self.cursor.position == 0 and not self.cursor.skipped:
            self.sequence.lengths[0] = length

    @rule()
    def turn_shuffle(self) -> None:
        self.enqueuer.shuffle = not self.enqueuer.shuffle

    @rule()
    def add_or_remove_a_hook(self) -> None:
        if "on_epoch_end" in vars(self.sequence):
            del self.sequence.on_epoch_end
        else:
            self.sequence.on_epoch_end = self._hook  # type: ignore[method-assign]

    def _hook(self) -> None:
        assert not self.executor.queue and not self.executor.answers, "computed during a hook"

    @rule()
    def use_another(self) -> None:
        """From the next epoch on; the hook of the one before runs at its end."""
        if self.iterator is not None or not self.cursor.position:
            lengths = self.sequence.lengths
            self.sequence = self.enqueuer.sequence = Changing()
            self.sequence.value, self.sequence.lengths = 5000 + self.taken, lengths

    @rule()
    def add_a_hook_and_use_another(self) -> None:
        if "on_epoch_end" not in vars(self.sequence):
            self.add_or_remove_a_hook()
        self.use_another()

    @rule(workers=st.integers(1, 4))
    def resize(self, workers: int) -> None:
        if workers <= self.limit:
            self.enqueuer.resize(workers)

    # --- jumps ----------------------------------------------------------------------------

    @rule(epoch=st.integers(0, 9), position=st.integers(0, 2))
    def seek(self, epoch: int, position: int) -> None:
        if position <= len(self.sequence):
            self.enqueuer.seek(epoch, position)
            self.cursor = self.cursor.at(epoch, position)
            self.iterator = None

    @rule()
    def save_and_load(self) -> None:
        state = self.enqueuer.state_dict()
        here = (state["epoch"], state["position"])
        self.enqueuer.load_state_dict(state, strict=False)
        assert (self.enqueuer.state_dict()["epoch"], self.enqueuer.state_dict()["position"]) == here
        skipped = self.cursor.skipped
        self.cursor = Cursor(*here, 0, skipped)
        self.iterator = None
        self.is_sent_anew = True

    @rule()
    def skip_the_second_batch_of_the_coming_epoch(self) -> None:
        epoch = self.cursor.epoch + (self.iterator is not None)
        if len(self.sequence) > 1 and (self.iterator is not None or self.cursor.position == 0):
            self.enqueuer.skip([1], epoch=epoch)
            self.cursor = self.cursor.skipping(epoch, Ranges.of([1]))

    @invariant()
    def bounds_and_invariants_hold(self) -> None:
        if not hasattr(self, "enqueuer"):
            return
        self.enqueuer._run.check()
        stats = self.enqueuer.stats()
        assert stats.in_flight <= self.limit + 1
        assert (stats.delivered, stats.skipped) == (self.taken, 0)
        assert len(self.executor.queue) + len(self.executor.answers) <= self.limit + 1

    def teardown(self) -> None:
        if hasattr(self, "enqueuer"):
            self.enqueuer.stop()
            ahead.LONGEST_PAUSE = self.pause  # type: ignore[misc]


Runs.TestCase.settings = settings(
    deadline=None,
    max_examples=30,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
)
TestRuns = pytest.mark.filterwarnings("ignore::seqloader.SeqloaderWarning")(Runs.TestCase)


def computed_for_nothing(change: Any) -> int:
    """Batches computed in 50 epochs of 3, beside those delivered."""
    executor, sequence = Copying(0, always=True), Changing()
    enqueuer: OrderedEnqueuer[Any] = OrderedEnqueuer(
        sequence, executor=executor, max_queue_size=6, retries=1
    )
    for epoch in range(50):
        change(sequence, epoch)
        assert [batch[:2] for batch in enqueuer] == [(epoch, index) for index in range(3)]
        executor.compute(9)
    enqueuer.stop()
    return executor.batches - 150


def test_who_changes_something_before_every_epoch_soon_has_nothing_computed_ahead():
    def bind_anew(sequence: Changing, epoch: int) -> None:
        sequence.value = 1000 + epoch

    assert 0 < computed_for_nothing(bind_anew) <= 6 * 6


def test_after_a_change_it_is_tried_again():
    def bind_once(sequence: Changing, epoch: int) -> None:
        if epoch == 10:
            sequence.value = 1000

    assert computed_for_nothing(bind_once) == 6 + 6  # of the change, and at the end
