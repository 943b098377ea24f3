"""When an epoch begins, when it ends, and what runs there (P1, P2, P3)."""

from __future__ import annotations

import random
import threading

import pytest
from sequences_for_tests import Holes, Numbers, Recorded, Resizing

from seqloader import EnqueuerStopped


def hooks(sequence):
    return [line for line in sequence.journal.lines() if line.startswith("on_")]


def of_epoch(batches):
    return [(index, ended) for index, ended, _ in batches]


def assert_boundaries_hold(lines):
    """Hooks alternate, nothing is in work at one, and a batch runs in its own epoch only."""
    running, epoch, begun = set(), -1, False
    for line in lines:
        word, *place = line.split()
        if word == "on_epoch_begin":
            assert not running and not begun, lines
            epoch, begun = epoch + 1, True
        elif word == "on_epoch_end":
            assert not running and begun, lines
            begun = False
        elif word == "begin":
            assert begun and int(place[0]) == epoch, lines
            running.add(tuple(place))
        elif word == "end":
            running.remove(tuple(place))


# --- An epoch, whole --------------------------------------------------------------------


def test_a_for_is_one_epoch_and_the_next_for_the_next(make, tmp_path):
    enqueuer = make(Recorded(tmp_path))

    first, second = of_epoch(enqueuer), of_epoch(enqueuer)

    assert first == [(i, 0) for i in range(6)]
    assert second == [(i, 1) for i in range(6)]


