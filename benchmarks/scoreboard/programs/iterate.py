"""Take epochs from a loader, as most scripts do."""

from __future__ import annotations

from scoreboard.course import Course


def main() -> None:
    course = Course()
    course.run(course.sequence())


if __name__ == "__main__":
    main()
