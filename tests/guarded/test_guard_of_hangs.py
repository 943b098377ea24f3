"""A test that hangs fails alone; only what cannot be failed ends the run."""

from __future__ import annotations

import signal

import psutil
import pytest

NEXT = """

        def test_runs_after_it():
            pass
"""

CHILD = """
        CHILD = '''if True:
            import faulthandler, signal, time
            faulthandler.register(signal.SIGUSR1)
            def child_stands_here():
                print(flush=True)
                time.sleep(60)
            child_stands_here()
        '''

        def started():
            child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE)
            child.stdout.readline()
            return child
"""

HUNG = {
    "asleep": "time.sleep(60)",
    "at_a_lock_of_another_thread": """
        lock = threading.Lock()
        def hold():
            with lock:
                time.sleep(60)
        threading.Thread(target=hold, daemon=True).start()
        while not lock.locked(): pass
        lock.acquire()""",
    "at_a_thread": """
        thread = threading.Thread(target=time.sleep, args=(60,), daemon=True)
        thread.start()
        thread.join()""",
    "computing": """
        while True: pass""",
    "computing_in_one_instruction": "3 ** (2 ** 40)",
    "reading_what_nobody_writes": "os.read(os.pipe()[0], 1)",
    "at_a_child": """
        with subprocess.Popen(SLEEPER) as child:
            assert child.wait() == -9  # it would pass, when the child is killed""",
    "at_a_child_that_does_not_obey": """
        obeys_not = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
        with subprocess.Popen([sys.executable, "-c", obeys_not]) as child:
            try:
                child.wait()
            finally:
                child.terminate()
                child.wait()""",
    "again_in_its_end": """
        try:
            time.sleep(60)
        finally:
            time.sleep(60)""",
    "and_swallows_what_fails_it": """
        try:
            time.sleep(60)
        except BaseException:
            pass""",
}


@pytest.mark.limit(120)
def test_a_hung_test_fails_and_the_next_one_runs(guarded):
    tests = [
        f"""
    @pytest.mark.limit(1)
    @pytest.mark.leaks_ok(reason="what it waits for may stay")
    def test_hangs_{name}():
        {hang}

    def test_runs_after_{name}():
        pass
"""
        for name, hang in HUNG.items()
    ]

    result = guarded("".join(tests), "-v")

    result.assert_outcomes(failed=len(HUNG), passed=len(HUNG))
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    for name in HUNG:
        result.stderr.fnmatch_lines(
            [f"++++ watchdog: *::test_hangs_{name} passed its limit*", f"*in test_hangs_{name}"]
        )
        result.stdout.fnmatch_lines(
            [f"*::test_hangs_{name} FAILED*", f"*::test_runs_after_{name} PASSED*"]
        )
    result.stdout.fnmatch_lines(["*passed its limit of 1 s*", "=* 10 failed, 10 passed*"])


def test_a_hung_test_is_shown_with_the_stacks_of_all_and_its_children_are_ended(guarded):
    result = guarded(
        CHILD
        + """
        def stands_here():
            threading.Event().wait()

        @pytest.mark.limit(3)
        def test_hangs():
            threading.Thread(target=stands_here, daemon=True).start()
            started().wait()
        """
        + NEXT
    )
    children = [p for p in psutil.process_iter(["cmdline"]) if "child_stands_here()" in str(p.info)]

    assert psutil.wait_procs(children, timeout=5)[1] == []
    result.assert_outcomes(failed=1, passed=1)
    result.stderr.fnmatch_lines(
        [
            "++++ watchdog: *::test_hangs passed its limit*",
            "-- pytest, pid *",
            "*in stands_here",
            "*in test_hangs",
            "-- child, pid *",
        ]
    )
    result.stdout.fnmatch_lines(["*Captured stderr call*", "*in child_stands_here"])


@pytest.mark.parametrize("scope", ["function", "module"])
@pytest.mark.parametrize("when", ["setup", "teardown"])
def test_a_fixture_that_hangs_fails_its_test_and_the_others_are_torn_down(guarded, when, scope):
    result = guarded(
        f"""
        pytestmark = pytest.mark.limit(2)

        def hang(now):
            if now == {when!r}:
                time.sleep(60)

        @pytest.fixture(scope={scope!r})
        def outer():
            yield
            print("outer was torn down", file=sys.__stderr__)

        @pytest.fixture(scope={scope!r})
        def hangs(outer):
            hang("setup")
            yield
            hang("teardown")

        def test_runs_before_it():
            pass

        def test_hangs(hangs):
            pass
        """,
        "-s",
    )

    result.assert_outcomes(errors=1, passed=1 + (when == "teardown"))
    result.stderr.fnmatch_lines(["*outer was torn down*"])
    result.stdout.fnmatch_lines([f"*ERROR at {when} of test_hangs*", "*passed its limit of 2 s*"])


def test_a_test_that_expects_to_fail_does_not_expect_to_hang(guarded):
    result = guarded(
        """
        @pytest.mark.limit(2)
        @pytest.mark.xfail(strict=True)
        def test_hangs():
            try:
                time.sleep(60)
            finally:
                assert False
        """
        + NEXT
    )

    result.assert_outcomes(failed=1, passed=1)


def test_a_hung_property_is_not_tried_again(guarded):
    result = guarded(
        """
        from hypothesis import given, settings, strategies

        @pytest.mark.limit(2)
        @given(strategies.integers())
        @settings(deadline=None, database=None)
        def test_hangs(value):
            time.sleep(60)
        """
        + NEXT
    )

    result.assert_outcomes(failed=1, passed=1)
    assert "hangs on" not in result.stderr.str()


def test_a_thread_that_hangs_on_does_not_keep_pytest_from_its_end(guarded):
    result = guarded(
        """
        @pytest.mark.limit(2)
        def test_hangs():
            threading.Thread(target=time.sleep, args=(600,), name="stays").start()
            time.sleep(60)
        """
        + NEXT
    )

    result.assert_outcomes(failed=1, passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stderr.fnmatch_lines(["++++ watchdog: pytest leaves without waiting for ['stays']"])


STUCK = {
    "in C with the lock of the interpreter": """
            import collections, itertools
            collections.deque(itertools.repeat(0), maxlen=0)""",
    "in C without it": """
            import ctypes
            mutex = ctypes.create_string_buffer(256)
            while True: ctypes.CDLL(None).pthread_mutex_lock(mutex)""",
    "swallowing everything": """
            while True:
                try:
                    time.sleep(60)
                except BaseException:
                    pass""",
}


@pytest.mark.parametrize("stuck", STUCK.values(), ids=STUCK)
def test_what_cannot_be_failed_is_ended_with_the_run(guarded, stuck):
    result = guarded(
        CHILD
        + f"""
        @pytest.mark.limit(2)
        def test_is_stuck():
            print("it said this", flush=True)
            KEPT.append(started())
            {stuck}
        """
        + NEXT
    )
    children = [p for p in psutil.process_iter(["cmdline"]) if "child_stands_here()" in str(p.info)]

    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert result.ret == -signal.SIGKILL
    result.stderr.fnmatch_lines(
        [
            "*in test_is_stuck",
            "++++ watchdog: *::test_is_stuck hangs on*",
            "-- captured stdout",
            "it said this",
            "++++ watchdog: ends the run, because *::test_is_stuck hangs",
        ]
    )


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
