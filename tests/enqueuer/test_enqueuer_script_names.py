"""What code in a worker finds in `__main__` by its name: scripts of all kinds, run for real."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest
from interpreter import run_python

SCRIPT = textwrap.dedent(
    """
    from __future__ import annotations
    import dataclasses, functools, os, pickle, sys, tempfile, typing
    import multiprocessing as mp
    from concurrent.futures import ProcessPoolExecutor
    import numpy as np
    from seqloader import OrderedEnqueuer, Sequence

    @dataclasses.dataclass
    class Saved:
        a: int
        other: Other
        def total(self):
            return helper(self.a) + BIAS + TABLE["x"]

    @dataclasses.dataclass
    class Other:
        b: list[Saved] | None = None

    class Kid(Saved):
        pass

    BIAS = 100
    TABLE = {"x": 1}
    BIG = np.zeros(1_000_000)

    def helper(x):
        return 2 * x

    def uses_big():
        return BIG.size

    @functools.lru_cache
    def cached(n):
        return n if n < 2 else cached(n - 1) + cached(n - 2)

    def square(x):
        return x * x

    def flip(x):
        return ("flip", x)

    class Own(Sequence):
        def __init__(self, path):
            self.path = path
        def __len__(self):
            return len(TRIES)
        def __getitem__(self, index):
            return TRIES[index](self)

    def unpickled(own):
        with open(own.path, "rb") as file:
            saved, kid, function = pickle.load(file)
        return saved.total(), saved.other.b, type(kid).__name__, function(10)

    def nested_pool(own):
        context = mp.get_context("fork")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return list(pool.map(square, [1, 2, 3]))

    def hints(own):
        return sorted(typing.get_type_hints(Saved)), sorted(typing.get_type_hints(Other))

    def main_module(own):
        import __main__
        same = __main__.square is square and sys.modules[Own.__module__] is __main__
        return same, os.path.basename(__main__.__file__), __main__.__name__ == __name__

    def by_globals(own):
        return globals()["flip"](3)

    def an_instance(own):
        return Saved(1, Other())

    def attribute(own):
        import __main__
        return __main__.cached(10)

    def missing(own):
        import __main__
        return __main__.no_such_name

    TRIES = [unpickled, nested_pool, hints, main_module, by_globals, an_instance, attribute]

    def answers():
        with tempfile.NamedTemporaryFile() as file:
            pickle.dump([Saved(2, Other([])), Kid(1, None), cached], file)
            file.flush()
            ways = ({"workers": 0}, {"workers": 1}, {"workers": 1, "start_method": "fork"})
            for way in ways:
                with OrderedEnqueuer(Own(file.name), **way) as enqueuer:
                    batches = list(enqueuer)
                assert type(batches[5]) is Saved and type(batches[5].other) is Other
                yield [repr(batch) for batch in batches]

    def compare():
        print(*answers(), sep="\\n", flush=True)
    """
)


def run(path: Path, *arguments: str) -> str:
    done = run_python("-W", "ignore", *arguments, cwd=path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


WAYS = {
    "script": ("compare()", ["program.py"]),
    "-m": ("compare()", ["-m", "program"]),
    "run_path": ("compare()", ["run.py"]),
    **{
        f"child_{method}": (
            f"if __name__ == '__main__':\n"
            f"    child = mp.get_context({method!r}).Process(target=compare)\n"
            f"    child.start(); child.join(); sys.exit(child.exitcode)",
            ["program.py"],
        )
        for method in ("fork", "forkserver", "spawn")
    },
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_found_by_name_in_main_is_found_in_a_worker(way, tmp_path):
    end, arguments = WAYS[way]
    program = SCRIPT
    if way == "child_forkserver":
        # There, a forked worker inherits what forkserver does with its children: none can be
        # waited for.
        program = program.replace("nested_pool, hints", "hints, hints")
    (tmp_path / "program.py").write_text(f"{program}\n{end}\n")
    (tmp_path / "run.py").write_text("import runpy; runpy.run_path('program.py', {}, '__main__')")

    inline, spawn, fork = map(ast.literal_eval, run(tmp_path, *arguments).splitlines())

    assert spawn == inline
    assert fork == inline
    assert inline[0] == "(105, [], 'Kid', 55)"
    assert inline[3].startswith("(True, 'program.py', True")


def failure(tmp_path, code, ways="workers=1"):
    program = f"""
{SCRIPT}
{code}
TRIES[:] = [the_try]
try:
    with OrderedEnqueuer(Own(""), {ways}) as enqueuer:
        print(list(enqueuer))
except Exception as error:
    print(type(error).__name__, error, *getattr(error, "__notes__", ()), sep=" | ")
