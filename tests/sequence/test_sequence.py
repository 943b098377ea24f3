from __future__ import annotations

import itertools
import math
import pickle
import subprocess
import sys
import textwrap
import types

import numpy as np
import pytest
from interpreter import printed_by

from seqloader import Sequence
from seqloader.sequence.interface import check_sequence, count_batches, overrides_hook, run_hook


class Doubles(Sequence):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return 2 * index


class Endless(Sequence):
    num_batches = None

    def __getitem__(self, index):
        return index


class CountedByNumBatches(Sequence[int]):
    @property
    def num_batches(self):
        return 3

    def __getitem__(self, index):
        return index


class Hollow(Sequence):
    pass


class NoLength(Sequence):
    def __getitem__(self, index):
        return index


class NoItems(Sequence):
    def __len__(self):
        return 1


def foreign(module, name, **members):
    """A base class as another package defines it."""
    return type(name, (), {"__module__": module, **members})


def stub(self, *args):
    raise NotImplementedError


def keras_num_batches(self):
    if hasattr(self, "__len__"):
        return len(self)
    raise NotImplementedError


KerasPyDataset = foreign(
    "keras.src.trainers.data_adapters.py_dataset_adapter",
    "PyDataset",
    __getitem__=stub,
    num_batches=property(keras_num_batches),
    on_epoch_begin=lambda self: None,
    on_epoch_end=lambda self: None,
)
TfKerasSequence = foreign(
    "tf_keras.src.utils.data_utils",
    "Sequence",
    __getitem__=stub,
    __len__=stub,
    on_epoch_end=lambda self: None,
)
TorchDataset = foreign("torch.utils.data.dataset", "Dataset", __getitem__=stub)
TorchIterable = type("IterableDataset", (TorchDataset,), {"__module__": "torch.utils.data.dataset"})


def with_methods(*bases, length=None, **members):
    methods = {"__getitem__": lambda self, index: index, **members}
    if length is not None:
        methods["__len__"] = lambda self: length
    return type("Made", bases, methods)()


# --- The class ------------------------------------------------------------------------------------


def test_a_pass_yields_every_batch_in_order_and_ends():
    assert list(Doubles()) == [0, 2, 4, 6]


def test_a_pass_runs_no_hooks_and_reads_the_length_once():
    class Watched(Doubles):
        lengths = 0

        def __len__(self):
            self.lengths += 1
            return 2

        def on_epoch_begin(self):
            raise AssertionError

        on_epoch_end = on_epoch_begin

    watched = Watched()

    assert [batch for batch in watched] == [0, 2]  # noqa: C416 (list() asks for the length too)
    assert watched.lengths == 1


def test_a_pass_over_an_endless_sequence_does_not_end():
    assert list(itertools.islice(Endless(), 1_000)) == list(range(1_000))


def test_a_pass_goes_on_after_a_batch_that_raised():
    class Faulty(Doubles):
        def __getitem__(self, index):
            if index == 1:
                raise ValueError(index)
            return index

    batches = iter(Faulty())
    assert next(batches) == 0
    with pytest.raises(ValueError, match="1"):
        next(batches)
    assert list(batches) == [2, 3]


def test_hooks_do_nothing_unless_overridden():
    assert Doubles().on_epoch_begin() is None
    assert Doubles().on_epoch_end() is None


def test_the_mark_by_which_keras_knows_a_sequence_is_there():
    assert Sequence.use_sequence_api is True


@pytest.mark.parametrize("kind", [Hollow, NoLength, NoItems])
def test_a_missing_method_does_not_prevent_an_instance(kind):
    kind()


def test_missing_methods_teach_what_they_must_return():
    with pytest.raises(NotImplementedError, match=r"Hollow does not define __getitem__.*one batch"):
        Hollow()[0]
    with pytest.raises(NotImplementedError, match=r"Hollow does not define __len__.*of batches"):
        len(Hollow())
    with pytest.raises(NotImplementedError, match="num_batches = None"):
        iter(NoLength())
    with pytest.raises(NotImplementedError, match="__len__"):
        _ = NoLength().num_batches


