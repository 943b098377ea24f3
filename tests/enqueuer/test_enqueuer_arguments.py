"""What is wrong with an argument is said at once, by its name, before anything is started."""

from __future__ import annotations

import inspect
import threading

import pytest
from sequences_for_tests import Endless, Numbers

from seqloader import OrderedEnqueuer, SeqloaderWarning
from seqloader.executors.inline import InlineExecutor
from seqloader.run.options import Options

NAN = float("nan")

WRONG = [
    # arguments, exception, what the message says
    ({"use_multiprocessing": 4}, TypeError, r"use_multiprocessing.*did you mean workers=4\?"),
    ({"use_multiprocessing": None}, TypeError, r"use_multiprocessing.*True or False.*None"),
    ({"use_multiprocessing": "yes"}, TypeError, r"use_multiprocessing.*True or False.*'yes'"),
    (
        {"use_multiprocessing": False, "executor": "process"},
        ValueError,
        r"use_multiprocessing=False.*executor=\"process\"",
    ),
    ({"shuffle": 1}, TypeError, r"shuffle.*True or False.*1"),
    ({"shuffle": None}, TypeError, r"shuffle.*True or False.*None"),
    ({"workers": -1}, ValueError, r"workers.*at least 0.*-1"),
    ({"workers": 2.0}, TypeError, r"workers.*integer.*2\.0"),
    ({"workers": "2"}, TypeError, r"workers.*integer.*'2'"),
    ({"workers": True}, TypeError, r"workers.*integer.*True"),
    ({"workers": -1, "executor": "inline"}, ValueError, r"workers.*at least 0.*-1"),
    ({"max_queue_size": 0}, ValueError, r"max_queue_size.*at least 1.*unbounded"),
    ({"max_queue_size": -3}, ValueError, r"max_queue_size.*at least 1.*-3"),
    ({"max_queue_size": 1.5}, TypeError, r"max_queue_size.*integer.*1\.5"),
    ({"max_queue_size": "10"}, TypeError, r"max_queue_size.*integer.*'10'"),
    ({"max_queue_bytes": 0}, ValueError, r"max_queue_bytes.*at least 1.*no limit"),
    ({"max_queue_bytes": 1e9}, TypeError, r"max_queue_bytes.*integer"),
    ({"seed": -1}, ValueError, r"seed.*at least 0.*-1"),
    ({"seed": 1.0}, TypeError, r"seed.*integer.*1\.0"),
    ({"seed": True}, TypeError, r"seed.*integer.*True"),
    ({"seed": "1"}, TypeError, r"seed.*integer.*'1'"),
    ({"executor": "processes"}, ValueError, r'executor.*"process", "thread", "inline"'),
    ({"executor": 5}, TypeError, r"executor.*name or an instance.*5"),
    ({"executor": InlineExecutor}, TypeError, r"executor.*instance"),
    ({"start_method": "forkserver"}, ValueError, r'start_method.*one of "spawn", "zygote", "fork"'),
    ({"start_method": 1}, ValueError, r'start_method.*one of "spawn", "zygote", "fork"'),
    ({"start_method": "fork", "executor": "thread"}, ValueError, r'start_method.*"process"'),
    ({"timeout_s": 0}, ValueError, r"timeout_s.*positive.*None"),
    ({"timeout_s": -1.0}, ValueError, r"timeout_s.*positive.*-1"),
    ({"timeout_s": NAN}, ValueError, r"timeout_s.*positive.*nan"),
    ({"timeout_s": "5"}, TypeError, r"timeout_s.*seconds.*'5'"),
    ({"timeout_s": True}, TypeError, r"timeout_s.*seconds.*True"),
    ({"timeout_s": 5, "executor": "thread"}, ValueError, r'timeout_s.*executor="process"'),
    ({"timeout_s": 5, "executor": "inline"}, ValueError, r'timeout_s.*executor="process"'),
    ({"timeout_s": -5, "workers": 0}, ValueError, r"timeout_s.*positive.*-5"),
    ({"retries": -1}, ValueError, r"retries.*at least 0.*-1"),
    ({"retries": 1.5}, TypeError, r"retries.*integer.*1\.5"),
    ({"retries": True}, TypeError, r"retries.*integer.*True"),
    ({"crash_retries": -1}, ValueError, r"crash_retries.*at least 0.*-1"),
    ({"crash_retries": "2"}, TypeError, r"crash_retries.*integer.*'2'"),
    ({"on_error": "ignore"}, ValueError, r'on_error.*"raise" or "skip".*\'ignore\''),
    ({"on_error": None}, ValueError, r'on_error.*"raise" or "skip".*None'),
    ({"worker_init": "setup"}, TypeError, r"worker_init.*callable.*'setup'"),
    ({"worker_env": 5}, TypeError, r"worker_env.*5"),
    ({"worker_env": ["PATH"]}, TypeError, r"worker_env.*PATH"),
    ({"worker_env": {"THREADS": 4}}, TypeError, r"worker_env.*str.*'THREADS'.*4"),
    ({"worker_env": {1: "a"}}, TypeError, r"worker_env.*str"),
    ({"worker_env": {"A": "b"}, "executor": "thread"}, ValueError, r'worker_env.*"process"'),
    ({"threads_per_worker": 0}, ValueError, r"threads_per_worker.*at least 1.*0"),
    ({"threads_per_worker": 1.0}, TypeError, r"threads_per_worker.*integer.*1\.0"),
    ({"threads_per_worker": 2, "executor": "thread"}, ValueError, r'threads_per_worker.*"proc'),
    ({"copy": "yes"}, TypeError, r"copy.*True or False.*'yes'"),
    ({"copy": None}, TypeError, r"copy.*True or False.*None"),
    ({"workres": 2}, TypeError, r"workres"),
]


