"""From the words on the command line to a Sequence, or to a sentence that teaches."""

from __future__ import annotations

import pytest

from seqloader.command.faults import SequenceFault, fault_text
from seqloader.command.target import Arguments, TargetError, load_sequence, parse_arguments

SOURCE = """
    class Batches(Sequence):
        def __init__(self, length=3, *, scale=1):
            self.length, self.scale = length, scale

        def __len__(self):
            return self.length

        def __getitem__(self, index):
            return np.full(4, index * self.scale)


    class Outer:
        class Inner(Batches):
            pass


    def make_batches(length, scale=1):
        return Batches(length, scale=scale)


    def make_lines(path):
        with open(path) as lines:
            return list(lines)


    def make_number():
        return 7


    def make_generator():
        yield 1


    ready = Batches(5)
    a_list = [np.zeros(3)] * 6
    number = 7
"""


@pytest.fixture
def module(write_module):
    return write_module(SOURCE)


def load(target, *texts):
    return load_sequence(target, parse_arguments(list(texts)))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], Arguments()),
        (["3"], Arguments((3,))),
        (["[1, 2]", "None"], Arguments(([1, 2], None))),
        (["data/train"], Arguments(("data/train",))),
        (["'3'"], Arguments(("3",))),
        (["size=(2, 3)", "4"], Arguments((4,), {"size": (2, 3)})),
        (["mode=rgb"], Arguments((), {"mode": "rgb"})),
        (["path=a=b"], Arguments((), {"path": "a=b"})),
        (["name="], Arguments((), {"name": ""})),
        (["s3://bucket?version=3"], Arguments(("s3://bucket?version=3",))),
        (["__import__('os')"], Arguments(("__import__('os')",))),
    ],
    ids=lambda value: " ".join(value) or "none" if isinstance(value, list) else "",
)
def test_arguments_are_literals_or_strings(texts, expected):
    assert parse_arguments(texts) == expected


def test_a_name_given_twice_is_refused():
    with pytest.raises(TargetError, match=r"--arg size=\.\.\. is given twice"):
        parse_arguments(["size=1", "size=2"])


@pytest.mark.parametrize(
    ("attribute", "texts", "length"),
    [
        ("ready", [], 5),
        ("a_list", [], 6),
        ("Batches", [], 3),
        ("Batches", ["8", "scale=2"], 8),
        ("make_batches", ["length=9"], 9),
        ("Outer.Inner", ["2"], 2),
    ],
)
def test_a_sequence_a_class_and_a_function_will_do(attribute, texts, length, module):
    sequence = load(f"{module}:{attribute}", *texts)

    assert len(sequence) == length


def test_a_file_is_imported_under_its_own_name_with_its_folder_on_the_path(write_module, tmp_path):
    folder = tmp_path / "code"
    folder.mkdir()
    helper = write_module("LENGTH = 4\n", folder)
    name = write_module(f"from {helper} import LENGTH\nready = [np.zeros(1)] * LENGTH\n", folder)

    sequence = load(f"code/{name}.py:ready")

    assert len(sequence) == 4


@pytest.mark.parametrize(
    ("target", "texts", "said"),
    [
        ("{module}", [], "{module} names no attribute"),
        ("{module}:", [], "It holds Batches, Outer, make_batches"),
        ("{module}:make_batchs", ["3"], "has no 'make_batchs'. Did you mean make_batches?"),
        ("{module}:zzz", [], "has no 'zzz'. It holds Batches,"),
        ("{module}:Outer.Iner", [], "{module}:Outer has no 'Iner'. Did you mean Inner?"),
        ("{module}:make_batches", [], "missing a required argument: 'length'"),
        ("{module}:make_batches", ["1", "2", "3"], "(length, scale=1) cannot be called as"),
        ("{module}:make_batches", ["size=1"], "--arg name=value"),
        ("{module}:make_number", [], "returned no Sequence: int does not define __getitem__"),
        ("{module}:make_generator", [], "returned no Sequence: got an iterator"),
        ("{module}:number", [], "is no Sequence: int does not define __getitem__"),
        ("{module}:ready", ["3"], "is a Sequence already, not a factory"),
        ("{module}_:ready", [], "did you mean {module}?"),
        ("no_such_package.data:ready", [], "There is no module no_such_package"),
        ("{module}.data:ready", [], "There is no module {module}.data"),
        ("{module}s.py:ready", [], "There is no file {module}s.py: did you mean {module}.py?"),
        ("nowhere/data.py:ready", [], "There is no file nowhere/data.py"),
        ("data/train:ready", [], "data/train is not a Python file"),
        ("two words:ready", [], "'two words' is not the name of a module"),
        ("{module}.py::ready", [], "write one colon"),
        (":ready", [], "'' is not the name of a module"),
    ],
)
def test_what_is_not_there_or_no_sequence_is_said_with_what_may_be_meant(
    target, texts, said, module
):
    with pytest.raises(TargetError) as refusal:
        load(target.format(module=module), *texts)

    assert said.format(module=module) in str(refusal.value)


def test_a_file_named_as_another_module_is_refused(write_module, tmp_path):
    write_module("")
    (tmp_path / "random.py").write_text("ready = [1]\n")

    with pytest.raises(TargetError, match="another module is named random"):
        load("random.py:ready")


@pytest.mark.parametrize(
    ("source", "attribute", "shown"),
    [
        ("import no_such_package_of_mine\n", "ready", "No module named 'no_such_package_of_mine'"),
        ("def broken(:\n", "ready", "SyntaxError"),
        ("raise SystemExit('not today')\n", "ready", "not today"),
        ("def make():\n    return 1 / 0\n", "make", "ZeroDivisionError: division by zero"),
    ],
    ids=["import", "syntax", "exit", "factory"],
)
def test_what_the_users_code_raises_is_shown_without_our_frames(
    source, attribute, shown, write_module
):
    name = write_module(source)

    with pytest.raises(SequenceFault) as fault:
        load(f"{name}:{attribute}")

    text = fault_text(fault.value.error)
    assert shown in text
    assert f"{name}.py" in text
    assert "seqloader/command" not in text
    assert "importlib" not in text


def test_a_factory_that_raised_is_named(write_module):
    name = write_module("def make(path):\n    raise OSError('no such data')\n")

    with pytest.raises(SequenceFault) as fault:
        load(f"{name}:make", "train")

    assert fault_text(fault.value.error).endswith(
        "OSError: no such data\nraised by make('train'), which was to make the Sequence"
    )
