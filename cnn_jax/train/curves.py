"""curves.png: what metrics.jsonl holds, drawn."""

import math
from pathlib import Path
from typing import Any

from cnn_jax.data.dataset import TEST, TRAIN, VALIDATION
from cnn_jax.runtime.atomic_file import written

COLOURS = {TRAIN: "#8c8c8c", VALIDATION: "#0b6fa4", TEST: "#c2410c"}
NO_METRICS = {"step", "split", "examples", "learning_rate"}


def draw(lines: list[dict[str, Any]], file: Path, title: str) -> None:
    """Draw loss and error against the step, one line a split, the test set as a point.

    Of a run that has no accuracy, each metric by itself.
    """
    from matplotlib.figure import Figure  # half a second's import, at the end of a run

    named = any({"loss", "accuracy"} <= line.keys() for line in lines)
    own = sorted({name for line in lines for name in line} - NO_METRICS)
    count = 2 if named else max(len(own), 1)
    figure = Figure(figsize=(4.5 * count, 3.6), layout="constrained", dpi=120)
    axes = figure.subplots(1, count, squeeze=False)[0]
    if named:
        _loss_and_error(lines, *axes)
    else:
        for axis, name in zip(axes, own, strict=False):
            shown = [line for line in lines if line.get(name) is not None]
            axis.plot([line["step"] for line in shown], [line[name] for line in shown])
            axis.set(xlabel="step", ylabel=name)
            axis.grid(visible=True, alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    with written(file) as temporary:
        figure.savefig(temporary)


def _loss_and_error(lines: list[dict[str, Any]], loss: Any, error: Any) -> None:
    for split, colour in COLOURS.items():
        own = [x for x in lines if x.get("split") == split and {"loss", "accuracy"} <= x.keys()]
        if not own:
            continue
        steps = [line["step"] for line in own]
        # Few points are marked, or a single one would not be seen.
        style: dict[str, Any] = {"color": colour, "marker": "o" if len(own) < 30 else ""}
        style |= {"markersize": 8 if split == TEST else 4}
        # What is not finite is written as None.
        losses = [math.nan if x.get("loss") is None else x["loss"] for x in own]
        loss.plot(steps, losses, label=f"{split} {losses[-1]:.4f}", **style)
        percent = [100 * (1 - x["accuracy"]) for x in own]
        error.plot(steps, percent, label=f"{split} {percent[-1]:.2f} %", **style)
    for axes, name in ((loss, "loss"), (error, "error (%)")):
        axes.set(xlabel="step", ylabel=name)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    loss.set_yscale("log")
    error.set_yscale("symlog", linthresh=1)  # logarithmic, and zero errors have a place
    error.yaxis.set_major_formatter("{x:g}")
    error.set_ylim(bottom=0)
