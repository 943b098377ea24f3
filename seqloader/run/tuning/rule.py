"""The rule: from what one interval showed to another size, or none, with the reason. Pure.

It keeps what it has learnt, and knows neither clock, process nor batch: time is the sum of the
intervals that it was told of.

    the consumer waits        more workers, as many as its pace seems to want: at first up to twice
                              as many at a time, later one quarter
    it waits, workers idle    one slow batch holds up the others: a deeper queue
    ... and half would do     what it waits for is the hand-over: fewer workers
    workers idle for long     fewer: as many as were busy, and some to spare
    memory is short           a shorter queue, then fewer workers

Rules
    R1  What was changed because the consumer waits is a *trial*. It stays if it brought something,
        or if the consumer waits no more; else it is taken back, and not tried again for a while
        that is doubled each time, and longer where the trial cost much.
    R2  Nothing is judged before all workers have started, nor by an interval in which some had not;
        nor while batches are written into memory that was never used, which takes several times as
        long: each change of size brings some.
    R3  Fewer workers that turn out to be too few are remembered, for a while that is doubled each
        time. So a size that suits is left alone.
    R4  Who was killed for want of memory is not replaced: the pool stays smaller, for good.
    R5  Memory goes before everything: no size is decided that there is no room for, but for one
        worker and one batch.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from seqloader.run.tuning.facts import (
    Facts,
    Size,
    batches_of,
    bytes_of,
    fitting,
    most_by_cpus,
    usual_queue,
)

__all__ = ["Decision", "Rule"]

WAITS_AT_ONCE: Final = 0.10
WAITS: Final = 0.03
"""Parts of the time. The consumer waits if it is the first in one interval, or the second in two
one after the other."""

IDLE: Final = 0.8
"""Who is busy for less of the time, while the consumer waits, is held up by the queue."""

AMPLE: Final = 2.0
"""Where so many times fewer workers would do, by what they did, more of them are no remedy."""

FULL: Final = 0.9
"""How busy workers may be made by having fewer of them."""

CALM_S: Final = 5.0
"""How long workers must have been idle before there are fewer."""
CALM_LOOKS: Final = 3

RELAPSE_S: Final = 60.0
"""If the consumer waits so soon after there were fewer workers, they were too few."""

SHUN_S: Final = 30.0
LONGEST_SHUN_S: Final = 960.0
"""Until what brought nothing is tried again; to begin with, and at most."""
COST_PART: Final = 0.005
"""What trials may cost: this part of the time. Where one made the consumer much slower, the next of
its kind comes later."""
LONGER_SHUN: Final = 4
"""But at most so many times later: something else may have been the reason."""

LEAST_GAIN: Final = {"more": 0.02, "deeper": 0.05, "fewer": 0.05}
"""A trial must bring this part more. Chance must not decide for a queue that costs memory, nor for
fewer workers: they would go down and down."""
NO_LOSS: Final = -0.02
"""Where half of the workers would do, fewer of them need bring nothing."""
GAIN_PART: Final = 0.1
"""More workers must bring this part of what they would bring at best."""

QUEUES: Final = 3
QUEUES_TO_REFUSE: Final = 6
ENOUGH_S: Final = 3.0
ENOUGH_S_TO_REFUSE: Final = 6.0
"""A rate is known when so many queues were delivered, or after so long: where work is uneven, a
queue comes in a burst. To take a trial back, it must be known better."""

FRESH_BYTES_PER_S: Final = 50e6
"""From such a rate on, it takes a good part of the time to use memory for the first time."""

LONGER: Final = 1.25
"""A queue that was shortened for memory is lengthened by so much at a time."""

DEEPEST: Final = 16
"""Times the usual queue."""


class Decision(NamedTuple):
    """Another size, and why."""

    size: Size
    reason: str


class _Trial(NamedTuple):
    """A change that must show what it brings."""

    kind: str
    before: Size
    depth: int
    """Of the queue, before."""
    rate: float
    """Batches per second before."""
    gain: float
    """The part of that which it must bring."""
    since_s: float
    """When it began."""

    def cost_s(self, now_s: float, rate: float) -> float:
        """The time that it has cost, had all of it been at that rate."""
        return (now_s - self.since_s) * max(0.0, 1 - rate / self.rate)


class _Shunned:
    """What is not to be tried for a while."""

    def __init__(self, pause_s: float = SHUN_S) -> None:
        self.until_s = 0.0
        self._pause_s = pause_s / 2

    def shun(self, now_s: float, cost_s: float = 0.0) -> float:
        """Not from now on, for twice as long as the last time, or longer for what it has cost.
        How long that is."""
        self._pause_s = min(2 * self._pause_s, LONGEST_SHUN_S)
        pause_s = min(max(self._pause_s, cost_s / COST_PART), LONGER_SHUN * self._pause_s)
        self.until_s = now_s + pause_s
        return pause_s


class Rule:
    """What one enqueuer has learnt, and decides.

    Args:
        workers: whether their number is tuned.
        queue: whether its length is.
    """

    def __init__(self, *, workers: bool, queue: bool) -> None:
        self.workers = workers
        self.queue = queue
        self._now_s = 0.0
        self._most_workers: int | None = None
        """More were too many for the memory."""
        self._doubles = True
        """Until growth has brought nothing for the first time."""
        self._depth = 1
        """The queue, in usual ones."""
        self._trial: _Trial | None = None
        self._shunned = {
            "more": _Shunned(),
            "deeper": _Shunned(),
            "fewer": _Shunned(LONGEST_SHUN_S),  # unlike the others, it costs something to try
        }
        self._least = _Shunned()
        self._least_workers = 1
        """Fewer were too few, as long as `_least` says."""
        self._last_fewer_s = -RELAPSE_S
        self.hungry = False
        """Whether the last look would have had more, had there been memory for it."""
        self._size: Size | None = None
        self._begin(None)

    def _begin(self, size: Size | None) -> None:
        """What is measured from now on is of this size."""
        self._size = size
        self._settled = False
        self._passed = 0
        """Batches since it is so."""
        self._seconds = 0.0
        self._delivered = 0
        self._busy_s = 0.0
        self._waits = 0
        self._calm: list[float] = []
        self._calm_s = 0.0

    def usual(self, workers: int) -> Size:
        """What suits so many workers, by what was learnt, were there room for anything."""
        return Size(workers, self._depth * usual_queue(workers))

    def look(self, facts: Facts) -> Decision | None:
        """Decide, from one more interval. None: all stays as it is."""
        self._now_s += facts.seconds
        decision = self.heed_memory(facts)
        if decision is None and self._is_settled(facts):
            self._measure(facts)
            decision = self._judge(facts) or self._adapt(facts)
            if decision is not None:
                self._begin(decision.size)
        return decision

    # --- memory ---------------------------------------------------------------------------

    def heed_memory(self, facts: Facts) -> Decision | None:
        """Decide by what memory there is, and by nothing else: no interval is needed for it."""
        size = facts.size
        self.hungry = False
        if facts.memory_deaths and self.workers:
            killed = facts.memory_deaths
            self._most_workers = max(1, size.workers - killed)
            if self._most_workers < size.workers:
                fewer = size._replace(workers=self._most_workers)
                why = f"{killed} killed for want of memory: the pool stays smaller"
                return self._by_memory(facts, fewer, why)
        suits = self._depth * usual_queue(size.workers)
        fits = self._with_room(facts, size.workers, max(size.queue, suits))
        if fits.workers < size.workers or fits.queue < size.queue:
            needed, room = bytes_of(size, facts) / 1e6, facts.room_bytes / 1e6
            why = f"{needed:.0f} MB would be needed, and there are {room:.0f} for us"
            return self._by_memory(facts, fits, why)
        if fits.queue >= min(suits, LONGER * size.queue) and fits.queue > size.queue:
            why = f"there is room for {fits.queue} batches of {facts.batch_bytes / 1e6:.3g} MB"
            return self._by_memory(facts, fits, why)
        return None

    def _by_memory(self, facts: Facts, size: Size, why: str) -> Decision:
        self._trial = None
        self._begin(size)
        return Decision(size, why)

    # --- measuring ------------------------------------------------------------------------

    def _is_settled(self, facts: Facts) -> bool:
        """Whether the interval shows what this size does."""
        if facts.size != self._size:  # somebody else has changed it
            self._begin(facts.size)
        before, self._settled = self._settled, facts.ready >= facts.size.workers
        is_warm = (
            self._passed >= batches_of(facts.size)
            or facts.rate * facts.batch_bytes < FRESH_BYTES_PER_S
        )
        self._passed += facts.delivered
        return before and self._settled and is_warm and facts.delivered > 0

    def _measure(self, facts: Facts) -> None:
        self._seconds += facts.seconds
        self._delivered += facts.delivered
        self._busy_s += facts.busy_s
        self._waits = self._waits + 1 if facts.waiting > WAITS else 0
        if self._waits:
            self._calm, self._calm_s = [], 0.0
        else:
            self._calm.append(facts.load)
            self._calm_s += facts.seconds

    @property
    def _rate(self) -> float:
        return self._delivered / self._seconds

    @property
    def _busy(self) -> float:
        """The part of their time in which workers were busy."""
        assert self._size is not None
        return self._busy_s / self._seconds / self._size.workers

    def _knows_rate(self, queues: int, seconds: float) -> bool:
        assert self._size is not None
        return self._delivered >= queues * self._size.queue or self._seconds >= seconds

    def _consumer_waits(self, facts: Facts) -> bool:
        return self._waits >= 2 or facts.waiting > WAITS_AT_ONCE

    def _judge(self, facts: Facts) -> Decision | None:
        """Whether the trial under way, if there is one, is taken back."""
        trial = self._trial
        if trial is None:
            return None
        is_enough = facts.waiting <= WAITS and trial.kind != "fewer"
        gains = is_enough or self._rate >= trial.rate * (1 + trial.gain)
        soon = is_enough or (gains and trial.kind == "more")
        if not soon and not self._knows_rate(QUEUES_TO_REFUSE, ENOUGH_S_TO_REFUSE):
            return None
        self._trial = None
        if gains:
            return None
        if trial.kind == "more" and self._busy < IDLE and (deeper := self._deeper(facts)):
            self._trial = trial  # they are held up by the queue: one shows with the other
            return deeper
        self._depth = trial.depth
        words = f"{self._rate:.4g} batches/s instead of {trial.rate:.4g}: it brought nothing"
        if trial.kind == "more" and self._doubles:
            self._doubles = False  # it may have been too large a step
        else:
            cost_s = trial.cost_s(self._now_s, self._rate)
            pause_s = self._shunned[trial.kind].shun(self._now_s, cost_s)
            words += f", and is not tried again for {pause_s:.0f} s"
        before = fitting(trial.before, facts, workers=self.workers, queue=self.queue)
        return Decision(before, words)

    # --- adapting -------------------------------------------------------------------------

    def _adapt(self, facts: Facts) -> Decision | None:
        if self._trial is not None:
            return None
        known = self._knows_rate(QUEUES, ENOUGH_S)
        if not self._consumer_waits(facts):
            return self._relax(facts) if known else None
        self._note_relapse(facts)
        if not known:  # while it is far from enough, one need not know how far
            return self._more(facts) if self._doubles and facts.waiting > 0.5 else None
        if self._busy < IDLE and (deeper := self._deeper(facts)):
            return deeper
        is_ample = AMPLE * facts.wanted_load <= facts.size.workers
        return (self._halve if is_ample else self._more)(facts) or self._fewer(facts)

    def _may(self, kind: str) -> bool:
        return self._now_s >= self._shunned[kind].until_s

    def _more(self, facts: Facts) -> Decision | None:
        """More workers, as many as the consumer's pace seems to want."""
        if not (self.workers and self._may("more")):
            return None
        have = facts.size.workers
        step = have if self._doubles else max(1, have // 4)
        wanted = min(max(math.ceil(facts.wanted_load), have + 1), have + step)
        most = most_by_cpus(facts)
        if self._most_workers is not None:
            most = min(most, self._most_workers)
        size = self._with_room(facts, min(wanted, most))
        if size.workers <= have:
            return None
        pace = f"{facts.wanted_load:.1f}" if facts.waiting < 0.9 else "many more"
        why = (
            f"the consumer waited {facts.waiting:.0%} of the time, {self._busy:.0%} of the workers "
            f"were busy; its pace wants {pace}"
        )
        return self._try("more", facts, size, why)

    def _deeper(self, facts: Facts) -> Decision | None:
        """A deeper queue."""
        if not (self.queue and self._may("deeper")) or self._depth >= DEEPEST:
            return None
        have = facts.size.workers
        size = self._with_room(facts, have, 2 * self._depth * usual_queue(have))
        if size.workers < have or size.queue <= facts.size.queue:
            return None
        why = (
            f"the consumer waited {facts.waiting:.0%} of the time, and only {self._busy:.0%} of "
            "the workers were busy: slow batches hold up the queue"
        )
        decision = self._try("deeper", facts, size, why)
        self._depth *= 2
        return decision

    def _halve(self, facts: Facts) -> Decision | None:
        """Half of the workers, where more than half are idle and the consumer waits all the same:
        for what each hand-over takes. With more of them about, that takes longer."""
        have = facts.size.workers
        workers = max(math.ceil(AMPLE * facts.wanted_load), (have + 1) // 2)
        if not (self.workers and self._may("fewer")) or workers >= have:
            return None
        why = (
            f"the consumer waited {facts.waiting:.0%} of the time, and only {facts.load:.1f} of "
            f"{have} workers were busy: more are no remedy"
        )
        return self._try("fewer", facts, self._with_room(facts, workers), why, NO_LOSS)

    def _fewer(self, facts: Facts) -> Decision | None:
        """One worker fewer, where more are none the better: threads may be in each other's way."""
        have = facts.size.workers
        if not (self.workers and self._may("fewer")) or have < 2:
            return None
        size = self._with_room(facts, have - 1)
        why = f"the consumer waited {facts.waiting:.0%} of the time, and there cannot be more"
        return self._try("fewer", facts, size, why)

    def _try(
        self, kind: str, facts: Facts, size: Size, why: str, gain: float | None = None
    ) -> Decision:
        gain = LEAST_GAIN[kind] if gain is None else gain
        if kind == "more":
            gain = max(gain, GAIN_PART * (size.workers / facts.size.workers - 1))
        self._trial = _Trial(kind, facts.size, self._depth, self._rate, gain, self._now_s)
        return Decision(size, why)

    def _with_room(self, facts: Facts, workers: int, queue: int | None = None) -> Size:
        """So many workers, and a queue that suits them, as far as there is room."""
        suits = queue or self._depth * usual_queue(workers)
        size = Size(workers, suits if self.queue else facts.size.queue)
        fits = fitting(size, facts, workers=self.workers, queue=self.queue)
        self.hungry = self.hungry or fits != size
        return fits

    # --- enough ---------------------------------------------------------------------------

    def _relax(self, facts: Facts) -> Decision | None:
        """Fewer workers, if that many were idle for long."""
        if not self.workers or self._calm_s < CALM_S or len(self._calm) < CALM_LOOKS:
            return None
        load, calm_s = max(self._calm), self._calm_s
        self._calm, self._calm_s = [], 0.0
        have = facts.size.workers
        least = self._least_workers if self._now_s < self._least.until_s else 1
        workers = max(math.ceil(load / FULL), (have + 1) // 2, least)
        if workers >= have:
            return None
        self._last_fewer_s = self._now_s
        why = f"{load:.1f} of {have} workers were busy, at most, for {calm_s:.0f} s"
        return Decision(self._with_room(facts, workers), why)

    def _note_relapse(self, facts: Facts) -> None:
        """The consumer waits: if that is because there are fewer workers now, they are too few."""
        if self._now_s - self._last_fewer_s < RELAPSE_S:
            self._last_fewer_s = -RELAPSE_S
            self._least_workers = facts.size.workers + 1
            self._least.shun(self._now_s)
