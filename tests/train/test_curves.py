"""The picture of a run's curves: which points are drawn, and what is said of them."""

import dataclasses
from typing import Any

import pytest
from matplotlib.figure import Figure

from cnn_jax.tasks import Classification, Multilabel
from cnn_jax.train.curves import Caption, caption, draw, paint, whole_windows


def line(split: str, step: int, loss: float | None, accuracy: float) -> dict[str, Any]:
    return {"step": step, "split": split, "loss": loss, "accuracy": accuracy, "examples": 9}


# A line every 100 steps, and one over the 20 that are left.
LINES = [
    *(line("train", step, 2.0 - step / 200, 0.5 + step / 1000) for step in (100, 200, 300)),
    line("validation", 160, 1.0, 0.75),
    line("validation", 320, 0.8, 0.775),
    line("train", 320, 9.0, 0.1),
    line("test", 320, 0.9, 0.76),
]
ABOUT = Caption("lenet5 on MNIST", "cross-entropy (nats)", "augmented", epoch=160.0)


def painted(lines: list[dict[str, Any]], about: Caption = ABOUT) -> Figure:
    figure = Figure(layout="constrained")
    paint(figure, lines, about)
    figure.draw_without_rendering()
    return figure


def points(axes) -> dict[str, list[tuple[float, float]]]:
    """Return the drawn points by split."""
    return {each.get_label(): list(zip(*each.get_data(), strict=True)) for each in axes.get_lines()}


def legend(figure: Figure) -> list[str]:
    (found,) = figure.legends
    return [text.get_text() for text in found.get_texts()]


def test_the_drawn_points_are_those_of_whole_windows():
    loss, error = painted(LINES).axes
    assert points(loss)["train"] == [(100, 1.5), (200, 1.0), (300, 0.5)]
    assert [y for _, y in points(error)["train"]] == pytest.approx([40, 30, 20])
    assert points(loss)["validation"] == [(160, 1.0), (320, 0.8)]  # evaluated as a whole
    assert points(loss)["test"] == [(320, 0.9)]


@pytest.mark.parametrize(
    ("steps", "kept", "window"),
    [
        ([50, 100, 150], 3, 50),
        ([50, 100, 101], 2, 50),
        ([7], 1, 7),  # a run that is shorter than a window
        ([50, 60], 1, 50),
        ([50, 100, 300], 3, None),
        ([], 0, None),
    ],
)
def test_a_last_window_of_fewer_steps_is_left_out(steps, kept, window):
    lines = [line("train", step, 1.0, 0.5) for step in steps]
    assert whole_windows(lines) == (lines[:kept], window)


def test_axes_name_units_and_epochs():
    figure = painted(LINES)
    loss, error = figure.axes
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("step", "cross-entropy (nats)")
    assert (error.get_xlabel(), error.get_ylabel()) == ("step", "error (%)")
    assert figure.get_suptitle() == "lenet5 on MNIST"
    for axes in (loss, error):
        (top,) = axes.child_axes
        assert top.get_xlabel() == "epoch"
        low, high = axes.get_xlim()
        assert top.get_xlim() == pytest.approx((low / 160, high / 160))
    unknown = painted(LINES, dataclasses.replace(ABOUT, epoch=None))
    assert not any(axes.child_axes for axes in unknown.axes)


def test_the_legend_says_what_the_training_loss_is_of():
    assert legend(painted(LINES)) == [
        "train, augmented, mean of 100 steps",
        "validation, at the end 0.8000 nats, 22.50 %",
        "test, at the end 0.9000 nats, 24.00 %",
    ]
    smoothed = caption("", Classification(10, label_smoothing=0.1), {"flip": {}})
    assert legend(painted(LINES, smoothed))[0] == (
        "train, augmented, labels smoothed 0.1, mean of 100 steps"
    )
    mixed = caption("", Classification(10), {"mixup": {"alpha": 1.0}, "cutmix": {"alpha": 1.0}})
    assert legend(painted(LINES, mixed))[0] == "train, mixed by mixup and cutmix, mean of 100 steps"
    assert legend(painted(LINES, caption("", Classification(10), {})))[0] == (
        "train, mean of 100 steps"
    )


def test_a_task_names_its_loss_unless_a_subclass_has_another():
    class Squared(Classification):
        def example_loss(self, logits, batch, *, train):
            return (logits**2).sum(axis=-1)

    class Narrow(Multilabel):
        def _losses(self, outputs, batch, smoothing, *, train):
            return outputs.sum(axis=-1)

    assert caption("", Classification(3), {}).loss == "cross-entropy (nats)"
    assert caption("", Multilabel(3), {}).loss == "binary cross-entropy (nats)"
    assert {caption("", task, {}).loss for task in (Squared(3), Narrow(3), None)} == {"loss"}


def test_splits_are_told_apart_without_colour():
    looks = [
        (each.get_linestyle(), each.get_marker()) for each in painted(LINES).axes[0].get_lines()
    ]
    assert len(set(looks)) == 3
    assert len({style for style, _ in looks}) == 3


def test_a_loss_that_is_not_finite_leaves_a_gap():
    lines = [
        line("train", 1, 1.0, 0.5),
        line("train", 2, None, 0.5),
        line("validation", 2, None, 0),
    ]
    figure = painted(lines)
    assert [str(y) for _, y in points(figure.axes[0])["train"]] == ["1.0", "nan"]
    assert legend(figure)[1] == "validation"  # no number to tell


def test_metrics_of_ones_own_have_a_panel_and_a_line_a_split_each(tmp_path):
    lines = [
        {"step": 5, "split": "train", "real": 1.0, "fake": 2.0},
        {"step": 6, "split": "train", "real": 9.0, "fake": 9.0},
        {"step": 6, "split": "validation", "real": 3.0, "fake": 4.0},
    ]
    fake, real = painted(lines, Caption("gan")).axes
    assert (fake.get_ylabel(), real.get_ylabel()) == ("fake", "real")
    assert points(real) == {"train": [(5, 1.0)], "validation": [(6, 3.0)]}
    draw([], [tmp_path / "empty.png"], Caption())  # a run without a line has a picture, too
    assert (tmp_path / "empty.png").exists()