def test_num_batches_is_the_length_unless_it_is_defined():
    assert Doubles().num_batches == 4
    assert Endless().num_batches is None
    assert CountedByNumBatches().num_batches == 3


def test_num_batches_alone_gives_a_length():
    assert len(CountedByNumBatches()) == 3
    assert list(CountedByNumBatches()) == [0, 1, 2]
    with pytest.raises(TypeError, match="endless"):
        len(Endless())


def test_num_batches_may_refer_to_the_base_class():
    class Twice(Doubles):
        @property
        def num_batches(self):
            return 2 * super().num_batches

    assert Twice().num_batches == count_batches(Twice()) == 8


def test_a_classic_constructor_may_use_the_name_num_batches():
    class Classic(Doubles):
        def __init__(self):
            self.num_batches = 10

        def __len__(self):
            return math.ceil(self.num_batches / 3)

    classic = Classic()

    assert classic.num_batches == 10
    assert count_batches(classic) == len(classic) == 4
    assert list(classic) == [0, 2, 4, 6]


@pytest.mark.parametrize(("value", "count"), [(3, 3), (None, None)])
def test_num_batches_of_the_instance_stands_in_for_a_missing_length(value, count):
    sequence = NoLength()
    sequence.num_batches = value

    check_sequence(sequence)
    assert count_batches(sequence) == count
    assert list(itertools.islice(sequence, 3)) == [0, 1, 2]


def test_a_parametrised_sequence_is_an_ordinary_class():
    assert issubclass(CountedByNumBatches, Sequence)
    sequence = pickle.loads(pickle.dumps(CountedByNumBatches()))
    assert len(sequence) == 3


def test_the_example_of_the_classic_documentation_works_but_for_its_import_line(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((8, 8, 3)))

    class CIFAR10Sequence(Sequence):
        def __init__(self, x_set, y_set, batch_size):
            self.x, self.y = x_set, y_set
            self.batch_size = batch_size

        def __len__(self):
            return int(np.ceil(len(self.x) / float(self.batch_size)))

        def __getitem__(self, idx):
            batch_x = self.x[idx * self.batch_size : (idx + 1) * self.batch_size]
            batch_y = self.y[idx * self.batch_size : (idx + 1) * self.batch_size]
            return np.array([np.load(file_name) for file_name in batch_x]), np.array(batch_y)

    sequence = CIFAR10Sequence([tmp_path / "a.npy"] * 5, [0, 1, 2, 3, 4], 2)

    check_sequence(sequence)
    shapes = [(x.shape, y.tolist()) for x, y in sequence]
    assert shapes == [((2, 8, 8, 3), [0, 1]), ((2, 8, 8, 3), [2, 3]), ((1, 8, 8, 3), [4])]


def test_it_imports_neither_typing_extensions_nor_any_framework():
    code = """
        import sys
        sys.modules["typing_extensions"] = None
        import seqloader.sequence.base
        class S(seqloader.sequence.base.Sequence): ...
        class T(seqloader.sequence.base.Sequence[int]): ...
        heavy = {"torch", "keras", "tensorflow", "pandas", "multiprocessing", "cloudpickle"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
    """
    assert printed_by(code) == ""


@pytest.mark.slow
@pytest.mark.limit(150)
def test_bare_and_parametrised_subclasses_pass_mypy_strict(tmp_path):
    pytest.importorskip("mypy")
    source = tmp_path / "user.py"
    source.write_text(
        textwrap.dedent(
            """
            from __future__ import annotations

            from typing import Any, assert_type

            from seqloader.sequence import Sequence

            class Bare(Sequence):
                def __len__(self) -> int:
                    return 3

                def __getitem__(self, idx: int) -> dict[str, int]:
                    return {"index": idx}

            class Exact(Sequence[tuple[int, str]]):
                @property
                def num_batches(self) -> int | None:
                    return None

                def __getitem__(self, index: int) -> tuple[int, str]:
                    return index, "text"

            class Endless(Sequence[int]):
                num_batches = None

                def __getitem__(self, index: int) -> int:
                    return index

            def total(batches: Sequence[object]) -> int | None:
                return batches.num_batches

            assert_type(Bare()[0], dict[str, int])
            assert_type(list(Exact()), list[tuple[int, str]])
            assert_type([batch for batch in Bare()], list[Any])
            total(Exact())
            """
        )
    )

    options = ["--strict", "--follow-imports=silent", f"--cache-dir={tmp_path / 'cache'}"]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(source)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


