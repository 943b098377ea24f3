"""As `iterate`, with a Sequence and an exception that are defined in the script itself."""

from __future__ import annotations

from scoreboard.course import Course
from scoreboard.victims import Raises


class OwnError(Exception):
    """As users define them."""


class Own(Raises):
    def make_problem(self) -> Exception:
        return OwnError("page 7 is torn, on shelf north")


def main() -> None:
    course = Course()
    course.run(Own(**course.sequence_options()))


if __name__ == "__main__":
    main()
