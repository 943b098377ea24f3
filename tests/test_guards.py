"""The guards themselves: a guard that never bites is worse than none."""

from __future__ import annotations

import signal
import textwrap
from pathlib import Path

import psutil
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/fd").exists(), reason="what the guards see of a process is in /proc"
    ),
]

PREAMBLE = """
    import faulthandler, gc, mmap, os, re, signal, subprocess, sys, threading, time
    import psutil
    import pytest

    KEPT = []
    SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
    ORPHANS_IT = [sys.executable, "-c", f"import subprocess; subprocess.Popen({SLEEPER})"]
"""

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
        "open(f'/dev/shm/leaked-{os.getpid()}', 'w').close()",
        "*file /dev/shm/leaked-*",
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


@pytest.fixture
def guarded(pytester, monkeypatch):
    """Run a test module under the guards, in a process of its own."""

    def run(body: str) -> pytest.RunResult:
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
        pytester.makeconftest("import guards.leaks\nguards.leaks.GRACE_S = 0.5")
        pytester.makepyfile(textwrap.dedent(PREAMBLE) + textwrap.dedent(body))
        plugins = ["-p", "guards.watchdog", "-p", "guards.leaks", "-p", "no:cacheprovider"]
        return pytester.runpytest_subprocess(*plugins)

    return run


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
    for path in Path("/dev/shm").glob("leaked-*"):
        path.unlink()

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


def test_a_hung_test_is_named_with_all_stacks_and_nothing_survives_it(guarded):
    result = guarded(
        """
        CHILD = '''if True:
            import faulthandler, signal, time
            faulthandler.register(signal.SIGUSR1)
            def child_stands_here():
                time.sleep(60)
            child_stands_here()
        '''

        def stands_here():
            threading.Event().wait()

        @pytest.mark.limit(0.5)
        def test_hangs():
            threading.Thread(target=stands_here, daemon=True).start()
            subprocess.run([sys.executable, "-c", CHILD])
        """
    )
    children = [p for p in psutil.process_iter(["cmdline"]) if "child_stands_here()" in str(p.info)]

    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert result.ret == -signal.SIGKILL
    result.stderr.fnmatch_lines(
        [
            "++++ watchdog: *::test_hangs passed its limit*",
            "-- pytest, pid *",
            "*in stands_here",
            "*in test_hangs",
            "-- child, pid *",
            "-- captured stderr",
            "*in child_stands_here",
            "++++ watchdog: ends the run, because *::test_hangs hangs",
        ]
    )


def test_a_test_stuck_in_c_with_the_lock_held_is_ended(guarded):
    result = guarded(
        """
        @pytest.mark.limit(0.5)
        def test_computes_for_ever_in_one_instruction():
            3 ** (2 ** 40)
        """
    )

    assert result.ret == -signal.SIGKILL
    result.stderr.fnmatch_lines(["*in test_computes_for_ever_in_one_instruction"])


def test_a_limit_is_over_when_its_test_is(guarded):
    result = guarded(
        """
        @pytest.mark.limit(0.3)
        def test_is_quick():
            pass

        def test_takes_longer_than_the_other_may():
            time.sleep(0.6)
        """
    )

    result.assert_outcomes(passed=2)
