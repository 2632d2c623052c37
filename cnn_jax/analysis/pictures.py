"""Pictures: grids of panels and curves, drawn into PNG files."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cnn_jax.runtime.atomic_file import written

SIGNED, HEAT, GREY = "RdBu_r", "inferno", "gray"


@dataclasses.dataclass(frozen=True)
class Panel:
    """One image of a grid.

    Attributes:
        image: ``[H, W, 3]`` in 0..1, or ``[H, W]``, drawn in ``colours``.
        title: above it.
        colours: matplotlib's name of a colour map, for ``[H, W]``; grey from 0 to 1 unless given.
        limits: the values at the map's ends; those of the image unless given, symmetric around
            zero if the map is ``SIGNED``.
        under: an image ``[H, W, 3]`` in 0..1 that shows through; both cover the same area.
        bar: whether a colour bar stands beside it.
        box: (top, bottom, left, right), pixels of a frame drawn into it, last ones included.
    """

    image: np.ndarray
    title: str = ""
    colours: str | None = None
    limits: tuple[float, float] | None = None
    under: np.ndarray | None = None
    bar: bool = False
    box: tuple[float, float, float, float] | None = None


def draw(rows: Sequence[Sequence[Panel]], file: Path, title: str, *, side: float = 2.2) -> None:
    """Draw panels row by row, each about ``side`` inches wide."""
    from matplotlib.figure import Figure  # half a second's import

    columns = max(map(len, rows))
    shapes = [panel.image.shape for row in rows for panel in row]
    tall = max(height / width for height, width, *_ in shapes)
    tall *= 0.85 if any(panel.bar for row in rows for panel in row) else 1  # bars narrow a panel
    width = max(side * columns, 0.085 * len(title) + 0.5, 3.0)
    figure = Figure(
        figsize=(width, (side * min(tall, 2) + 0.35) * len(rows) + 0.45),
        layout="constrained",
        dpi=110,
    )
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, places in zip(rows, grid, strict=True):
        for panel, axes in zip(row, places, strict=False):
            _panel(figure, axes, panel)
    figure.suptitle(title, fontsize=10)
    _save(figure, file)


def _panel(figure, axes, panel: Panel) -> None:
    image = np.asarray(panel.image)
    height, width = image.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    if panel.under is not None:
        axes.imshow(np.clip(panel.under, 0, 1), extent=extent, interpolation="nearest")
    low, high = _limits(panel)
    shown = axes.imshow(
        np.clip(image, 0, 1) if image.ndim == 3 else image,
        cmap=panel.colours or GREY,
        vmin=low,
        vmax=high,
        alpha=0.55 if panel.under is not None else 1,
        extent=extent,
        interpolation="nearest",
    )
    if panel.box is not None:
        top, bottom, left, right = panel.box
        axes.plot(
            [left - 0.5, right + 0.5, right + 0.5, left - 0.5, left - 0.5],
            [top - 0.5, top - 0.5, bottom + 0.5, bottom + 0.5, top - 0.5],
            color="#17a2b8",
            linewidth=1.2,
        )
        axes.set(xlim=extent[:2], ylim=extent[2:])
    axes.set_title(panel.title, fontsize=8, pad=3)
    if panel.bar and image.ndim == 2:
        figure.colorbar(shown, ax=axes, shrink=0.75, pad=0.02).ax.tick_params(labelsize=6)


def _limits(panel: Panel) -> tuple[float, float]:
    if panel.limits is not None:
        return panel.limits
    if panel.colours is None:
        return 0, 1
    if panel.colours == SIGNED:
        most = float(np.abs(panel.image).max()) or 1.0
        return -most, most
    low, high = float(np.min(panel.image)), float(np.max(panel.image))
    return low, high if high > low else low + 1


@dataclasses.dataclass(frozen=True)
class Chart:
    """Curves over one pair of axes: name -> (x, y)."""

    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    xlabel: str
    ylabel: str
    log: bool = False
    ticks: Sequence[str] | None = None  # names of the places 0, 1, ...
    title: str = ""


def chart(charts: Sequence[Chart], file: Path, title: str, *, columns: int | None = None) -> None:
    """Draw charts side by side, so many a row; all of them in one if None."""
    from matplotlib.figure import Figure

    columns = min(columns or len(charts), len(charts))
    rows = -(-len(charts) // columns)
    size = max(5.2 * columns, 6), 3.9 * rows
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes in grid[len(charts) :]:
        axes.set_axis_off()
    for part, axes in zip(charts, grid[: len(charts)], strict=True):
        for name, (x, y) in part.curves.items():
            marker = "o" if len(x) < 40 else ""
            axes.plot(x, y, label=name, marker=marker, markersize=3, linewidth=1.3)
        axes.set(xlabel=part.xlabel, ylabel=part.ylabel)
        axes.set_title(part.title, fontsize=9)
        if part.log:
            axes.set_yscale("log")
        if part.ticks is not None:
            step = -(-len(part.ticks) // 30)
            places = range(0, len(part.ticks), step)
            axes.set_xticks(list(places), [part.ticks[i] for i in places], rotation=90, fontsize=6)
        axes.grid(visible=True, alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if len(part.curves) > 1:
            axes.legend(frameon=False, fontsize=7)
    figure.suptitle(title, fontsize=10)
    _save(figure, file)


def _save(figure, file: Path) -> None:
    with written(file) as temporary:
        figure.savefig(temporary)