# --- What stands in for a Sequence ----------------------------------------------------------------

ACCEPTED = {
    "ours": (Doubles(), 4),
    "endless": (Endless(), None),
    "num_batches": (CountedByNumBatches(), 3),
    "list": ([1, 2, 3], 3),
    "empty list": ([], 0),
    "tuple": ((1, 2), 2),
    "range": (range(7), 7),
    "array": (np.zeros((5, 2)), 5),
    "duck": (with_methods(length=2), 2),
    "numpy length": (with_methods(length=np.int64(6)), 6),
    "PyDataset": (with_methods(KerasPyDataset, length=8), 8),
    "PyDataset by num_batches": (with_methods(KerasPyDataset, num_batches=9), 9),
    "endless PyDataset": (with_methods(KerasPyDataset, num_batches=None), None),
    "PyDataset whose num_batches refers to the length": (
        with_methods(KerasPyDataset, length=4, num_batches=property(stub)),
        4,
    ),
    "num_batches before the length": (with_methods(KerasPyDataset, length=8, num_batches=2), 2),
    "tf_keras": (with_methods(TfKerasSequence, length=5), 5),
    "torch": (with_methods(TorchDataset, length=6), 6),
    "torch with a num_batches of its own": (with_methods(TorchDataset, length=6, num_batches=2), 6),
    "iterator with random access": (
        with_methods(
            TfKerasSequence, length=3, __next__=lambda self: 0, __iter__=lambda self: self
        ),
        3,
    ),
}


