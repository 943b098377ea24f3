"""`workers`, `use_multiprocessing` and `max_queue_size` that a Sequence was constructed with."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass

import pytest

from seqloader import OrderedEnqueuer, Sequence


class Three(Sequence):
    """As a subclass of Keras' PyDataset is written."""

    def __init__(self, value=1, **kwargs):
        super().__init__(**kwargs)
        self.value = value

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return index * self.value


class PyDataset:
    """As keras.utils.PyDataset: it always carries the three, and warns where it was not called."""

    def __init__(self, workers=1, use_multiprocessing=False, max_queue_size=10):
        self._workers = workers
        self._use_multiprocessing = use_multiprocessing
        self._max_queue_size = max_queue_size

    def _get(self, name):
        if name not in self.__dict__:
            warnings.warn("call super().__init__(**kwargs)", stacklevel=3)
        return self.__dict__.get(name)

    workers = property(lambda self: self._get("_workers"))
    use_multiprocessing = property(lambda self: self._get("_use_multiprocessing"))
    max_queue_size = property(lambda self: self._get("_max_queue_size"))

    @property
    def num_batches(self):
        return len(self)

    def on_epoch_begin(self):
        pass

    def on_epoch_end(self):
        pass


PyDataset.__module__ = "keras.src.trainers.data_adapters.py_dataset_adapter"


class OfKeras(PyDataset):
    __len__ = Three.__len__

    def __getitem__(self, index):
        return index


DEFAULTS = {"workers": None, "use_multiprocessing": True, "max_queue_size": None}


def choice(enqueuer):
    options = enqueuer._run.subject.options
    named = options.workers, enqueuer.use_multiprocessing, options.max_queue_size
    return dict(zip(DEFAULTS, named, strict=True))


def without(**said):
    """What an enqueuer chooses for a Sequence that says nothing."""
    return {**choice(OrderedEnqueuer([1, 2])), **said}


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"workers": 1},
        {"workers": 3},
        {"workers": 0},
        {"use_multiprocessing": False},
        {"use_multiprocessing": True, "max_queue_size": 20},
        {"workers": 1, "use_multiprocessing": False, "max_queue_size": 10},
    ],
    ids=str,
)
def test_what_our_sequence_was_given_is_the_enqueuers_default(said):
    assert choice(OrderedEnqueuer(Three(2, **said))) == without(**said)
    assert choice(OrderedEnqueuer(pickle.loads(pickle.dumps(Three(2, **said))))) == without(**said)


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ({}, {}),
        ({"workers": 8}, {"workers": 8}),
        ({"workers": 8, "use_multiprocessing": True}, {"workers": 8}),
        ({"max_queue_size": 20}, {"max_queue_size": 20}),
        ({"workers": 0}, {"workers": 0}),
        ({"workers": 1, "use_multiprocessing": False, "max_queue_size": 10}, {}),
    ],
    ids=str,
)
def test_of_a_pydataset_counts_what_is_not_keras_own_default(said, counts):
    assert choice(OrderedEnqueuer(OfKeras(**said))) == without(**counts)


@pytest.mark.parametrize("made", [Three, OfKeras])
def test_what_the_enqueuer_is_given_wins(made):
    sequence = made(workers=3, use_multiprocessing=True, max_queue_size=7)
    said = {"workers": 2, "use_multiprocessing": False, "max_queue_size": 5}

    assert choice(OrderedEnqueuer(sequence, **said)) == said
    enqueuer = OrderedEnqueuer(sequence, False)
    enqueuer.start(workers=1, max_queue_size=4)
    enqueuer.stop()
    assert (enqueuer.workers, enqueuer.max_queue_size) == (1, 4)


def test_whoever_names_an_executor_is_not_contradicted_by_the_sequence():
    sequence = Three(use_multiprocessing=False)

    enqueuer = OrderedEnqueuer(sequence, executor="process", timeout_s=5)

    assert enqueuer._run.subject.options.executor == "process"


@pytest.mark.parametrize(
    ("arguments", "keywords", "named"),
    [
        ((), {"batch_size": 32}, "batch_size="),
        ((), {"worker": 2, "name": "a"}, "worker=, name="),
        ((2,), {"workers": 2}, "workers="),
        ((1, True, 10, 5), {}, "4 arguments"),
    ],
)
def test_other_arguments_are_named(arguments, keywords, named):
    class Passes(Three):
        def __init__(self, *arguments, **keywords):
            Sequence.__init__(self, *arguments, **keywords)

    assert Passes(2, True, 9)._enqueuer_defaults == {
        "workers": 2,
        "use_multiprocessing": True,
        "max_queue_size": 9,
    }
    with pytest.raises(TypeError, match=f"given {named}.*workers, use_multiprocessing and max_"):
        Passes(*arguments, **keywords)


def test_a_wrong_value_is_found_by_the_enqueuer_which_says_where_it_comes_from():
    with pytest.raises(ValueError, match="max_queue_size must be at least 1") as caught:
        OrderedEnqueuer(Three(max_queue_size=0))

    assert caught.value.__notes__ == [
        "of these, the Sequence (Three) was constructed with max_queue_size=0"
    ]


def test_the_constructor_need_not_be_called_and_ones_own_workers_are_ones_own():
    class Own(Three):
        def __init__(self):
            self.value, self.workers = 1, 7

    class Fixed(OfKeras):
        workers = 7

        def __init__(self):
            self._workers = 7  # another's field, since `workers` is another's

    @dataclass(frozen=True)
    class Frozen(Sequence):
        workers: int
        __len__, __getitem__ = Three.__len__, Three.__getitem__

    class Silent(OfKeras):
        def __init__(self):
            pass

    for sequence in (Own(), Fixed(), Frozen(7), Silent()):
        assert choice(OrderedEnqueuer(sequence)) == without()


def test_other_base_classes_get_what_is_theirs():
    class Pooled:
        def __init__(self, value, workers=4, **others):
            super().__init__(**others)
            self.value, self.threads = value, workers

    class Both(Sequence, Pooled):
        def __init__(self, **kwargs):
            super().__init__(5, **kwargs)

        __len__, __getitem__ = Three.__len__, Three.__getitem__

    sequence = Both(workers=6, max_queue_size=11)

    assert (sequence.value, sequence.threads) == (5, 6)
    assert choice(OrderedEnqueuer(sequence)) == without(max_queue_size=11)


def test_batches_come_from_as_many_workers_as_the_sequence_says(children):
    with OrderedEnqueuer(Three(5, workers=1)) as enqueuer:
        assert list(enqueuer) == [0, 5, 10]
        assert len(children()) == 1
