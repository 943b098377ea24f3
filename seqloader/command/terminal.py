"""What commands and benchmarks show on a terminal, and what they print where there is none."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["add_rows", "bar", "plain_console", "print_table"]


def plain_console(width_redirected: int, *, stderr: bool = False) -> Console:
    """A console that takes texts as they are.

    Redirected output has no width of its own: a table folded to 80 columns cannot be read.
    """
    console = Console(highlight=False, markup=False, emoji=False, stderr=stderr)
    if not console.is_terminal:
        console.width = width_redirected
    return console


def add_rows(
    table: Table, rows: Iterable[Sequence[str | Text]], style: Callable[[str], str]
) -> None:
    """Rows whose cells are styled by what they say, unless they are styled already."""
    for row in rows:
        table.add_row(*(Text(c, style=style(c)) if isinstance(c, str) else c for c in row))


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    words: Iterable[str] = (),
    style: Callable[[str], str] = lambda cell: "",
    show_lines: bool = False,
    width_redirected: int = 170,
) -> None:
    """Print a table on standard output; the first column and those of `words` stand to the left."""
    table = Table(title=title, title_justify="left", show_lines=show_lines)
    left = {columns[0], *words}
    for column in columns:
        justify = "left" if column in left else "right"
        table.add_column(column, overflow="fold", justify=justify)  # type: ignore[arg-type]
    add_rows(table, rows, style)
    plain_console(width_redirected).print(table)


@contextmanager
def bar(
    console: Console, total: float, *columns: ProgressColumn
) -> Iterator[Callable[[str, float], None] | None]:
    """A bar, to be drawn with a description and how much is done; then it is gone.

    None where the console is no terminal. It draws when told to, not from a thread of its own:
    nothing shall compete with what is measured.
    """
    if not console.is_terminal:
        yield None
        return
    with Progress(
        BarColumn(bar_width=30),
        *columns,
        TextColumn("{task.description}", markup=False),
        console=console,
        auto_refresh=False,
        transient=True,
    ) as progress:
        task = progress.add_task("", total=total)

        def draw(description: str, done: float) -> None:
            progress.update(task, description=description, completed=done, refresh=True)

        yield draw
