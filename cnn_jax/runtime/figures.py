"""How the library draws: one style, fit for print, and one way to save it.

matplotlib is used through here alone, and imported when something is drawn.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from cnn_jax.runtime import colours
from cnn_jax.runtime.atomic_file import written
from cnn_jax.runtime.errors import BadInputError

PNG, PDF, SVG = FORMATS = ("png", "pdf", "svg")
DPI = 200  # of PNG files, and of what is made of pixels in the others

# Sizes are points of a figure that is printed as large as it is drawn.
STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.titlesize": 10,
    "figure.labelsize": 9,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "axes.linewidth": 0.8,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    # Publishers take no Type 3 fonts: TrueType goes in as it is. Text of an SVG stays text, which
    # can be searched and edited.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "cnn-jax",  # names within the file are the same every time
}
# A date would make another file of the same picture.
_METADATA: dict[str, dict[str, Any]] = {PNG: {}, PDF: {"CreationDate": None}, SVG: {"Date": None}}


def check_format(name: str, what: str = "format") -> None:
    """Raise ``BadInputError`` unless pictures can be written in a format; ``what`` asks for it."""
    if name not in FORMATS:
        raise BadInputError(f"{what}={name}: it has to be {one_of_formats()}")


def one_of_formats() -> str:
    """Return the formats as words."""
    return f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"


def format_of(file: Path) -> str:
    """Return the format that a file's ending names, whatever its case."""
    return file.suffix.lower().removeprefix(".")


@contextlib.contextmanager
def drawn(
    files: Sequence[Path],
    size: tuple[float, float],
    layout: Literal["constrained", "compressed"] = "constrained",
) -> Iterator[Any]:
    """Yield an empty figure; what is drawn into it is written to every one of the files.

    Each appears whole or not at all, and of the same bytes each time. The user's own settings of
    matplotlib change nothing.

    Args:
        files: whose endings tell their formats, of ``FORMATS``.
        size: of the figure, (width, height) in inches.
        layout: ``constrained``, so that nothing is cut; ``compressed`` for grids of images, which
            keeps them together, and the file ends where they do.
    """
    from matplotlib import style  # half a second's import
    from matplotlib.figure import Figure

    for file in files:
        check_format(format_of(file), str(file))
    with style.context(["default", STYLE]):
        figure = Figure(figsize=size, layout=layout, dpi=DPI)
        yield figure
        figure.draw_without_rendering()  # lays it out, once for all formats
        figure.set_layout_engine("none")
        for file in files:
            kind = format_of(file)
            with written(file) as temporary:
                figure.savefig(
                    temporary,
                    format=kind,
                    dpi=DPI,
                    metadata=_METADATA[kind],
                    bbox_inches="tight" if layout == "compressed" else None,
                    pad_inches=0.05,
                )


def colour_map(name: str) -> Any:
    """Return a colour map by matplotlib's name, or one of ``colours``' own."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    if name in (colours.SIGNED, colours.SHARES):
        return ListedColormap(colours.steps(name), name)
    return colormaps[name]


def count_in_log(axes: Any) -> None:
    """Make the axis below logarithmic, once everything is drawn: of counts, as 1.2 k or 3 M.

    Within a decade the ticks are few: matplotlib's own would run into each other.
    """
    from matplotlib.ticker import EngFormatter, MaxNLocator, NullLocator

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    if high < 10 * low:
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(EngFormatter())


def plain(axes: Any, **labels: str) -> None:
    """Give axes their labels and what every plot has: a faint grid, no frame around it."""
    axes.set(**labels)
    axes.set_axisbelow(True)
    axes.grid(visible=True)
    axes.spines[["top", "right"]].set_visible(False)
