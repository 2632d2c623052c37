"""Pictures of what a classifier says: which classes it confuses, how far its confidence holds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnn_jax.runtime.atomic_file import written

NAMED = 30  # classes whose names are written at the axes


def confusion(counts: np.ndarray, names: Sequence[str], file: Path) -> None:
    """Draw a confusion matrix, each row the share of a true class that is told each class.

    Args:
        counts: int ``[classes, classes]``, true by predicted.
        names: of the classes.
        file: that is written.
    """
    from matplotlib.figure import Figure

    classes = len(counts)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = min(max(3.5, 0.42 * classes), 12.0)
    figure = Figure(figsize=(side + 2.0, side + 0.8), layout="constrained", dpi=120)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    axes.set(xlabel="predicted", ylabel="true")
    if classes <= NAMED:
        axes.set_xticks(range(classes), names, rotation=60, ha="right")
        axes.set_yticks(range(classes), names)
        for row, column in np.argwhere(counts > 0):
            dark = shares[row, column] > 0.5
            axes.text(
                *(column, row, f"{counts[row, column]}"),
                **{"ha": "center", "va": "center", "size": 7},
                color="white" if dark else "black",
            )
    with written(file) as temporary:
        figure.savefig(temporary)


def reliability(
    scores: np.ndarray, labels: np.ndarray, error: float, bins: int, file: Path
) -> None:
    """Draw accuracy against confidence by bins, and how many examples each has.

    Args:
        scores: probabilities ``[N, classes]``.
        labels: int ``[N]``.
        error: the expected calibration error, for the title.
        bins: of confidence, of equal width, that the error is over.
        file: that is written.
    """
    from matplotlib.figure import Figure

    known = ~np.isnan(scores).any(axis=1)
    confidence = scores[known].max(axis=1)
    right = scores[known].argmax(axis=1) == labels[known]
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    some = count > 0
    accuracy = np.bincount(place, right, bins)[some] / count[some]
    mean = np.bincount(place, confidence, bins)[some] / count[some]
    figure = Figure(figsize=(4.6, 5.2), layout="constrained", dpi=120)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    edges = (np.arange(bins) + 0.5) / bins
    axes.bar(edges[some], accuracy, 1 / bins, color="#0b6fa4", alpha=0.6, edgecolor="white")
    axes.plot([0, 1], [0, 1], color="#8c8c8c", linestyle="--", label="calibrated")
    axes.plot(mean, accuracy, "o", color="#c2410c", markersize=4, label="mean confidence")
    axes.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"expected calibration error {error:.4f}")
    axes.legend(frameon=False)
    below.bar(edges, count, 1 / bins, color="#8c8c8c")
    below.set(xlabel="confidence", ylabel="examples")
    for each in (axes, below):
        each.spines[["top", "right"]].set_visible(False)
    with written(file) as temporary:
        figure.savefig(temporary)
