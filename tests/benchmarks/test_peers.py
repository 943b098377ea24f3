"""What the benchmarks say of each peer is so. Peers that are not installed are skipped."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import peers
import pytest
from harness.processes import environment
from peers import PEERS, Peer

HERE = Path(__file__).resolve().parent
LIMIT_S = 60.0
WORKERS, QUEUE, TAKEN = 2, 8, 3

each_peer = pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
STARTS = [
    pytest.param(peer, method, marks=[pytest.mark.slow] if method else [])
    for peer in PEERS
    # One with options is the same code as another peer.
    for method in ("", *(() if peer.options else peer.start_methods[1:]))
]


@functools.cache
def observe(peer: str, start_method: str = "") -> dict[str, Any]:
    """What the peer does in a fresh interpreter: once, for all tests of it."""
    missing = peers.find(peer).missing()
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    paths = os.pathsep.join([str(HERE), environment()["PYTHONPATH"]])
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        result = Path(folder, "facts.json")
        done = subprocess.run(
            [sys.executable, str(HERE / "peer_observer.py"), peer, start_method, str(result)],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(result.read_text())


@pytest.mark.parametrize(("peer", "method"), STARTS, ids=lambda v: getattr(v, "name", v))
def test_peer_delivers_every_epoch_whole_and_in_order(peer: Peer, method: str) -> None:
    facts = observe(peer.name, method)

    assert facts["epochs"] == [[0, 1, 2, 3, 4, 5, 6]] * 2
    assert facts["epoch_ends"] == [1, 2]
    assert facts["left"] == []
    assert peer.ordered


@each_peer
def test_peer_computes_as_far_ahead_as_it_says(peer: Peer) -> None:
    ahead = observe(peer.name)["computed"] - TAKEN

    most = peer.most_ahead(WORKERS, QUEUE)
    assert ahead > 5 * QUEUE if most is None else ahead <= most


@each_peer
def test_peer_left_in_mid_epoch_or_by_a_failing_batch_ends_with_all_its_processes(
    peer: Peer,
) -> None:
    facts = observe(peer.name)

    assert facts["begun"] == [0, 1, 2]
    assert "failure" in facts
    assert facts["before_failure"] == list(range(len(facts["before_failure"])))
    assert len(facts["before_failure"]) <= 12
    assert facts["left"] == []


def test_peers_begin_with_the_yardstick_end_with_ours_and_who_exceeds_the_queue_says_so() -> None:
    exceeding = [peer for peer in PEERS if peer.most_ahead(2, 8) not in range(13)]

    assert exceeding
    assert all(peer.reservation for peer in exceeding)
    assert [peer.name for peer in PEERS if peer.is_yardstick] == ["loop"]
    assert (PEERS[0].name, PEERS[-1].name) == ("loop", "seqloader")


def test_peer_is_found_by_its_name_and_an_unknown_name_told_with_all_that_there_are() -> None:
    assert [peers.find(peer.name) for peer in PEERS] == list(PEERS)
    with pytest.raises(ValueError, match="no peer is named 'tensorflow'") as caught:
        peers.find("tensorflow")
    assert all(repr(peer.name) in str(caught.value) for peer in PEERS)


def test_peers_are_told_of_and_measured_without_an_import_of_any_other() -> None:
    tested = Peer("any", "any", requires=("pytest", "numpy"))
    assert tested.version() == f"pytest {pytest.__version__}"
    assert Peer("any", "any").version() == f"Python {sys.version.split()[0]}"
    peer = Peer("any", "any", requires=("numpy", "a-distribution-nobody-wrote"))
    assert peer.missing() == ("a-distribution-nobody-wrote",)

    program = (
        "import sys, harness.measures, peers\n"
        "for peer in peers.PEERS: peer.missing()\n"
        "print(sorted({'torch', 'ray', 'keras', 'grain', 'seqloader'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, env=environment()) == b"[]\n"
