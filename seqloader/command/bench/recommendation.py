"""How many workers, and how wide a window. Pure: facts in, advice out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqloader.command import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqloader.command.bench.figures import Facts, Figures

__all__ = ["ENOUGH", "Recommendation", "choose", "recommend"]

ENOUGH = 0.95
"""Of the best pace: what more workers add beyond it is not worth their memory."""
WIDEST_WINDOW = 128
"""A wider one is never recommended: then batches are uneven beyond what waiting ahead can mend."""
MEMORY_SHARE = 0.5
"""Of the memory that could be had: the window may take so much, the training needs some, too."""


@dataclass(frozen=True)
class Recommendation:
    """What to pass to the constructor, and why."""

    workers: int
    queue: int
    """Without meaning where `workers` is 0."""
    why: str

    def line(self, options: Mapping[str, object]) -> str:
        """As Python; `options` are further arguments, with which it was measured."""
        arguments: dict[str, object] = {"workers": self.workers}
        if self.workers:
            arguments["max_queue_size"] = self.queue
        arguments |= options
        said = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        return f"OrderedEnqueuer(sequence, {said})"


def choose(facts: Facts) -> Figures:
    """The row with the fewest workers that keeps the best pace, or nearly.

    A training step bounds the pace: rows that feed it are all as good.
    """
    best_s = min(map(facts.period_s, facts.rows))
    return next(row for row in facts.rows if best_s >= ENOUGH * facts.period_s(row))


def recommend(facts: Facts) -> Recommendation:
    """Workers and window for the training loop that was measured."""
    row = choose(facts)
    workers = row.workers or 0
    queue, why_queue = _queue(facts, row)
    why = [_why_workers(facts, row)]
    if workers:
        why.append(why_queue)
    if facts.loop.batches_per_s >= row.batches_per_s and facts.step_s is None:
        why.append(
            f"a plain loop without an enqueuer delivers {words.rate(facts.loop.batches_per_s)}"
        )
    return Recommendation(workers, queue, "; ".join(filter(None, why)))


def _why_workers(facts: Facts, row: Figures) -> str:
    said = words.count(row.workers or 0, "worker")
    if facts.step_s is not None and row.wait_s is not None:
        return (
            f"with {said} the loop waits {words.duration(row.wait_s)} after each step of "
            f"{words.duration(facts.step_s)}{_beside_others(facts, row)}"
        )
    best = max(facts.rows, key=lambda each: each.batches_per_s)
    if best is row:
        return f"{said}: {words.rate(row.batches_per_s)}, the most of the numbers measured"
    return (
        f"{said}: {words.rate(row.batches_per_s)}, within {1 - ENOUGH:.0%} of the most "
        f"({words.rate(best.batches_per_s)} with {best.name})"
    )


def _beside_others(facts: Facts, row: Figures) -> str:
    best = min(facts.rows, key=facts.period_s)
    hardly = ", and more hardly help" if best is facts.rows[-1] and best is not row else ""
    if any(map(facts.feeds_the_step, facts.rows)):
        return hardly or (", the least of the numbers measured" if best is row else "")
    return f": no number measured feeds the step; {row.workers or 0} comes nearest{hardly}"


def _queue(facts: Facts, row: Figures) -> tuple[int, str]:
    """The window, as wide as measured at least: what is narrower was not seen to keep the pace."""
    workers = row.workers or 0
    measured = row.queue
    # Batches that had to wait for a CPU look uneven.
    needed = 0 if facts.is_disturbed else min(WIDEST_WINDOW, facts.window_needed(workers))
    queue, why = measured, ""
    if needed > measured:
        queue = needed
        why = (
            f"a window of {queue} instead of {measured}, because one batch in a hundred takes "
            f"{facts.unevenness:.1f} times as long as most"
        )
    if facts.available_bytes is not None and row.nbytes > 0:
        fits = int(MEMORY_SHARE * facts.available_bytes / row.nbytes) - (2 * workers + 1)
        if fits < queue:
            queue = max(1, fits)
            why = (
                f"a window of {queue}, since batches of {words.size(row.nbytes)} beyond that take "
                f"more than half of the {words.size(facts.available_bytes)} of memory there is"
            )
    return queue, why