@pytest.mark.parametrize(("obj", "count"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_has_items_and_a_length_is_accepted(obj, count):
    check_sequence(obj)
    assert count_batches(obj) == count


class Labelled:
    __module__ = "pandas.core.frame"
    iloc = property(lambda self: self)

    def __getitem__(self, label):
        raise KeyError(label)

    def __len__(self):
        return 3


REJECTED = {
    "None": (None, "NoneType does not define __getitem__"),
    "number": (5, "int does not define __getitem__"),
    "function": (lambda index: index, "does not define __getitem__"),
    "set": ({1, 2}, "set does not define __getitem__"),
    "dict": ({"a": 1}, r"mapping \(dict\).*values\(\)"),
    "other mapping": (types.MappingProxyType({}), "mapping"),
    "str": ("abc", "str: its items are characters"),
    "bytes": (b"abc", "bytes: its items are"),
    "bytearray": (bytearray(3), "bytearray: its items are"),
    "iterator": (iter([1]), "iterator.*workers ask for batches by number"),
    "generator": ((i for i in range(3)), "an iterator"),
    "0-d array": (np.array(3), "without dimensions"),
    "numpy scalar": (np.float64(3), "without dimensions"),
    "class": (Doubles, "class .*Doubles itself: pass an instance"),
    "hollow": (Hollow(), "Hollow does not define __getitem__"),
    "no items": (NoItems(), "NoItems does not define __getitem__"),
    "no length": (NoLength(), "NoLength does not define __len__.*num_batches = None"),
    "PyDataset without length": (with_methods(KerasPyDataset), "does not define __len__"),
    "PyDataset without items": (
        type("Made", (KerasPyDataset,), {"__len__": lambda self: 1})(),
        "does not define __getitem__",
    ),
    "tf_keras without length": (with_methods(TfKerasSequence), "does not define __len__"),
    "torch without length": (with_methods(TorchDataset), "does not define __len__"),
    "torch without items": (
        type("Made", (TorchDataset,), {"__len__": lambda self: 1})(),
        "does not define __getitem__",
    ),
    "iterable torch": (
        type("Made", (TorchIterable,), {"__len__": lambda self: 1})(),
        "iterable-style torch dataset",
    ),
    "num_batches on what is no Sequence": (
        with_methods(TorchDataset, num_batches=2),
        "num_batches counts only on",
    ),
    "removed method": (type("Made", (Doubles,), {"__getitem__": None})(), "__getitem__"),
    "frame": (Labelled(), "label, not for a position.*iloc"),
    "loader": (type("Loader", (), {"__len__": len, "__iter__": iter})(), "Loader does not define"),
}


@pytest.mark.parametrize(("obj", "message"), REJECTED.values(), ids=REJECTED)
def test_what_cannot_stand_in_is_told_what_it_lacks(obj, message):
    with pytest.raises(TypeError, match=message) as caught:
        check_sequence(obj)
    assert "Needed is an object whose [index] is a batch" in str(caught.value)


def test_a_check_calls_nothing_of_the_object():
    def explode(self, *args):
        raise AssertionError

    check_sequence(with_methods(Sequence, __getitem__=explode, __len__=explode))


BAD_COUNTS = {
    "negative": (-1, ValueError, r"__len__\(\) of .*Made is -1: .* cannot be negative"),
    "float": (12.0, TypeError, r"12.0 \(float\), not a whole number.*int\(\) or math.ceil\(\)"),
    "numpy float": (np.ceil(3.5), TypeError, "not a whole number"),
    "text": ("3", TypeError, r"'3' \(str\), not a whole number of batches$"),
    "bool": (True, TypeError, r"True \(bool\)"),
}


@pytest.mark.parametrize(("value", "error", "message"), BAD_COUNTS.values(), ids=BAD_COUNTS)
def test_a_bad_length_is_reported_with_its_value(value, error, message):
    with pytest.raises(error, match=message):
        count_batches(with_methods(length=value))


def test_a_length_of_none_is_no_length_but_num_batches_of_none_is_endless():
    made = with_methods(__len__=lambda self: None)
    with pytest.raises(TypeError, match="NoneType"):
        count_batches(made)


@pytest.mark.parametrize("value", [-2, 1.5, False])
def test_a_bad_num_batches_is_reported_by_its_name(value):
    with pytest.raises((TypeError, ValueError), match="num_batches of"):
        count_batches(with_methods(Sequence, num_batches=value))


@pytest.mark.parametrize("base", [Sequence, object])
def test_what_a_length_raises_is_passed_on(base):
    class LengthError(Exception):
        pass

    def fail(self):
        raise LengthError("no files")

    with pytest.raises(LengthError, match="no files"):
        count_batches(with_methods(base, __len__=fail))


# --- Hooks ----------------------------------------------------------------------------------------


def hooked(*bases):
    return with_methods(*bases, length=1, on_epoch_end=lambda self: None)


@pytest.mark.parametrize(
    "base", [Sequence, KerasPyDataset, TfKerasSequence, TorchDataset, object, list]
)
def test_a_hook_that_was_not_written_is_not_an_override(base):
    assert not overrides_hook(with_methods(base, length=1), "on_epoch_end")
    assert overrides_hook(hooked(base), "on_epoch_end")


def test_a_hook_put_on_the_instance_or_found_by_getattr_counts():
    class Wrapper:
        def __getattr__(self, name):
            return getattr(Doubles(), name)

    sequence = Doubles()
    sequence.on_epoch_end = print

    assert overrides_hook(sequence, "on_epoch_end")
    assert overrides_hook(Wrapper(), "on_epoch_end")  # in doubt


def test_a_hook_of_a_class_in_between_counts():
    class Parent(Doubles):
        def on_epoch_end(self):
            pass

    class Child(Parent):
        pass

    assert overrides_hook(Child(), "on_epoch_end")
    assert not overrides_hook(Child(), "on_epoch_begin")


def test_run_hook_calls_the_hook_once_and_passes_on_what_it_raises():
    class Hooked(Doubles):
        calls = 0

        def on_epoch_end(self):
            self.calls += 1

        def on_epoch_begin(self):
            raise OSError("no shuffle")

    sequence = Hooked()

    run_hook(sequence, "on_epoch_end")

    assert sequence.calls == 1
    with pytest.raises(OSError, match="no shuffle"):
        run_hook(sequence, "on_epoch_begin")


def test_run_hook_needs_no_hook():
    run_hook([1, 2], "on_epoch_end")
    run_hook(None, "on_epoch_end")
