"""Whole runs over actors of Ray on this machine: what users see, and what becomes of faults."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings

import numpy as np
import pytest

pytest.importorskip("ray", reason="the Ray executor needs Ray")

from numbered import Failing, Holding, Numbered, Shuffling, Viewing, hang, leave, refuse

from seqloader import OrderedEnqueuer, WorkerLostError, WorkerLostWarning, WorkerStartError, share
from seqloader.executors.ray import RayExecutor

pytestmark = [
    pytest.mark.usefixtures("cluster"),
    pytest.mark.leaks_ok(reason="Ray keeps threads, files and processes of its own"),
]


@pytest.fixture
def make():
    made = []

    def make(sequence, executor=None, **options):
        ray = {"num_cpus": 0, **options.pop("ray", {})}
        executor = executor or RayExecutor(2, **ray)
        made.append(OrderedEnqueuer(sequence, executor=executor, **options))
        return made[-1]

    yield make
    for enqueuer in made:
        executor = enqueuer._run.session.executor
        enqueuer.__exit__(AssertionError, None, None)  # without hooks
        assert executor is None or executor._running is None


def pids(enqueuer):
    """Of the actors that are ready."""
    heads = enqueuer._run.session.executor._running.dispatcher.heads()
    return [actor.pid for actor, _ in heads if actor.pid]


def indices(batches):
    return [int(batch[0][0]) for batch in batches]


def test_by_its_name_it_is_chosen_and_gets_the_arguments():
    with OrderedEnqueuer(Numbered(8), executor="ray", workers=1, copy=True) as enqueuer:
        batches = list(enqueuer)

    assert indices(batches) == list(range(8))
    assert batches[0][1] != os.getpid()
    assert all(array.flags.writeable for array, _ in batches)


def test_epochs_hooks_seeds_and_draws_are_those_of_one_process(make):
    with OrderedEnqueuer(Shuffling(), executor="inline", seed=3) as inline:
        expected = [list(inline) for _ in range(3)]

    enqueuer = make(Shuffling(), seed=3, max_queue_size=7)
    for batches in expected:
        for (order, draws), (expected_order, expected_draws) in zip(enqueuer, batches, strict=True):
            assert order.tolist() == expected_order.tolist()
            assert draws == expected_draws


def test_a_run_goes_on_where_another_executor_has_saved_it(make):
    with OrderedEnqueuer(Shuffling(), workers=0, seed=3, shuffle=True) as inline:
        expected = [[batch[0][0] for batch in inline] for _ in range(2)]
    first = make(Shuffling(), seed=3, shuffle=True)
    batches = iter(first)
    begun = [next(batches)[0][0] for _ in range(13)]
    state = first.state_dict()
    first.stop()

    with OrderedEnqueuer(Shuffling(), workers=0, seed=3, shuffle=True) as second:
        second.load_state_dict(state)
        rest = [batch[0][0] for batch in second]

    assert begun + rest == expected[0]


def test_batches_are_read_only_views_and_outlive_all_else(make):
    enqueuer = make(Numbered(6, size=1 << 17))
    kept = [batch[0] for batch in enqueuer]
    enqueuer.stop()

    assert [array.sum() for array in kept] == [index << 17 for index in range(6)]
    assert not any(array.flags.writeable or array.flags.owndata for array in kept)


def test_an_exception_is_raised_at_its_place_with_its_type(make, tmp_path):
    enqueuer = make(Failing(7, refuse, tmp_path))

    batches = []
    with pytest.raises(KeyError, match="bad") as raised:
        batches.extend(enqueuer)

    assert raised.value.args == ("bad",)
    assert "raised by batch 7" in raised.value.__notes__[0]


@pytest.mark.parametrize("size", [128, 1 << 17], ids=["1-KB", "1-MB"])
def test_an_actor_that_is_killed_costs_no_batch(make, size):
    enqueuer = make(Numbered(80, size, sleep_s=0.002), max_queue_size=8)

    batches = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WorkerLostWarning)
        for batch in enqueuer:
            batches.append(batch)
            if len(batches) == 20:
                os.kill(batch[1], signal.SIGKILL)

    assert indices(batches) == list(range(80))


def test_all_actors_killed_at_once_cost_no_batch(make):
    enqueuer = make(Numbered(60, sleep_s=0.002), max_queue_size=8)

    batches = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WorkerLostWarning)
        for batch in enqueuer:
            batches.append(batch)
            if len(batches) == 20:
                for pid in pids(enqueuer):
                    os.kill(pid, signal.SIGKILL)

    assert indices(batches) == list(range(60))


def test_a_batch_that_ends_its_actor_is_tried_as_often_as_said_and_named(make, tmp_path):
    sequence = Failing(5, leave, tmp_path, sleep_s=0.03)
    enqueuer = make(sequence, crash_retries=1)

    batches = []
    with pytest.warns(WorkerLostWarning), pytest.raises(WorkerLostError) as raised:
        batches.extend(enqueuer)

    assert (raised.value.index, raised.value.attempts) == (5, 2)
    assert "Ray says" in str(raised.value)
    assert 2 <= sequence.tries() <= 3  # once more, where it was not clear which batch it was


def test_the_batch_before_one_that_ends_its_actor_is_not_blamed(make, tmp_path):
    enqueuer = make(
        Failing(1, leave, tmp_path, length=4), RayExecutor(1, num_cpus=0), crash_retries=0
    )

    with pytest.warns(WorkerLostWarning), pytest.raises(WorkerLostError) as raised:
        list(enqueuer)

    assert raised.value.index == 1


def test_a_batch_that_ends_its_actor_once_is_computed_again(make, tmp_path):
    enqueuer = make(Failing(5, leave, tmp_path, times=1, length=20))

    with pytest.warns(WorkerLostWarning):
        batches = list(enqueuer)

    assert indices(batches) == list(range(20))


def test_a_batch_that_hangs_is_ended_after_timeout_s_and_computed_again(make, tmp_path):
    sequence = Failing(3, hang, tmp_path, times=1, length=10)
    enqueuer = make(sequence, ray={"timeout_s": 1.0})

    with pytest.warns(WorkerLostWarning, match="took longer than timeout_s"):
        batches = list(enqueuer)

    assert indices(batches) == list(range(10))
    assert sequence.tries() == 2


def test_a_slow_batch_holds_back_no_other(make, tmp_path):
    gate = tmp_path / "open"
    enqueuer = make(Waiting(gate), max_queue_size=20)

    batches = iter(enqueuer)
    while len(list(tmp_path.glob("done-*"))) < 19:  # all but the one that waits
        pass
    gate.touch()

    assert list(batches) == list(range(20))


class Waiting(Numbered):
    """Batch 0 waits until a file is there."""

    def __init__(self, gate):
        super().__init__(20)
        self.gate = gate

    def __getitem__(self, index):
        while index == 0 and not self.gate.exists():
            pass
        (self.gate.parent / f"done-{index}").touch()
        return index


def test_with_no_room_for_an_actor_the_error_says_what_was_asked_and_what_there_is(make):
    enqueuer = make(Numbered(), ray={"num_cpus": 900, "start_timeout_s": 0.3})

    with pytest.raises(WorkerStartError, match=r"0\.3 s.*900 CPU.*8 CPU"):
        list(enqueuer)


def test_what_cannot_be_loaded_is_raised_with_its_cause(make):
    enqueuer = make(Numbered(), ray={"worker_init": fail})

    with pytest.raises(WorkerStartError, match="worker_init raised ValueError: no licence"):
        list(enqueuer)


def fail(slot):
    raise ValueError("no licence")


def test_worker_init_runs_in_each_actor_before_its_first_batch(make):
    def init(slot):
        os.environ["FOUND"] = str(slot)

    enqueuer = make(Asking(), ray={"worker_init": init})

    assert set(enqueuer) <= {"0", "1"}


class Asking(Numbered):
    def __getitem__(self, index):
        return os.environ["FOUND"]


@pytest.mark.parametrize("make_array", [lambda a: a, share], ids=["private", "shared"])
def test_a_large_array_is_private_and_writable_or_else_shared_and_read_only(make, make_array):
    array = make_array(np.arange(1 << 17, dtype=np.float64))
    enqueuer = make(Viewing(array))

    found = list(enqueuer)

    assert found == [(float(index), make_array is not share) for index in range(8)]


def test_what_hooks_write_into_a_shared_array_reaches_the_next_epoch(make):
    enqueuer = make(Doubling(share(np.arange(1 << 17, dtype=np.float64))))

    assert [value for value, _ in enqueuer] == list(range(8))
    assert [value for value, _ in enqueuer] == [2 * value for value in range(8)]


class Doubling(Viewing):
    def on_epoch_end(self):
        self.array *= 2


def test_a_memmap_travels_as_its_file(make, tmp_path):
    written = np.memmap(tmp_path / "data", np.float64, "w+", shape=1 << 17)
    written[:] = np.arange(1 << 17)
    written.flush()
    enqueuer = make(Viewing(np.memmap(tmp_path / "data", np.float64, "r", shape=1 << 17)))

    assert [value for value, _ in enqueuer] == list(range(8))


def test_what_exists_on_this_machine_only_is_refused(make):
    enqueuer = make(Holding(multiprocessing.get_context("spawn").Pipe()[0]))

    with pytest.raises(TypeError, match="exists on this machine only"):
        enqueuer.start()


def test_a_state_in_which_nothing_changed_is_not_put_again(make):
    enqueuer = make(Shuffling())
    enqueuer.start()
    state = enqueuer._run.session.executor._state
    before = state.reference[0]

    enqueuer.refresh()
    list(enqueuer)
    version = state.version
    list(enqueuer)

    assert (version, before == state.reference[0]) == (1, False)
    assert state.version == 2


def test_ray_that_somebody_else_has_initialised_goes_on(make, cluster):
    enqueuer = make(Numbered(4))
    list(enqueuer)
    enqueuer.stop()

    assert cluster.is_initialized()
    assert cluster.get(cluster.put(5)) == 5