"""
    (tmp_path / "program.py").write_text(program)
    return run(tmp_path, "program.py")


def test_a_name_that_is_too_large_to_come_along_is_explained(tmp_path):
    code = "def the_try(own):\n    import __main__\n    return __main__.uses_big()"

    said = failure(tmp_path, code)

    assert said.startswith("NameError")
    assert "__main__.BIG did not come to this worker, since it is larger than" in said
    assert "Refer to BIG in the Sequence's own code" in said


def test_a_name_that_cannot_be_pickled_is_explained(tmp_path):
    code = """
import threading
LOCK = threading.Lock()
class Locked:
    lock = LOCK
def the_try(own):
    import __main__
    return __main__.Locked
"""

    said = failure(tmp_path, code)

    assert said.startswith("AttributeError | __main__.Locked did not come to this worker")
    assert "_thread.lock" in said


def test_a_name_that_the_script_does_not_have_is_an_attribute_error(tmp_path):
    said = failure(tmp_path, "the_try = missing")

    assert said.startswith("AttributeError | module '__main__' has no attribute 'no_such_name'")


def test_a_library_that_only_the_script_uses_is_not_imported_by_its_workers(tmp_path):
    (tmp_path / "heavy.py").write_text("class Module:\n    pass\n")
    code = """
import heavy
class Net(heavy.Module):
    pass
def train(net: heavy.Module) -> Net:
    return heavy.Module()
def the_try(own):
    before = "heavy" in sys.modules
    import __main__
    return before, __main__.Net.__mro__[1].__module__, "heavy" in sys.modules
"""

    assert failure(tmp_path, code) == "[(False, 'heavy', True)]\n"


def test_a_global_that_worker_init_binds_is_seen_by_the_sequence_in_every_epoch(tmp_path):
    code = """
CONNECTION = None
def connect(slot):
    global CONNECTION
    CONNECTION = f"connection {slot}"
class Own(Own):
    def on_epoch_end(self):
        self.path += "x"
def the_try(own):
    return CONNECTION, own.path
with OrderedEnqueuer(Own(""), workers=1, worker_init=connect) as enqueuer:
    TRIES[:] = [the_try]
    print(list(enqueuer), list(enqueuer))
sys.exit()
"""

    expected = "[('connection 0', '')] [('connection 0', 'x')]\n"
    assert failure(tmp_path, code) == expected


def test_a_global_and_a_class_attribute_that_a_hook_changes_arrive(tmp_path):
    code = """
SCALE = 1
class Setting:
    level = 1
class Own(Own):
    def on_epoch_end(self):
        global SCALE
        SCALE += 1
        Setting.level += 1
        Setting.new = Setting.level
        helper.bonus = SCALE
def the_try(own):
    import __main__
    kept = sys.__dict__.setdefault("kept", (Setting, helper))
    same = kept[0] is Setting is __main__.Setting and kept[1] is helper is __main__.helper
    return SCALE, Setting.level, getattr(Setting, "new", 0), getattr(helper, "bonus", 0), same
TRIES[:] = [the_try]
with OrderedEnqueuer(Own(""), workers=1) as enqueuer:
    print(list(enqueuer), list(enqueuer))
sys.exit()
"""

    assert failure(tmp_path, code) == "[(1, 1, 0, 0, True)] [(2, 2, 2, 2, True)]\n"


CHILDREN = """
import multiprocessing as mp
from seqloader import OrderedEnqueuer, Sequence
def child(queue, x):
    queue.put(2 * x)
class Own(Sequence):
    def __len__(self):
        return 2
    def __getitem__(self, index):
        context = mp.get_context("spawn")
        queue = context.SimpleQueue()
        process = context.Process(target=child, args=(queue, index))
        process.start()
        process.join()
        return process.exitcode or queue.get()
def main():
    with OrderedEnqueuer(Own(), workers=1) as enqueuer:
        print(list(enqueuer))
"""


def test_multiprocessing_in_a_worker_finds_a_script_with_a_guard(tmp_path):
    (tmp_path / "program.py").write_text(f"{CHILDREN}\nif __name__ == '__main__':\n    main()\n")

    assert run(tmp_path, "program.py") == "[0, 2]\n"


def test_a_child_of_multiprocessing_that_imports_an_unguarded_script_starts_no_workers(tmp_path):
    (tmp_path / "program.py").write_text(f"{CHILDREN}\nmain()\n")

    done = run_python("program.py", cwd=tmp_path)

    assert done.stdout == "[1, 1]\n"
    assert (
        "WorkerStartError: this process is a child of multiprocessing that is still" in done.stderr
    )
