"""What hooks make of a script's classes and functions, the workers of the next epoch have."""

from __future__ import annotations

import textwrap

from interpreter import run_python

SCRIPT = textwrap.dedent(
    """
    import sys
    from seqloader import OrderedEnqueuer, Sequence

    class Plain:
        name = "plain"

    class Bright:
        name = "bright"
        shine = True

    class Lamp(Plain):
        pass

    def scale(x):
        return x

    def other_scale(x):
        return 10 * x

    class Own(Sequence):
        lamp = Lamp()

        def __len__(self):
            return 2

        def __getitem__(self, index):
            return Lamp.name, hasattr(self.lamp, "shine"), [c.__name__ for c in Lamp.__mro__], scale(index)

        def on_epoch_end(self):
            Lamp.__bases__ = (Bright,)
            scale.__code__ = other_scale.__code__

    with OrderedEnqueuer(Own(), workers=int(sys.argv[1])) as enqueuer:
        print(list(enqueuer), list(enqueuer), list(enqueuer))
    """  # noqa: E501
)


def answers(directory, workers):
    done = run_python("program.py", workers, cwd=directory)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_other_bases_of_a_class_and_other_code_of_a_function_arrive(tmp_path):
    (tmp_path / "program.py").write_text(SCRIPT)

    inline = answers(tmp_path, workers=0)

    assert "bright" in inline
    assert answers(tmp_path, workers=1) == inline
