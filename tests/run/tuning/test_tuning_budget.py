"""The budget that the enqueuers of one user share."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloader.run.tuning import budget as module
from seqloader.run.tuning.budget import Budget, Claim, Share, share_of

GB = 1 << 30
AVAILABLE = 40 * GB


@pytest.fixture(autouse=True)
def memory(monkeypatch):
    monkeypatch.setattr(module, "available_bytes", lambda: AVAILABLE)


def claim(nbytes: int, *, used: int = 0, cpus: float = 0.0, hungry: bool = False) -> Claim:
    return Claim(nbytes, used, cpus, hungry)


class Enqueuer:
    """Who claims, and what it was told is left."""

    def __init__(self, folder):
        self.budget = Budget(str(folder))
        self.share: Share | None = None

    def claims(self, nbytes: int, **facts) -> Share:
        def decide(share: Share) -> Claim:
            self.share = share
            return claim(nbytes, **facts)

        assert self.budget.renew(decide)
        assert self.share is not None
        return self.share


def test_a_quarter_of_what_the_machine_has_left_is_ours(tmp_path):
    one = Enqueuer(tmp_path)

    assert one.claims(3 * GB).room_bytes == 10 * GB
    one.budget.release()


def test_what_one_claims_the_others_do_not_get(tmp_path):
    one, other = Enqueuer(tmp_path), Enqueuer(tmp_path)
    one.claims(7 * GB)

    assert other.claims(GB).room_bytes == 3 * GB
    assert one.claims(7 * GB).room_bytes == 9 * GB
    one.budget.release()
    assert other.claims(GB).room_bytes == 10 * GB
    other.budget.release()


def test_what_is_in_use_counts_as_if_it_were_left(tmp_path):
    one = Enqueuer(tmp_path)
    one.claims(4 * GB, used=4 * GB)

    assert one.claims(4 * GB, used=4 * GB).room_bytes == 11 * GB
    one.budget.release()


def test_the_last_one_removes_the_file(tmp_path):
    one, other = Enqueuer(tmp_path), Enqueuer(tmp_path)
    one.claims(GB)
    other.claims(GB)

    one.budget.release()
    assert len(os.listdir(tmp_path)) == 1
    other.budget.release()
    other.budget.release()
    assert os.listdir(tmp_path) == []


def test_the_claim_of_a_process_that_was_killed_counts_no_more(tmp_path):
    script = (
        "import os, sys\n"
        "from seqloader.run.tuning.budget import Budget, Claim\n"
        "Budget(sys.argv[1]).renew(lambda share: Claim(9 << 30, 0, 0.0, False))\n"
        "print('claimed', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"claimed\n"
        one = Enqueuer(tmp_path)
        assert one.claims(0).room_bytes == GB
        process.send_signal(signal.SIGKILL)

    assert one.claims(0).room_bytes == 10 * GB
    one.budget.release()
    assert os.listdir(tmp_path) == []


def test_a_process_that_got_the_id_of_another_does_not_get_its_claim(tmp_path):
    one = Enqueuer(tmp_path)
    one.claims(GB)
    (file,) = tmp_path.iterdir()
    file.write_text(f"{os.getppid()} 1 1 0.0 0 {9 * GB} 0 0.0 0\nend\n")

    assert one.claims(0).room_bytes == 10 * GB
    one.budget.release()


def test_nobody_waits_for_the_lock(tmp_path):
    one = Enqueuer(tmp_path)
    one.claims(GB)
    (file,) = tmp_path.iterdir()
    with file.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        assert not one.budget.renew(lambda share: pytest.fail("asked without the lock"))
        one.budget.release()  # and leaves its line, which says no more

    other = Enqueuer(tmp_path)
    assert other.claims(0).room_bytes == 10 * GB
    other.budget.release()


@pytest.mark.parametrize("what", ["a link", "a folder", "nonsense", "nothing"])
def test_whatever_lies_there_an_enqueuer_gets_a_share(tmp_path, what):
    one = Enqueuer(tmp_path)
    one.claims(0)
    (file,) = tmp_path.iterdir()
    file.unlink()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    if what == "a link":
        file.symlink_to(victim)
    elif what == "a folder":
        file.mkdir()
    else:
        file.write_bytes(b"\xff\n1 2 3\nx y z a b c d e f\n" if what == "nonsense" else b"")

    assert one.claims(0).room_bytes == 10 * GB
    assert victim.read_text() == "precious"
    one.budget.release()


def test_the_file_is_for_its_user_alone(tmp_path):
    one = Enqueuer(tmp_path)
    one.claims(GB)

    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    one.budget.release()


def test_a_folder_that_cannot_be_written_to_costs_the_sharing_alone(tmp_path):
    one, other = Enqueuer(tmp_path / "none"), Enqueuer(tmp_path / "none")
    one.claims(9 * GB)

    assert other.claims(0).room_bytes == 10 * GB


def test_a_hungry_one_gets_an_even_share_once_the_others_have_come_down(tmp_path):
    one, other = Enqueuer(tmp_path), Enqueuer(tmp_path)
    one.claims(10 * GB)

    assert other.claims(0, hungry=True).room_bytes == 0
    assert one.claims(5 * GB).room_bytes == 5 * GB
    assert other.claims(5 * GB).room_bytes == 5 * GB
    one.budget.release()
    other.budget.release()


def test_cpus_that_the_workers_of_others_use_are_told(tmp_path, monkeypatch):
    one, other = Enqueuer(tmp_path), Enqueuer(tmp_path)
    one.claims(0, cpus=1.5)
    assert other.claims(0).cpus_taken == 1.5

    monkeypatch.setattr(module, "monotonic", lambda: 1e9)  # it has not looked for long
    assert other.claims(0).cpus_taken == 0
    one.budget.release()
    other.budget.release()


def test_those_on_other_cpus_take_none_of_ours(tmp_path, monkeypatch):
    one, other = Enqueuer(tmp_path), Enqueuer(tmp_path)
    one.claims(0, cpus=1.5)

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {7}, raising=False)
    assert other.claims(0).cpus_taken == 0
    one.budget.release()
    other.budget.release()


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.lists(st.integers(0, 5), max_size=60))
def test_claims_never_add_up_beyond_the_budget(hungers, order):
    held = [claim(0, hungry=hungry) for hungry in hungers]
    for turn in order:
        number = turn % len(held)
        others = held[:number] + held[number + 1 :]
        room = share_of(held[number], others, AVAILABLE)
        wanted = 20 * GB if hungers[number] else GB
        held[number] = claim(int(min(room, wanted)), hungry=room < wanted)

        assert sum(each.nbytes for each in held) <= AVAILABLE / 4


@given(st.integers(2, 6))
def test_those_who_all_want_more_come_to_an_even_share(count):
    held = [claim(0, hungry=True) for _ in range(count)]
    for _ in range(3):
        for number in range(count):
            others = held[:number] + held[number + 1 :]
            room = share_of(held[number], others, AVAILABLE)
            held[number] = claim(int(room), hungry=True)

    assert all(abs(each.nbytes - AVAILABLE / 4 / count) < 2 * count for each in held)
