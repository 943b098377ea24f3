"""What is said of a batch that takes long: what is known, and what would help."""

from __future__ import annotations

import os

import pytest

from seqloader.run.messages import limit_hint, slow_warning, stuck_warning, whereabouts
from seqloader.tickets import Ticket

BUSY = ["worker 0 (pid 70) computes batch 4 (epoch 0)", "worker 1 (pid 71) is still starting"]


@pytest.mark.parametrize(
    ("holder", "busy", "workers", "said"),
    [
        ((1, os.getpid() + 1), BUSY, 2, f"worker 1 (pid {os.getpid() + 1}) computes it"),
        ((1, os.getpid()), BUSY, 2, "worker thread 1 computes it"),
        (None, BUSY, 2, f"no worker has taken it yet; {BUSY[0]}, {BUSY[1]}"),
        (None, [], 2, "no worker says that it computes it"),
        (None, [], 0, "the consumer computes it itself"),
    ],
    ids=["process", "thread", "others", "silent", "inline"],
)
def test_of_whom_a_batch_waits_for_only_what_is_known_is_said(holder, busy, workers, said):
    assert whereabouts(holder, busy, workers) == said


@pytest.mark.parametrize(
    ("executor", "timeout_s", "workers", "hint"),
    [
        ("process", None, 2, "; timeout_s would end it"),
        ("process", 300, 2, "; timeout_s=300 will end it"),
        ("process", 300, 0, "; with worker processes, timeout_s would end it"),
        ("thread", None, 2, "; with worker processes, timeout_s would end it"),
        ("inline", None, 0, "; with worker processes, timeout_s would end it"),
        ("own", None, 2, ""),
    ],
)
def test_a_limit_is_recommended_where_it_would_help(executor, timeout_s, workers, hint):
    said = limit_hint(object() if executor == "own" else executor, workers, timeout_s)

    assert said == hint
    slow = slow_warning(Ticket(0, 3, 5), 61.2, "somebody computes it", said)
    assert slow == (
        "waited 61 s for batch 5 (epoch 0, position 3): somebody computes it. It may be slow or "
        "hang for ever" + (f"{hint} and try again" if hint else "")
    )
    assert stuck_warning(0, 61.2, [], said).endswith(f"hang for ever{hint}")