@pytest.fixture(autouse=True)
def _nothing_is_started(children):
    yield
    assert children() == []
    assert [t for t in threading.enumerate() if t.name.startswith("seqloader")] == []


def name_of(case):
    return ",".join(f"{name}={value!r}" for name, value in case.items())[:60]


@pytest.mark.parametrize(
    ("arguments", "error", "message"), WRONG, ids=[name_of(case) for case, _, _ in WRONG]
)
def test_a_wrong_argument_is_named_by_the_constructor(arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        OrderedEnqueuer(Numbers(), **arguments)

    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"workers": -1}, ValueError, r"workers.*at least 0.*-1"),
        ({"workers": 1.0}, TypeError, r"workers.*integer.*1\.0"),
        ({"workers": True}, TypeError, r"workers.*integer.*True"),
        ({"max_queue_size": 0}, ValueError, r"max_queue_size.*at least 1.*unbounded"),
        ({"max_queue_size": "9"}, TypeError, r"max_queue_size.*integer.*'9'"),
    ],
    ids=repr,
)
def test_a_wrong_argument_is_named_by_start(arguments, error, message):
    enqueuer = OrderedEnqueuer(Numbers(), workers=2)

    with pytest.raises(error, match=message):
        enqueuer.start(**arguments)

    assert not enqueuer.is_running()
    assert (enqueuer.workers, enqueuer.max_queue_size) == (2, 10)


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
@pytest.mark.parametrize(
    ("timeout", "error"),
    [(-1, ValueError), (NAN, ValueError), ("1", TypeError), (True, TypeError)],
    ids=repr,
)
def test_a_wrong_timeout_is_named_by_stop_and_stops_nothing(make_any, timeout, error, running):
    enqueuer = make_any(Numbers(), executor="inline")
    if running:
        enqueuer.start()

    with pytest.raises(error, match=r"timeout"):
        enqueuer.stop(timeout)

    assert enqueuer.is_running() == running


@pytest.mark.parametrize("timeout", [0, 0.0, 1e9, float("inf"), None])
def test_any_timeout_from_0_on_will_do(make_any, timeout):
    enqueuer = make_any(Numbers())
    enqueuer.start()

    enqueuer.stop(timeout)

    assert not enqueuer.is_running()


@pytest.mark.parametrize("obj", [{"a": 1}, "text", b"bytes", 5, None, iter([1]), Numbers, {1, 2}])
def test_what_is_no_sequence_is_refused_saying_what_is_missing(obj):
    with pytest.raises(TypeError, match=r"(?s)Needed is an object whose \[index\] is a batch"):
        OrderedEnqueuer(obj)


def test_an_endless_sequence_cannot_be_shuffled():
    with pytest.raises(ValueError, match=r"endless.*shuffled"):
        OrderedEnqueuer(Endless(), shuffle=True)


def test_all_but_the_classic_arguments_go_by_keyword():
    OrderedEnqueuer(Numbers(), True, False)

    with pytest.raises(TypeError, match="positional"):
        OrderedEnqueuer(Numbers(), True, False, 4)


def test_whole_numbers_of_numpy_will_do():
    import numpy as np

    enqueuer = OrderedEnqueuer(
        Numbers(), workers=np.int64(3), max_queue_size=np.uint8(4), seed=np.int32(5)
    )

    assert (enqueuer.workers, enqueuer.max_queue_size, enqueuer.seed) == (3, 4, 5)
    assert type(enqueuer.seed) is int


def test_a_seed_may_be_of_any_size(make_any):
    seeds = [0, 2**200]

    orders = [tuple(make_any(list(range(20)), workers=0, shuffle=True, seed=s)) for s in seeds]

    assert orders[0] != orders[1]


