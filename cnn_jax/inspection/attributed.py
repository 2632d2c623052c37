"""Attribution: the images, and beside each which of its pixels speak for the class."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.analysis import attribution, pictures
from cnn_jax.analysis.pictures import HEAT, SIGNED, Panel
from cnn_jax.inspection.destination import Destination
from cnn_jax.inspection.subject import Subject, around_grey, colours


def _beside(
    subject: Subject,
    panels: Sequence[Panel],
    files: Sequence[Path],
    title: str,
    column: str,
    labels: Sequence[str] | None = None,
) -> list[Path]:
    """Draw a row an image: the image, and its panel to the right of it; return the files.

    Args:
        subject: whose images they are.
        panels: one an image.
        files: that are written.
        title: above all.
        column: what the panels show.
        labels: of the rows; what the images are and what the network says, if None.
    """
    rows = [[image, panel] for image, panel in zip(subject.originals(), panels, strict=True)]
    pictures.draw(
        rows,
        files,
        f"{title}: {subject.title}",
        side=1.7,
        columns=("image", column),
        labels=subject.verdicts() if labels is None else labels,
    )
    return list(files)


def _over(subject: Subject, maps: np.ndarray, colour: str) -> list[Panel]:
    """Return maps ``[N, H', W']`` over the images, with colour bars."""
    seen = colours(subject.pixels / 255)
    _, height, width, _ = seen.shape
    grey = seen.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    large = jax.image.resize(jnp.asarray(maps), (len(maps), height, width), "linear")
    return [
        Panel(np.asarray(one), colours=colour, under=under, bar=True)
        for one, under in zip(large, grey, strict=True)
    ]


def draw_saliency(subject: Subject, out: Destination) -> list[Path]:
    """Draw the largest gradient of each pixel over the images."""
    maps = attribution.saliency(subject.probe, subject.x, jnp.asarray(subject.classes))
    panels = _over(subject, np.asarray(maps), HEAT)
    files = out.files("saliency")
    return _beside(subject, panels, files, "saliency", "|d logit / d pixel|")


def draw_guided(subject: Subject, out: Destination) -> list[Path]:
    """Draw the guided gradient beside each image, in colours around grey."""
    found = attribution.guided_backprop(subject.probe, subject.x, jnp.asarray(subject.classes))
    panels = [Panel(image) for image in around_grey(np.asarray(found))]
    files = out.files("guided-backprop")
    return _beside(subject, panels, files, "guided backpropagation", "gradient, grey is zero")


def draw_integrated(subject: Subject, out: Destination) -> list[Path]:
    """Draw what each pixel adds to the logit, with the gap to completeness."""
    black = subject.normalise(np.zeros((1, *subject.probe.image_shape), np.uint8))[0]
    found, gap = attribution.integrated_gradients(
        subject.probe, subject.x, jnp.asarray(subject.classes), black
    )
    panels = [Panel(one, colours=SIGNED, bar=True) for one in np.asarray(found.sum(axis=-1))]
    labels = [
        f"{text}\ngap {float(left):+.1e}"
        for text, left in zip(subject.verdicts(), gap, strict=True)
    ]
    title, column = "integrated gradients from black", "share of the logit"
    return _beside(subject, panels, out.files("integrated-gradients"), title, column, labels)


def draw_grad_cam(subject: Subject, out: Destination) -> list[Path]:
    """Draw where a layer speaks for the class, over the images."""
    layer = subject.probe.layer(subject.layer, maps=True)
    maps = attribution.grad_cam(subject.probe, subject.x, jnp.asarray(subject.classes), layer)
    panels = _over(subject, np.asarray(maps), HEAT)
    return _beside(subject, panels, out.files("grad-cam"), f"Grad-CAM at {layer}", "Grad-CAM")


def draw_occlusion(subject: Subject, out: Destination) -> list[Path]:
    """Draw how much probability is lost where a square covers the image."""
    side = min(subject.probe.image_shape[:2])
    window, stride = max(side // 5, 1), max(side // 16, 1)
    maps = attribution.occlusion(
        subject.probe, subject.x, jnp.asarray(subject.classes), window=window, stride=stride
    )
    panels = _over(subject, maps, SIGNED)
    title = f"occlusion by {window}x{window} squares"
    return _beside(subject, panels, out.files("occlusion"), title, "loss of probability")
