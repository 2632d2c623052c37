"""Grids of images and charts: what stands where, in which colours, and under which name."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure

from cnn_jax.analysis import verdict_plots
from cnn_jax.analysis.pictures import HEAT, SIGNED, Chart, Panel, chart, draw, paint
from cnn_jax.runtime import figures

IMAGE = np.zeros((4, 4, 3))
OVERLAY = Panel(np.arange(16.0).reshape(4, 4), colours=HEAT, under=IMAGE, bar=True)


def painted(rows, **texts) -> Figure:
    figure = Figure(figsize=(5, 2.2 * len(rows)), layout="compressed")
    paint(figure, rows, "a title", **texts)
    figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_row_is_an_image_and_its_overlay_to_the_right(count):
    labels = [f"image {index}" for index in range(count)]
    figure = painted(
        [[Panel(IMAGE), OVERLAY]] * count, columns=("image", "Grad-CAM"), labels=labels
    )
    grid = figure.axes[: 2 * count]
    lefts, rights = grid[::2], grid[1::2]
    for left, right, label in zip(lefts, rights, labels, strict=True):
        image, overlay = left.get_position(), right.get_position()
        assert image.x1 < overlay.x0
        assert (image.y0, image.y1) == pytest.approx((overlay.y0, overlay.y1), abs=0.01)
        assert len(left.images) == 1
        (text,) = left.texts
        assert text.get_text() == label
        box = text.get_window_extent()
        assert 0 <= box.x0 < box.x1 < left.get_window_extent().x0  # beside the image, and not cut
    for above, below in itertools.pairwise(lefts):
        assert above.get_position().y0 > below.get_position().y1
        assert above.get_position().x0 == pytest.approx(below.get_position().x0, abs=0.01)
    titles = [axes.get_title() for axes in grid]
    assert titles == ["image", "Grad-CAM"] + [""] * (2 * count - 2)


def test_an_image_shows_through_its_overlay_in_the_same_way_in_all_formats(tmp_path):
    under = np.zeros((4, 4, 3))
    under[:2] = 1
    axes, _ = painted([[Panel(np.zeros((4, 4)), colours=HEAT, under=under, bar=True)]]).axes
    seen = axes.images[-1]
    assert seen.get_alpha() is None  # or PDF would mix otherwise than PNG
    pixels = np.asarray(seen.get_array())
    np.testing.assert_allclose(pixels[0, 0] - pixels[3, 0], np.full(3, 0.45), atol=1e-6)
    np.testing.assert_allclose(pixels[3, 0], [0, 0, 0.01], atol=0.01)  # magma's darkest


def test_a_long_title_is_broken_behind_its_colon_and_not_cut():
    title = "occlusion by 6x6 squares of the whole image: resnet20 on CIFAR-10, step 1170, averaged"
    figure = Figure(figsize=(4, 3), layout="constrained")
    paint(figure, [[Panel(IMAGE)]], title)
    first, second = figure.get_suptitle().split("\n")
    assert (first[-6:], second[:8]) == ("image:", "resnet20")
    figure.draw_without_rendering()
    assert figure._suptitle.get_window_extent().width < figure.bbox.width  # pyright: ignore


def test_signed_values_are_white_at_zero_and_magnitudes_even():
    panel = Panel(np.array([[-1.0, 0.0, 4.0]]), colours=SIGNED)
    (image,) = painted([[panel]]).axes[0].images
    assert image.get_clim() == (-4, 4)
    assert image.to_rgba(np.array([0.0]))[0, :3].min() > 0.95
    assert {OVERLAY.colours, HEAT} == {"magma"}


def test_charts_have_labels_legends_off_the_data_and_lines_unlike(tmp_path):
    curves = {f"line {index}": ([0, 1, 2], [index, 1, 2]) for index in range(3)}
    files = [tmp_path / f"chart.{kind}" for kind in figures.FORMATS]
    charts = [Chart(curves, "shift (pixels)", "same class (%)"), Chart({"": ([0], [1])}, "x", "y")]
    chart(charts, files, "charts")
    assert all(file.stat().st_size > 1000 for file in files)
    text = (tmp_path / "chart.svg").read_text()
    for word in ("shift (pixels)", "same class (%)", "line 0", "line 2", "charts"):
        assert f">{word}</text>" in text
    assert "stroke-dasharray" in text


def test_a_grid_is_drawn_in_every_format(tmp_path):
    files = [tmp_path / f"grid.{kind}" for kind in figures.FORMATS]
    draw([[Panel(IMAGE, "one"), OVERLAY], [Panel(IMAGE, "two")]], files, "a grid")
    first = {file.name: file.read_bytes() for file in files}
    draw([[Panel(IMAGE, "one"), OVERLAY], [Panel(IMAGE, "two")]], files, "a grid")
    assert {file.name: file.read_bytes() for file in files} == first


def test_verdicts_are_drawn_under_their_names(tmp_path):
    counts = np.array([[8, 2], [1, 9]])
    verdict_plots.confusion(counts, ["cat", "dog"], [tmp_path / "c.svg"], "lenet5 on MNIST, test")
    text = (tmp_path / "c.svg").read_text()
    for word in ("cat", "dog", "true class", "predicted class", "lenet5 on MNIST, test", "8", "2"):
        assert f">{word}</text>" in text
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]])
    labels = np.array([0, 1, 1])
    verdict_plots.reliability(
        scores, labels, 0.25, 5, [tmp_path / "r.svg"], "lenet5 on MNIST, test"
    )
    text = (tmp_path / "r.svg").read_text()
    for word in ("expected calibration error 0.2500", "confidence", "accuracy", "calibrated"):
        assert f">{word}</text>" in text
