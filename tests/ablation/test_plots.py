"""A study's plots: what they leave out, and how arms are told apart."""

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cnn_jax.ablation import plots
from cnn_jax.data.dataset import TRAIN, VALIDATION
from cnn_jax.runtime import figures


def curve(error: float) -> list[dict[str, Any]]:
    """Return the lines of a run whose last window covers 5 of 20 steps."""
    errors = {20: error, 40: error / 2, 45: 90.0}
    lines = [(TRAIN, step, value) for step, value in errors.items()]
    lines += [(VALIDATION, 45, error / 4)]
    return [{"split": x, "step": y, "accuracy": 1 - value / 100} for x, y, value in lines]


def test_the_curves_leave_out_a_last_window_of_fewer_steps():
    arms: Any = [SimpleNamespace(name="narrow"), SimpleNamespace(name="wide")]
    outcomes: Any = {
        "narrow": {seed: SimpleNamespace(curve=curve(40.0 + seed)) for seed in (0, 2)},
        "wide": {0: SimpleNamespace(curve=curve(20.0))},
    }
    figure = Figure()
    plots._curves(figure, arms, outcomes)
    training, validation = figure.axes
    drawn = {line.get_label(): line for line in training.get_lines()}
    np.testing.assert_array_equal(drawn["narrow"].get_xdata(), [20, 40])
    means = np.asarray(drawn["narrow"].get_ydata(), float)  # of two seeds
    np.testing.assert_allclose(means, [41, 20.5])
    for line in validation.get_lines():
        np.testing.assert_array_equal(line.get_xdata(), [45])
    assert drawn["narrow"].get_linestyle() != drawn["wide"].get_linestyle()


def test_ticks_of_counts_do_not_run_into_each_other():
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot([1200, 2400], [1, 2], "o")
    figures.count_in_log(axes)
    figure.draw_without_rendering()
    low, high = axes.get_xlim()
    shown = [x for x in axes.get_xticklabels() if low <= x.get_position()[0] <= high]
    assert {"1.2 k", "2.4 k"} <= {text.get_text() for text in shown}
    boxes = [text.get_window_extent() for text in shown]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