def test_every_argument_is_checked_and_kept():
    found = {"seeded", "auto_shard", "auto_workers", "auto_queue"}
    asked = {*inspect.signature(OrderedEnqueuer).parameters, *found}

    kept = {*Options._fields}

    assert kept == asked - {"sequence", "shuffle", "use_multiprocessing"}


def test_of_several_mistakes_the_same_one_is_named_as_ever():
    mistakes = [
        {"use_multiprocessing": 4},
        {"executor": "processes"},
        {"on_error": "ignore"},
        {"worker_init": "setup"},
        {"timeout_s": 0},
        {"remainder": "keep"},
        {"copy": None},
        {"workers": -1},
        {"max_queue_size": 0},
        {"max_queue_bytes": 0},
        {"seed": -1},
        {"retries": -1},
        {"crash_retries": -1},
        {"worker_env": 5},
        {"threads_per_worker": 0},
        {"shard": 5},
        {"shuffle": 1},
    ]
    for first, mistake in enumerate(mistakes):
        later = dict(item for one in mistakes[first:] for item in one.items())

        with pytest.raises((TypeError, ValueError), match=f"^{next(iter(mistake))} must "):
            OrderedEnqueuer(Numbers(), **later)


ABOUT_WORKERS = {
    "start_method": "fork",
    "timeout_s": 5.0,
    "worker_env": {"A": "b"},
    "threads_per_worker": 2,
    "worker_init": print,
    "copy": True,
}
USED = {
    "process": set(ABOUT_WORKERS),
    "thread": {"worker_init", "copy"},
    "inline": {"copy"},
    "an Executor": set(),
}
MISSED = {"timeout_s", "worker_env", "worker_init"}
"""What may change batches, or whether they come; the others make no difference without workers."""


@pytest.mark.parametrize("workers", [None, 0, 2])
@pytest.mark.parametrize("executor", USED)
@pytest.mark.parametrize("name", ABOUT_WORKERS)
def test_what_the_executor_that_was_named_cannot_use_is_refused(name, executor, workers):
    named = InlineExecutor() if executor == "an Executor" else executor
    arguments = {"executor": named, "workers": workers, name: ABOUT_WORKERS[name]}

    if name not in USED[executor]:
        with pytest.raises(ValueError, match=name):
            OrderedEnqueuer(Numbers(), **arguments)
    elif executor != "inline" and workers == 0 and name in MISSED:
        with pytest.warns(SeqloaderWarning, match=f"workers=0 .* so {name} has no effect"):
            OrderedEnqueuer(Numbers(), **arguments)
    else:
        OrderedEnqueuer(Numbers(), **arguments)


@pytest.mark.parametrize("said", ["constructor", "start"])
def test_workers_0_is_a_switch_for_debugging_that_leaves_the_rest_alone(said):
    arguments = {**ABOUT_WORKERS, "use_multiprocessing": True}

    def begin():
        if said == "constructor":
            enqueuer = OrderedEnqueuer(Numbers(length=3), workers=0, **arguments)
            enqueuer.start()
        else:
            enqueuer = OrderedEnqueuer(Numbers(length=3), workers=2, **arguments)
            enqueuer.start(workers=0)
        return enqueuer

    with pytest.warns(SeqloaderWarning) as warned:
        enqueuer = begin()

    assert [int(batch[0, 0]) for batch in enqueuer] == [0, 1, 2]
    enqueuer.stop()
    assert len(warned) == 1
    assert "worker_init, worker_env, timeout_s have no effect" in str(warned[0].message)
    assert warned[0].filename == __file__


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({}, "process"),
        ({"use_multiprocessing": True}, "process"),
        ({"use_multiprocessing": False}, "thread"),
        ({"use_multiprocessing": False, "executor": "inline"}, "inline"),
        ({"executor": "thread"}, "thread"),
        ({"workers": 0}, "inline"),
    ],
    ids=repr,
)
def test_use_multiprocessing_and_executor_choose_who_computes(make_any, arguments, kind, children):
    enqueuer = make_any(Numbers(), **arguments)

    enqueuer.start()
    threads = [t for t in threading.enumerate() if t.name.startswith("seqloader")]
    processes = children()
    enqueuer.stop()

    assert (len(threads), len(processes)) == {
        "process": (0, 2),
        "thread": (2, 0),
        "inline": (0, 0),
    }[kind]


def test_an_executor_of_ones_own_is_used(make_any):
    enqueuer = make_any(Numbers(length=4), executor=InlineExecutor())

    assert [int(batch[0, 0]) for batch in enqueuer] == [0, 1, 2, 3]
    enqueuer.stop()
    assert len(list(enqueuer)) == 4
