"""A program ends while a thread that Python has not made waits for a batch."""

from __future__ import annotations

from interpreter import run_code

WAITS = """
    import _thread, threading, time
    from seqloader import Sequence
    from seqloader.adapters.exits import stop_at_exit
    from seqloader.adapters.owner import EnqueuerOwner

    class Endless(Sequence):
        def __len__(self):
            return 2
        def __getitem__(self, index):
            time.sleep(1000 * index)
            return index

    owner = EnqueuerOwner(Endless(), workers=1)
    stop_at_exit(owner)
    had_one = threading.Event()

    def ask():
        batches = iter(owner.enqueuer)
        next(batches)
        had_one.set()
        try:
            next(batches)
        except BaseException as error:
            print(type(error).__name__, flush=True)

    _thread.start_new_thread(ask, ())
    had_one.wait()
"""


def test_a_thread_that_waits_for_a_batch_leaves_before_the_interpreter_goes_down():
    ended = run_code(WAITS)

    assert (ended.returncode, ended.stdout) == (0, "EnqueuerStopped\n"), ended.stderr