def test_get_goes_on_over_epochs_without_marks(make, tmp_path, take):
    enqueuer = make(Recorded(tmp_path))

    assert of_epoch(take(enqueuer.get(), 15)) == [(i % 6, i // 6) for i in range(15)]


def test_batches_come_in_the_plans_order_whatever_order_they_were_computed_in(make, tmp_path):
    enqueuer = make(Recorded(tmp_path, length=40, uneven=True))

    for epoch in range(2):
        assert of_epoch(enqueuer) == [(i, epoch) for i in range(40)]
    assert len([line for line in enqueuer.sequence.journal.lines() if "begin" in line[:5]]) == 80


def test_hooks_length_and_batches_keep_their_order(make, tmp_path, take):
    sequence = Recorded(tmp_path, length=2)
    enqueuer = make(sequence)

    take(enqueuer.get(), 5)
    enqueuer.stop()

    kept = [line for line in sequence.journal.lines() if not line.startswith("end")]
    for at in (0, 5, 10):
        assert kept[at : at + 2] == ["on_epoch_begin", "len"]
    assert sorted(kept[2:4]) == ["begin 0 0", "begin 0 1"]
    assert kept[4] == "on_epoch_end"
    assert sorted(kept[7:9]) == ["begin 1 0", "begin 1 1"]
    assert kept[9] == "on_epoch_end"
    assert hooks(sequence) == ["on_epoch_begin", "on_epoch_end"] * 3


def test_nothing_of_either_epoch_is_being_computed_while_a_hook_runs(make, tmp_path, take):
    sequence = Recorded(tmp_path, length=12, uneven=True)
    enqueuer = make(sequence)
    chance = random.Random(1)

    for _ in range(12):
        left = chance.choice([1, 2, 5, 11, 12, 13])
        if chance.random() < 0.5:
            take(enqueuer, left)
        else:
            take(enqueuer.get(), left)
            take(enqueuer, 1)
    enqueuer.stop()

    assert hooks(sequence)[-1] == "on_epoch_end"
    assert_boundaries_hold(sequence.journal.lines())


def test_hooks_run_in_the_thread_that_asks(make, tmp_path, take):
    threads = []

    class Sequence(Numbers):
        def on_epoch_begin(self):
            threads.append(threading.current_thread().name)

        on_epoch_end = on_epoch_begin

    enqueuer = make(Sequence(length=3))
    other = threading.Thread(target=lambda: take(enqueuer.get(), 4), name="asking")

    other.start()
    other.join()
    take(enqueuer, 1)

    main = threading.current_thread().name
    assert threads == ["asking"] * 3 + [main] * 2


def test_the_length_is_read_anew_for_every_epoch(make, take):
    enqueuer = make(Resizing(8, 4, 12, 1))

    expected = [(epoch, i) for epoch, length in enumerate([8, 4, 12, 1]) for i in range(length)]
    assert take(enqueuer.get(), 24) == expected[:24]


def test_the_length_is_read_anew_for_every_for(make):
    enqueuer = make(Resizing(8, 4, 12, 0, 3))

    for epoch, length in enumerate([8, 4, 12, 0, 3]):
        assert len(enqueuer) == length
        assert list(enqueuer) == [(epoch, i) for i in range(length)]
        if epoch == 4:
            return


# --- When it begins ---------------------------------------------------------------------


def test_start_runs_no_hook_and_computes_nothing(make, tmp_path):
    sequence = Recorded(tmp_path)
    enqueuer = make(sequence)

    enqueuer.start()
    with enqueuer:
        pass

    assert sequence.journal.lines() == []
    assert not enqueuer.is_running()


def test_iter_begins_the_epoch_at_once_and_fills_the_window(make, tmp_path, executor, until):
    sequence = Recorded(tmp_path, length=50)
    enqueuer = make(sequence, max_queue_size=7)

    iterator = iter(enqueuer)

    assert sequence.journal.lines()[:2] == ["on_epoch_begin", "len"]
    assert enqueuer.stats().in_flight == 7
    if executor != "inline":
        until(lambda: sequence.journal.count("end") == 7)
    assert next(iterator)[0] == 0


def test_get_begins_no_epoch_before_its_first_next(make, tmp_path):
    sequence = Recorded(tmp_path)
    enqueuer = make(sequence)

    stream = enqueuer.get()
    assert sequence.journal.lines() == []
    assert enqueuer.is_running()
    next(stream)

    assert hooks(sequence) == ["on_epoch_begin"]


def test_iter_get_and_with_start_it(make):
    enqueuer = make(Numbers(length=2))

    for begin in (iter, lambda e: e.get(), lambda e: e.__enter__(), lambda e: e.peek()):
        assert not enqueuer.is_running()
        begin(enqueuer)
        assert enqueuer.is_running()
        enqueuer.stop()


# --- When it ends -----------------------------------------------------------------------


def test_the_epoch_ends_when_the_batch_after_the_last_is_asked_for(make, tmp_path, take):
    sequence = Recorded(tmp_path, length=3)
    stream = make(sequence).get()

    take(stream, 3)
    assert hooks(sequence) == ["on_epoch_begin"]
    take(stream, 1)

    assert hooks(sequence) == ["on_epoch_begin", "on_epoch_end", "on_epoch_begin"]


def test_a_for_to_its_end_ends_the_epoch_and_begins_no_other(make, tmp_path):
    sequence = Recorded(tmp_path, length=3)
    enqueuer = make(sequence)

    iterator = iter(enqueuer)
    list(iterator)
    assert list(iterator) == []
    enqueuer.join_end_of_epoch()
    enqueuer.stop()

    assert hooks(sequence) == ["on_epoch_begin", "on_epoch_end"]
    assert sequence.journal.lines()[-1] == "on_epoch_end"


def test_join_end_of_epoch_ends_it_once(make, tmp_path, take):
    sequence = Recorded(tmp_path, length=3)
    enqueuer = make(sequence)
    stream = enqueuer.get()

    take(stream, 3)
    enqueuer.join_end_of_epoch()
    assert hooks(sequence) == ["on_epoch_begin", "on_epoch_end"]
    enqueuer.join_end_of_epoch()
    assert of_epoch(take(stream, 1)) == [(0, 1)]

    assert hooks(sequence) == ["on_epoch_begin", "on_epoch_end", "on_epoch_begin"]


@pytest.mark.parametrize("then", ["iter", "get", "stop", "with"])
def test_a_loop_left_early_ends_its_epoch_when_the_next_is_asked_for(make, tmp_path, then):
    sequence = Recorded(tmp_path, length=30, uneven=True)
    enqueuer = make(sequence, max_queue_size=4)

    with enqueuer:
        for index, _, _ in enqueuer:
            if index == 2:
                break
        assert hooks(sequence) == ["on_epoch_begin"]
        if then == "iter":
            iter(enqueuer)
        elif then == "get":
            enqueuer.get()
        elif then == "stop":
            enqueuer.stop()
        if then != "with":
            assert hooks(sequence)[:2] == ["on_epoch_begin", "on_epoch_end"]

    begins = 2 if then == "iter" else 1
    assert hooks(sequence).count("on_epoch_begin") == begins
    assert hooks(sequence).count("on_epoch_end") == 1
    lines = sequence.journal.lines()
    assert_boundaries_hold(lines[: len(lines) if begins == 1 else lines.index("on_epoch_end") + 1])


def test_dropping_the_iterator_of_a_loop_left_early_ends_nothing(make, tmp_path):
    sequence = Recorded(tmp_path)
    enqueuer = make(sequence)

    iterator = iter(enqueuer)
    next(iterator)
    del iterator

    assert hooks(sequence) == ["on_epoch_begin"]


def test_stop_runs_the_due_hook_after_the_workers_are_gone(make, children, take):
    alive = []

    class Sequence(Numbers):
        def on_epoch_end(self):
            alive.append(len(children()))

    enqueuer = make(Sequence(length=3))

    take(enqueuer.get(), 3)
    enqueuer.stop()
    enqueuer.stop()

    assert alive == [0]


def test_no_end_hook_runs_for_an_epoch_of_which_no_batch_was_asked(make, tmp_path):
    sequence = Recorded(tmp_path)
    enqueuer = make(sequence)

    iter(enqueuer)
    assert enqueuer.epoch == 0
    iter(enqueuer)
    assert enqueuer.epoch == 0
    enqueuer.peek()
    enqueuer.stop()

    assert "on_epoch_end" not in hooks(sequence)
    assert enqueuer.epoch == 0


def test_no_end_hook_runs_for_an_epoch_that_another_thread_stopped(make, tmp_path):
    sequence = Recorded(tmp_path)
    enqueuer = make(sequence)
    next(iter(enqueuer))

    other = threading.Thread(target=enqueuer.stop)
    other.start()
    other.join()
    enqueuer.stop()

    assert hooks(sequence) == ["on_epoch_begin"]
    assert not enqueuer.is_running()


def test_a_with_left_by_an_exception_stops_without_hooks(make, tmp_path, children):
    sequence = Recorded(tmp_path)
    enqueuer = make(sequence)

    with pytest.raises(ZeroDivisionError), enqueuer:
        for _ in enqueuer:
            raise ZeroDivisionError
    enqueuer.stop()

    assert hooks(sequence) == ["on_epoch_begin"]
    assert not enqueuer.is_running()
    assert children() == []


def test_no_end_hook_runs_when_the_last_reference_is_dropped(executor, tmp_path, children, until):
    from seqloader import OrderedEnqueuer

    sequence = Recorded(tmp_path)
    enqueuer = OrderedEnqueuer(sequence, executor=executor, workers=2)
    next(iter(enqueuer))

    del enqueuer
    until(lambda: children() == [])

    assert hooks(sequence) == ["on_epoch_begin"]


# --- Numbers of epochs ------------------------------------------------------------------


def test_epoch_is_that_under_way_and_between_epochs_the_coming_one(make, take):
    enqueuer = make(Numbers(length=3))
    assert enqueuer.epoch == 0
    seen = [enqueuer.epoch for _ in enqueuer]
    assert (seen, enqueuer.epoch) == ([0, 0, 0], 1)

    stream = enqueuer.get()
    assert enqueuer.epoch == 1
    assert [(take(stream, 1), enqueuer.epoch)[1] for _ in range(4)] == [1, 1, 1, 2]


def test_start_after_stop_goes_on_with_the_next_epoch_number(make, tmp_path):
    sequence = Recorded(tmp_path, length=5)
    enqueuer = make(sequence)

    next(iter(enqueuer))
    enqueuer.stop()
    assert enqueuer.epoch == 1
    list(enqueuer)
    enqueuer.stop()

    assert enqueuer.epoch == 2
    begun = {line.split()[1] for line in sequence.journal.lines() if line.startswith("begin")}
    assert begun == {"0", "1"}


# --- Nothing in it ----------------------------------------------------------------------


def test_a_length_of_0_is_an_empty_epoch_for_a_for(make, tmp_path):
    sequence = Recorded(tmp_path, length=0)
    enqueuer = make(sequence)

    assert [list(enqueuer), list(enqueuer)] == [[], []]
    assert enqueuer.epoch == 2
    assert hooks(sequence) == ["on_epoch_begin", "on_epoch_end"] * 2


def test_a_length_of_0_is_an_error_for_get(make, children):
    enqueuer = make(Numbers(length=0))

    with pytest.raises(ValueError, match=r"get\(\).*length is 0"):
        next(enqueuer.get())

    assert not enqueuer.is_running()
    assert children() == []


def test_a_length_that_falls_to_0_is_an_error_for_get(make, take):
    stream = make(Resizing(2, 0, 5)).get()

    assert take(stream, 2) == [(0, 0), (0, 1)]
    with pytest.raises(ValueError, match="length is 0"):
        next(stream)


def test_get_goes_over_one_epoch_of_nothing_but_none(make, take):
    assert take(make(Holes(length=4, empty_epochs=1)).get(), 3) == [0, 2, 0]


def test_two_epochs_of_nothing_but_none_are_an_error_for_get(make):
    enqueuer = make(Holes(length=4, empty_epochs=2))

    with pytest.raises(ValueError, match=r"epoch 1.*None"):
        next(enqueuer.get())

    assert not enqueuer.is_running()


def test_a_for_over_nothing_but_none_is_empty_each_time(make):
    enqueuer = make(Holes(length=4, empty_epochs=3))

    assert [list(enqueuer) for _ in range(4)] == [[], [], [], [0, 2]]


# --- Hooks that stop --------------------------------------------------------------------


def test_stop_inside_on_epoch_end_ends_a_for_as_usual_and_get_too(make, children, take):
    class Sequence(Numbers):
        def on_epoch_end(self):
            holder[0].stop()

        def __reduce__(self):  # hooks are called here, not in the workers
            return Numbers, (3,)

    enqueuer = make(Sequence(length=3))
    holder = [enqueuer]

    assert len(list(enqueuer)) == 3
    assert not enqueuer.is_running() and children() == []
    assert len(take(enqueuer.get(), 99)) == 3
    assert not enqueuer.is_running() and children() == []


def test_stop_inside_on_epoch_begin_begins_nothing(make, children, take):
    class Sequence(Numbers):
        def on_epoch_begin(self):
            holder[0].stop()

        def __reduce__(self):
            return Numbers, (3,)

    enqueuer = make(Sequence(length=3))
    holder = [enqueuer]

    with pytest.raises(EnqueuerStopped):
        list(enqueuer)
    assert not enqueuer.is_running() and children() == []
    assert take(enqueuer.get(), 99) == []
    assert not enqueuer.is_running() and children() == []


@pytest.mark.parametrize(
    "call", ["__iter__", "get", "peek", "start", "join_end_of_epoch", "end_epoch"]
)
def test_entering_again_from_a_hook_is_refused_and_said(make, call):
    class Sequence(Numbers):
        def on_epoch_begin(self):
            getattr(holder[0], call)()

        def __reduce__(self):
            return Numbers, (3,)

    enqueuer = make(Sequence(length=3))
    holder = [enqueuer]

    with pytest.raises(RuntimeError, match="entered again"):
        list(enqueuer)
