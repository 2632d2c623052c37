"""Pictures of what a classifier says: which classes it confuses, how far its confidence holds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnn_jax.runtime import figures
from cnn_jax.runtime.colours import BLUE, GREY, SHARES, VERMILION

NAMED = 30  # classes whose names are written at the axes


def confusion(
    counts: np.ndarray, names: Sequence[str], files: Sequence[Path], title: str = ""
) -> None:
    """Draw a confusion matrix, each row the share of a true class that is told each class.

    Args:
        counts: int ``[classes, classes]``, true by predicted.
        names: of the classes.
        files: that are written, in the formats that their endings tell.
        title: above it.
    """
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = min(max(2.8, 0.36 * classes), 12.0)
    with figures.drawn(files, (side + 1.6, side + 0.9)) as figure:
        axes = figure.subplots()
        image = axes.imshow(
            shares, cmap=figures.colour_map(SHARES), vmin=0, vmax=1, interpolation="nearest"
        )
        figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
        axes.set(xlabel="predicted class", ylabel="true class", title=title)
        if classes <= NAMED:
            slanted = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
            long = any(len(name) > 2 for name in names)
            axes.set_xticks(range(classes), names, **slanted if long else {})
            axes.set_yticks(range(classes), names)
            for row, column in np.argwhere(counts > 0):
                axes.text(
                    *(column, row, f"{counts[row, column]}"),
                    **{"ha": "center", "va": "center", "size": 7},
                    color="white" if shares[row, column] > 0.5 else "black",
                )


def reliability(
    scores: np.ndarray,
    labels: np.ndarray,
    error: float,
    bins: int,
    files: Sequence[Path],
    title: str = "",
) -> None:
    """Draw accuracy against confidence by bins, and how many examples each has.

    Args:
        scores: probabilities ``[N, classes]``.
        labels: int ``[N]``.
        error: the expected calibration error, for the title.
        bins: of confidence, of equal width, that the error is over.
        files: that are written, in the formats that their endings tell.
        title: above it.
    """
    known = ~np.isnan(scores).any(axis=1)
    confidence = scores[known].max(axis=1)
    right = scores[known].argmax(axis=1) == labels[known]
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    some = count > 0
    accuracy = np.bincount(place, right, bins)[some] / count[some]
    mean = np.bincount(place, confidence, bins)[some] / count[some]
    with figures.drawn(files, (4.0, 4.6)) as figure:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        edges = (np.arange(bins) + 0.5) / bins
        look = {"color": BLUE, "alpha": 0.6, "edgecolor": "white"}
        axes.bar(edges[some], accuracy, 1 / bins, label="accuracy", **look)
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="calibrated")
        axes.plot(mean, accuracy, "o", color=VERMILION, label="mean confidence")
        figures.plain(axes, ylabel="accuracy")
        axes.set(xlim=(0, 1), ylim=(0, 1.03))
        axes.set_title(f"expected calibration error {error:.4f}")
        figure.legend(loc="outside lower center", ncols=3)
        below.bar(edges, count, 1 / bins, color=GREY)
        figures.plain(below, xlabel="confidence", ylabel="examples")
        if title:
            figure.suptitle(title)
