"""A run's curves: what metrics.jsonl holds, drawn."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_jax.data.augment import TRANSFORMS, mixes
from cnn_jax.data.dataset import TEST, TRAIN, VALIDATION
from cnn_jax.runtime import colours, figures

Line = Mapping[str, Any]

LOSS = "loss"  # of which no more is known
NO_METRICS = {"step", "split", "examples", "learning_rate"}
# Told apart without colour, too: a plain line, a dashed one with marks, a point.
LOOKS: dict[str, dict[str, Any]] = {
    TRAIN: {"color": colours.ORANGE, "linestyle": "-", "zorder": 2},
    VALIDATION: {"color": colours.BLUE, "linestyle": "--", "zorder": 3},
    TEST: {
        "color": colours.VERMILION,
        "linestyle": "",
        "marker": "D",
        "markersize": 6,
        "zorder": 4,
    },
}
FEW = 30  # points that are marked each, so that even a single one is seen


@dataclasses.dataclass(frozen=True)
class Caption:
    """What a picture of a run's curves says beside the numbers.

    Attributes:
        title: above it.
        loss: of the loss's axis, with the unit.
        training: what the loss of training is of that the others are not: words that follow
            "train", such as "augmented".
        epoch: steps that an epoch has; unknown if None.
    """

    title: str = ""
    loss: str = LOSS
    training: str = ""
    epoch: float | None = None


def caption(title: str, task: Any, augment: Mapping[str, Any]) -> Caption:
    """Return the caption of a run that trains on a task, with these transforms by name."""
    words = []
    mixing = [name for name in augment if name in TRANSFORMS and mixes(name)]
    if len(mixing) < len(augment):
        words.append("augmented")
    if mixing:
        words.append(f"mixed by {' and '.join(mixing)}")
    if smoothing := getattr(task, "label_smoothing", 0):
        words.append(f"labels smoothed {smoothing:g}")
    return Caption(title, getattr(task, "loss_name", LOSS), ", ".join(words))


def whole_windows(lines: Sequence[Line]) -> tuple[list[Line], int | None]:
    """Return (lines, steps a window) of a training's lines, without a last one of fewer steps.

    Each line is a mean over the steps since the one before; the last may have few of them, whose
    mean strays. An only line stays. The steps are None where the windows differ, or are none.
    """
    ends = [0, *(line["step"] for line in lines)]
    sizes = [end - start for start, end in itertools.pairwise(ends)]
    if len(sizes) > 1 and sizes[-1] < sizes[-2]:
        lines, sizes = lines[:-1], sizes[:-1]
    return list(lines), sizes[0] if len(set(sizes)) == 1 else None


def draw(lines: Sequence[Line], files: Sequence[Path], about: Caption) -> None:
    """Draw loss and error against the step, one line a split, the test set as a point.

    Of a run that has no accuracy, each metric by itself.
    """
    with figures.drawn(files, _size(lines)) as figure:
        paint(figure, lines, about)


def paint(figure: Any, lines: Sequence[Line], about: Caption) -> None:
    """Draw the curves into an empty figure."""
    axes = figure.subplots(1, len(_panels(lines)), squeeze=False)[0]
    by_split = {split: [x for x in lines if x.get("split") == split] for split in LOOKS}
    by_split[TRAIN], window = whole_windows(by_split[TRAIN])
    for axis, name in zip(axes, _panels(lines), strict=True):
        for split, own in by_split.items():
            _line(axis, own, name, split)
        ylabel = {LOSS: about.loss, "accuracy": "error (%)"}.get(name, name)
        figures.plain(axis, xlabel="step", ylabel=ylabel)
        axis.set_xlim(left=0)
        if about.epoch is not None:
            _add_epochs(axis, about.epoch)
    if _is_classifier(lines):
        _scale(*axes)
    handles = {line.get_label(): line for axis in axes for line in axis.get_lines()}
    names = [_name(split, by_split[split], about, window) for split in handles]
    figure.legend(list(handles.values()), names, loc="outside lower center")
    figure.suptitle(about.title)


def _size(lines: Sequence[Line]) -> tuple[float, float]:
    return max(3.6 * len(_panels(lines)), 4.2), 3.9


def _is_classifier(lines: Sequence[Line]) -> bool:
    return any({LOSS, "accuracy"} <= line.keys() for line in lines)


def _panels(lines: Sequence[Line]) -> list[str]:
    """Return the metrics that are drawn, a panel each."""
    if _is_classifier(lines):
        return [LOSS, "accuracy"]
    return sorted({name for line in lines for name in line} - NO_METRICS) or [LOSS]


def _line(axes: Any, lines: Sequence[Line], metric: str, split: str) -> None:
    shown = [line for line in lines if metric in line]
    if not shown:
        return
    # What is not finite is written as None.
    values = [math.nan if line[metric] is None else line[metric] for line in shown]
    if metric == "accuracy":
        values = [100 * (1 - value) for value in values]
    marker = "o" if len(shown) < FEW else ""
    axes.plot([x["step"] for x in shown], values, label=split, **{"marker": marker} | LOOKS[split])


def _scale(loss: Any, error: Any) -> None:
    """Make the axes logarithmic."""
    loss.set_yscale("log")
    error.set_yscale("symlog", linthresh=1)  # zero errors have a place
    error.yaxis.set_major_formatter("{x:g}")
    error.set_ylim(0, 1.15 * error.get_ylim()[1])  # a mark on the edge would be cut


def _add_epochs(axes: Any, epoch: float) -> None:
    """Add an axis of epochs above that of steps."""
    top = axes.secondary_xaxis("top", functions=(lambda x: x / epoch, lambda x: x * epoch))
    top.set_xlabel("epoch")


def _name(split: str, lines: Sequence[Line], about: Caption, window: int | None) -> str:
    """Return what the legend calls a split's line: how it was measured, and its last values."""
    words = [split]
    if split == TRAIN:
        mean = "means over windows of steps" if window is None else f"mean of {window} steps"
        words += [*filter(None, [about.training]), mean]
    last = lines[-1] if lines else {}
    if split != TRAIN and last.get("accuracy") is not None and last.get(LOSS) is not None:
        unit = about.loss.partition("(")[2].removesuffix(")")
        told = f"{last[LOSS]:.4f} {unit}".strip()
        words.append(f"at the end {told}, {100 * (1 - last['accuracy']):.2f} %")
    return ", ".join(words)
