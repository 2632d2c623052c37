"""Pictures: grids of panels, and charts."""

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.runtime import figures
from cnn_jax.runtime.colours import HEAT, MAGNITUDES, SIGNED, SKY, look

__all__ = ["HEAT", "MAGNITUDES", "SIGNED", "Chart", "Panel", "chart", "draw", "paint"]

GREY = "gray"
OPAQUE = 0.55  # an overlay's share of the colour
SMALL = 8  # points of what is written at a panel


@dataclasses.dataclass(frozen=True)
class Panel:
    """One image of a grid.

    Attributes:
        image: ``[H, W, 3]`` in 0..1, or ``[H, W]``, drawn in ``colours``.
        title: above it.
        colours: the name of a colour map, matplotlib's or our own, for ``[H, W]``; grey from 0
            to 1 unless given.
        limits: the values at the map's ends; those of the image unless given, symmetric around
            zero if the map is ``SIGNED``.
        under: an image ``[H, W, 3]`` in 0..1 that shows through one that is ``[H, W]``.
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


def draw(
    rows: Sequence[Sequence[Panel]],
    files: Sequence[Path],
    title: str,
    *,
    side: float = 2.2,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> None:
    """Draw panels row by row.

    Args:
        rows: of panels; they need not be equally long.
        files: that are written, in the formats that their endings tell.
        title: above all of it.
        side: inches a panel is wide, about.
        columns: what stands above each column.
        labels: what stands to the left of each row.
    """
    with figures.drawn(files, _size(rows, side, labels), "compressed") as figure:
        paint(figure, rows, title, columns=columns, labels=labels)


def paint(
    figure: Any,
    rows: Sequence[Sequence[Panel]],
    title: str,
    *,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> None:
    """Draw panels into an empty figure, as ``draw`` says."""
    grid = figure.subplots(len(rows), max(map(len, rows)), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for index, (row, places) in enumerate(zip(rows, grid, strict=True)):
        for column, (panel, axes) in enumerate(zip(row, places, strict=False)):
            above = columns[column] if not index and columns else ""
            _panel(figure, axes, panel, above)
        if labels:
            look = {"ha": "right", "va": "center", "size": SMALL, "transform": places[0].transAxes}
            places[0].text(-0.06, 0.5, labels[index], **look)
    figure.suptitle(_folded(title, figure))


def _size(
    rows: Sequence[Sequence[Panel]], side: float, labels: Sequence[str]
) -> tuple[float, float]:
    """Return inches (width, height) of a figure of panels."""
    panels = [panel for row in rows for panel in row]
    tall = max(panel.image.shape[0] / panel.image.shape[1] for panel in panels)
    tall *= 0.85 if any(panel.bar for panel in panels) else 1  # bars narrow a panel
    lines = max(panel.title.count("\n") + bool(panel.title) for panel in panels)
    beside = 0.065 * max((len(line) for label in labels for line in label.split("\n")), default=0)
    width = max(side * max(map(len, rows)) + beside, 3.4)
    return width, (side * min(tall, 2) + 0.15 * lines + 0.06) * len(rows) + 0.6


def _folded(title: str, figure: Any) -> str:
    """Return a title in lines that a figure is wide enough for, broken behind a colon first."""
    most = max(int(figure.get_figwidth() / 0.076), 20)  # inches a character
    lines = [title] if len(title) <= most else title.replace(": ", ":\n").split("\n")
    return "\n".join(part for line in lines for part in textwrap.wrap(line, most))


def _panel(figure: Any, axes: Any, panel: Panel, above: str) -> None:
    image = np.asarray(panel.image)
    height, width = image.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    low, high = _limits(panel)
    colours = figures.colour_map(panel.colours or GREY)
    look = {"cmap": colours, "vmin": low, "vmax": high, "interpolation": "nearest"}
    shown = axes.imshow(np.clip(image, 0, 1) if image.ndim == 3 else image, extent=extent, **look)
    if panel.under is not None:
        # Mixed here: transparency is not the same in all formats.
        mixed = OPAQUE * shown.to_rgba(image)[..., :3] + (1 - OPAQUE) * np.clip(panel.under, 0, 1)
        shown.set_visible(False)
        axes.imshow(mixed, extent=extent, interpolation="nearest")
    if panel.box is not None:
        top, bottom, left, right = panel.box
        axes.plot(
            [left - 0.5, right + 0.5, right + 0.5, left - 0.5, left - 0.5],
            [top - 0.5, top - 0.5, bottom + 0.5, bottom + 0.5, top - 0.5],
            color=SKY,
            linewidth=1.2,
        )
        axes.set(xlim=extent[:2], ylim=extent[2:])
    axes.set_title("\n".join(filter(None, [above, panel.title])), fontsize=SMALL, pad=3)
    if panel.bar and image.ndim == 2:
        bar = figure.colorbar(shown, ax=axes, shrink=0.85, pad=0.02)
        bar.ax.tick_params(labelsize=7)


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


def chart(
    charts: Sequence[Chart], files: Sequence[Path], title: str, *, columns: int | None = None
) -> None:
    """Draw charts side by side, so many a row; all of them in one if None.

    ``files`` are written in the formats that their endings tell.
    """
    columns = min(columns or len(charts), len(charts))
    rows = -(-len(charts) // columns)
    size = max(3.6 * columns, 4.4), 3.0 * rows + 0.3
    with figures.drawn(files, size) as figure:
        grid = figure.subplots(rows, columns, squeeze=False).flat
        for axes in grid[len(charts) :]:
            axes.set_axis_off()
        for part, axes in zip(charts, grid[: len(charts)], strict=True):
            _chart(axes, part)
        figure.suptitle(_folded(title, figure))


def _chart(axes: Any, part: Chart) -> None:
    for index, (name, (x, y)) in enumerate(part.curves.items()):
        axes.plot(x, y, label=name, **look(index, len(x)))
    figures.plain(axes, xlabel=part.xlabel, ylabel=part.ylabel, title=part.title)
    if part.log:
        axes.set_yscale("log")
    if part.ticks is not None:
        step = -(-len(part.ticks) // 30)
        places = range(0, len(part.ticks), step)
        axes.set_xticks(list(places), [part.ticks[i] for i in places], rotation=90, fontsize=7)
    if len(part.curves) > 1:
        longest = max(len(name) for name in part.curves)
        abreast = max(44 // (longest + 7), 1)
        above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": abreast}
        axes.legend(**{} if part.title else above)
