"""Units: what excites them most, found and made."""

from pathlib import Path

import numpy as np

from cnn_jax.analysis import deconvnet, maximise, pictures, reach
from cnn_jax.analysis.pictures import Panel
from cnn_jax.analysis.probe import unit_of
from cnn_jax.data.dataset import TEST
from cnn_jax.inspection.destination import Destination
from cnn_jax.inspection.subject import Subject, around_grey, colours, pixels_of, spread


def draw_deconvnet(subject: Subject, out: Destination) -> list[Path]:
    """Draw the patches that excite some units most, each above its projection."""
    probe, layer = subject.probe, subject.probe.layer(subject.layer, maps=True)
    part = subject.data().parts[TEST]
    units = (
        [unit_of(layer, probe.layers[layer], subject.unit)]
        if subject.unit is not None
        else (spread(range(probe.layers[layer][-1]), 4))
    )
    view, rows, labels = subject.views.get(layer), [], []
    most = deconvnet.top_activations(probe, layer, units, subject.batches(part), 6)
    for unit, best in zip(units, most, strict=True):
        chosen = pixels_of(part, [found.image for found in best])
        positions = np.array([found.position for found in best])
        down = deconvnet.project(probe, subject.normalise(chosen), layer, unit, positions)
        seen, projected = colours(chosen / 255), around_grey(np.asarray(down))
        above, below = [], []
        for found, image, back in zip(best, seen, projected, strict=True):
            top, bottom, left, right = reach.patch(view, found.position, image.shape[:2])
            crop = np.s_[top : bottom + 1, left : right + 1]
            name = subject.names[part.labels[found.image]]
            above.append(Panel(image[crop], f"{found.value:.2f}, {name}"))
            below.append(Panel(back[crop]))
        rows += [above, below]
        labels += [f"unit {unit}", "projected back"]
    files = out.files("deconvnet")
    title = f"what excites {layer} most (activation, class), in {len(part)} test images"
    pictures.draw(rows, files, f"{title}: {subject.title}", side=1.2, labels=labels)
    return files


def draw_maximise(subject: Subject, out: Destination) -> list[Path]:
    """Draw the images that maximise the classes' logits, or units of a layer."""
    probe, section = subject.probe, subject.config.data
    mean, std = np.array(section.mean, np.float32), np.array(section.std, np.float32)
    limits = (-mean / std, (1 - mean) / std)
    layer = None if subject.layer is None else probe.layer(subject.layer)
    if layer is None:
        units = list(range(min(section.classes, 12)))
    else:
        units = spread(range(probe.layers[layer][-1]), 12)
    if subject.unit is not None:
        shape = (section.classes,) if layer is None else probe.layers[layer]
        units = [unit_of(layer or "the output", shape, subject.unit)]
    images, values = maximise.maximise(probe, layer, units, seed=subject.seed, limits=limits)
    panels = []
    for unit, image, climbed in zip(
        units, subject.visible(images), np.asarray(values), strict=True
    ):
        name = subject.names[unit] if layer is None else f"unit {unit}"
        first, last = (round(float(value), 1) + 0.0 for value in (climbed[0], climbed[-1]))
        panels.append(Panel(image, f"{name}: {first} to {last}"))
    files = out.files("maximise")
    what = f"{layer} most (activation" if layer else "each class most (logit"
    title = f"what would excite {what}, at first and at last): {subject.title}"
    columns = min(len(panels), 6)
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    pictures.draw(rows, files, title, side=1.5)
    return files
