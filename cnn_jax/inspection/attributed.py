"""Attribution: the images, and below them which of their pixels speak for the class."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.analysis import attribution, pictures
from cnn_jax.analysis.pictures import HEAT, SIGNED, Panel
from cnn_jax.inspection.subject import Subject, around_grey, colours


def _beside(subject: Subject, panels: Sequence[Panel], what: str, title: str, folder: Path):
    """Draw each image above its panel."""
    file = folder / f"{what}.png"
    pictures.draw([subject.originals(), panels], file, f"{title}: {subject.title}")
    return [file]


def _over(subject: Subject, maps: np.ndarray, colour: str, text: str) -> list[Panel]:
    """Return maps ``[N, H', W']`` over the images, with colour bars."""
    seen = colours(subject.pixels / 255)
    _, height, width, _ = seen.shape
    grey = seen.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    large = jax.image.resize(jnp.asarray(maps), (len(maps), height, width), "linear")
    return [
        Panel(np.asarray(one), f"{text} {self}", colour, under=under, bar=True)
        for one, under, self in zip(
            large, grey, (subject.names[c] for c in subject.classes), strict=True
        )
    ]


def draw_saliency(subject: Subject, folder: Path) -> list[Path]:
    """Draw the largest gradient of each pixel over the images."""
    maps = attribution.saliency(subject.probe, subject.x, jnp.asarray(subject.classes))
    panels = _over(subject, np.asarray(maps), HEAT, "for")
    return _beside(subject, panels, "saliency", "saliency, |d logit / d pixel|", folder)


def draw_guided(subject: Subject, folder: Path) -> list[Path]:
    """Draw the guided gradient below each image, in colours around grey."""
    found = attribution.guided_backprop(subject.probe, subject.x, jnp.asarray(subject.classes))
    panels = [
        Panel(image, f"for {subject.names[c]}")
        for image, c in zip(around_grey(np.asarray(found)), subject.classes, strict=True)
    ]
    title = "guided backpropagation, grey is zero"
    return _beside(subject, panels, "guided-backprop", title, folder)


def draw_integrated(subject: Subject, folder: Path) -> list[Path]:
    """Draw what each pixel adds to the logit, with the gap to completeness."""
    black = subject.normalise(np.zeros((1, *subject.probe.image_shape), np.uint8))[0]
    found, gap = attribution.integrated_gradients(
        subject.probe, subject.x, jnp.asarray(subject.classes), black
    )
    maps = np.asarray(found.sum(axis=-1))
    panels = [
        Panel(one, f"for {subject.names[c]}\ngap {float(left):+.1e}", SIGNED, bar=True)
        for one, c, left in zip(maps, subject.classes, gap, strict=True)
    ]
    title = "integrated gradients from black, in units of the logit"
    return _beside(subject, panels, "integrated-gradients", title, folder)


def draw_grad_cam(subject: Subject, folder: Path) -> list[Path]:
    """Draw where a layer speaks for the class, over the images."""
    layer = subject.probe.layer(subject.layer, maps=True)
    maps = attribution.grad_cam(subject.probe, subject.x, jnp.asarray(subject.classes), layer)
    panels = _over(subject, np.asarray(maps), "jet", "for")
    return _beside(subject, panels, "grad-cam", f"Grad-CAM at {layer}", folder)


def draw_occlusion(subject: Subject, folder: Path) -> list[Path]:
    """Draw how much probability is lost where a square covers the image."""
    side = min(subject.probe.image_shape[:2])
    window, stride = max(side // 5, 1), max(side // 16, 1)
    maps = attribution.occlusion(
        subject.probe, subject.x, jnp.asarray(subject.classes), window=window, stride=stride
    )
    panels = _over(subject, maps, SIGNED, "loss of")
    title = f"occlusion by {window}x{window} squares, loss of probability"
    return _beside(subject, panels, "occlusion", title, folder)
