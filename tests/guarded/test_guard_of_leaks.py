"""The guards themselves: a guard that never bites is worse than none."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import pytest
from guards import holdings, named_memory

LEAKS = {
    "process": (
        "KEPT.append(subprocess.Popen(SLEEPER))",
        "*process * (*time.sleep(60)*",
    ),
    "zombie": (
        "os.waitid(os.P_PID, os.fork() or os._exit(0), os.WEXITED | os.WNOWAIT)",
        "*process * (zombie)*",
    ),
    "orphan": (
        "subprocess.run(ORPHANS_IT)",
        "*orphaned process * (*time.sleep(60)*",
    ),
    "thread": (
        "threading.Thread(target=threading.Event().wait, name='stays', daemon=True).start()",
        "*thread 'stays' (daemon)*",
    ),
    "descriptor": (
        "os.open(os.devnull, os.O_RDONLY)",
        "*descriptor * -> /dev/null*",
    ),
    "shm_file": (
        "open(f'{LEAKED}-{os.getpid()}', 'w').close()",
        "*file /dev/shm/leaked*-*",
    ),
    "anonymous_mapping": (
        "KEPT.append(mmap.mmap(-1, 4096))",
        "*mapping of /dev/zero (deleted)*",
    ),
    "memfd_mapping": (
        "fd = os.memfd_create('seqloader'); os.ftruncate(fd, 4096);"
        " KEPT.append(mmap.mmap(fd, 4096)); os.close(fd)",
        "*mapping of /memfd:seqloader (deleted)*",
    ),
    "signal_handler": (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "*signal disposition SIGTERM: *",
    ),
    "signal_mask": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])",
        "*signal disposition blocked signals: [[]2]*",
    ),
}


@pytest.mark.parametrize(("leak", "line"), LEAKS.values(), ids=LEAKS)
def test_a_test_that_leaves_something_fails_and_the_next_one_is_clean(guarded, leak, line):
    result = guarded(
        f"""
        def test_leaks():
            {leak}

        def test_is_not_blamed():
            assert psutil.Process().children() == []
        """
    )

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", "*left behind:*", line])


def test_what_ends_in_time_is_no_leak(guarded):
    result = guarded(
        """
        def test_hands_everything_back():
            subprocess.run([sys.executable, "-c", ""], check=True)
            os.close(os.open(os.devnull, os.O_RDONLY))
            mmap.mmap(-1, 4096).close()

        def test_leaves_a_thread_that_is_about_to_end():
            threading.Timer(0.1, int).start()

        def test_is_interrupted_before_a_thread_was_made():
            thread = threading.Thread(target=int)
            threading._limbo[thread] = thread  # what is left of an interrupted `start`

        def test_leaves_a_descriptor_to_the_garbage_collector():
            class Holder:
                def __init__(self):
                    self.fd, self.cycle = os.open(os.devnull, os.O_RDONLY), self
                def __del__(self):
                    os.close(self.fd)
            Holder()
        """
    )

    result.assert_outcomes(passed=4)


def test_what_hypothesis_opens_is_no_leak(guarded):
    result = guarded(
        """
        from hypothesis import given, strategies

        @given(strategies.lists(strategies.floats()))
        def test_draws(values):
            assert isinstance(values, list)
        """
    )

    result.assert_outcomes(passed=1)


def test_a_failed_test_shows_what_it_left_and_fails_once(guarded):
    result = guarded(
        """
        def test_fails():
            KEPT.append(subprocess.Popen(SLEEPER))
            assert False
        """
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*left behind:*", "*process * (*time.sleep(60)*"])


def test_leaks_ok_wants_a_reason(guarded):
    result = guarded(
        """
        @pytest.mark.leaks_ok(reason="shows that it can be said")
        def test_with():
            os.open(os.devnull, os.O_RDONLY)

        @pytest.mark.leaks_ok
        def test_without():
            pass
        """
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*leaks_ok wants reason=...*"])


# A heavy user of multiprocessing, and none of ours: what it makes is new all the time, is held for
# a moment or for good, and one block it closes before its other side opens it.
FOREIGN = """
import multiprocessing, select
from multiprocessing.shared_memory import SharedMemory

def block():
    return SharedMemory(create=True, size=4096)

context = multiprocessing.get_context("spawn")
kept = []
print(flush=True)
is_told_to_end = False
while not is_told_to_end:
    kept.append((context.Lock(), block()))
    closed = block()
    closed.close()
    is_told_to_end = select.select([0], [], [], 0.05)[0]
    closed.unlink()
    while len(kept) > (0 if is_told_to_end else 10):
        kept.pop(0)[1].unlink()
"""


@pytest.fixture
def foreign():
    command = [sys.executable, "-c", FOREIGN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        yield process
        process.stdin.close()


def test_what_another_program_makes_meanwhile_is_not_blamed_on_a_test(guarded, foreign):
    result = guarded(
        """
        def names():
            return set(os.listdir("/dev/shm"))

        @pytest.mark.parametrize("number", range(20))
        def test_sees_something_new(number):
            before = names()
            while names() <= before:
                time.sleep(0.001)

        def test_leaks():
            open(f'{LEAKED}-{os.getpid()}', 'w').close()
        """
    )

    result.assert_outcomes(passed=21, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", "*file /dev/shm/leaked*-*"])


def test_a_name_with_the_id_of_a_living_process_is_of_that_process(guarded, foreign):
    result = guarded(
        f"""
        @pytest.mark.parametrize("pid", [{foreign.pid}, {os.getpid()}])
        def test_makes_one_in_the_name_of_another(pid):
            open(f'{{LEAKED}}-{{pid}}-1', 'w').close()

        def test_makes_one_in_the_name_of_its_own_child():
            command = [sys.executable, "-c", "input()"]
            with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
                open(f'{{LEAKED}}-{{child.pid}}-2', 'w').close()
        """
    )

    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*file /dev/shm/leaked*-*-2"])


def test_what_a_test_of_the_guards_leaves_on_purpose_is_not_blamed_on_another_run(guarded):
    result = guarded(
        """
        @pytest.mark.parametrize("whose", ["another", "own"])
        def test_leaves_one(whose):
            name = f'{LEAKED}-0' if whose == "own" else f'{LEAKED[:-32]}{"0" * 32}-0'
            KEPT.append(name)
            open(name, 'w').close()

        def test_cleans():
            os.unlink(KEPT[0])
        """
    )

    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaves_one?own?*"])


@pytest.mark.parametrize("is_beside", [True, False])
def test_what_another_run_of_the_tests_may_have_made_is_looked_at_for_longer(is_beside):
    held_by_nobody = named_memory.FOLDER / f"psm_{uuid.uuid4().hex[:8]}"
    held_by_nobody.touch()
    asked = []

    def is_beside_another_run():
        asked.append(held_by_nobody.name)
        if len(asked) == 3:
            held_by_nobody.unlink()
        return is_beside

    left = named_memory.left_by_us(
        [held_by_nobody.name], 0.0, holdings.is_ours, is_beside_another_run
    )

    held_by_nobody.unlink(missing_ok=True)
    assert left == (frozenset() if is_beside else {held_by_nobody.name})
    assert len(asked) == (3 if is_beside else 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of other users")
def test_a_file_of_another_user_is_not_ours(guarded):
    result = guarded(
        """
        def test_makes_one():
            open(LEAKED, 'w').close()
            os.chown(LEAKED, 65534, 65534)
        """
    )

    result.assert_outcomes(passed=1)
