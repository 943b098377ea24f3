"""What all plots have in common: drawn by matplotlib without a screen, with little ink."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["bare_axes", "picture"]


@contextmanager
def picture(path: Path, inches: tuple[float, float], dots_per_inch: int) -> Iterator[Any]:
    """A figure to draw on; it is written to `path` in the end, and a folder for it is made."""
    figure = Figure(figsize=inches, dpi=dots_per_inch, layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None} if path.suffix == ".png" else None)


def bare_axes(axes: Any, *, grid: str, without: Iterable[str]) -> None:
    """A grid behind everything, along one axis or none, and no spines at these sides."""
    if grid:
        axes.grid(axis=grid, color="#e0e0e0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[list(without)].set_visible(False)
