"""Measurements: receptive fields, behaviour under shifts; what training feeds, and how it went."""

from pathlib import Path

import numpy as np

from cnn_jax.analysis import pictures, reach, shifts
from cnn_jax.analysis.pictures import HEAT, Chart, Panel
from cnn_jax.data.dataset import TEST
from cnn_jax.inspection import batch_grid
from cnn_jax.inspection.destination import Destination
from cnn_jax.inspection.subject import Subject, pixels_of, spread
from cnn_jax.runs import captions
from cnn_jax.runtime.errors import BadInputError


def draw_receptive_field(subject: Subject, out: Destination) -> list[Path]:
    """Draw how much the middle of some layers depends on each pixel."""
    probe = subject.probe
    known = [name for name in probe.maps if name in subject.views]
    layers = [probe.layer(subject.layer)] if subject.layer else spread(known, 4)
    if not layers:
        raise BadInputError("--what=receptive-field: no layer puts out images")
    panels = []
    for layer in layers:
        found = reach.reach(probe, layer, subject.views.get(layer), seed=subject.seed)
        largest = found.slope.max() or 1
        sides = _sides(found.theory), _sides(found.measured), f"{found.effective:.1f}"
        text = f"{layer}\ntheory {sides[0]}, measured {sides[1]}\neffective {sides[2]}"
        panels.append(Panel(found.slope / largest, text, HEAT, box=found.theory, bar=True))
    files = out.files("receptive-field")
    title = f"what the middle of a layer sees, framed in theory: {subject.title}"
    pictures.draw([panels], files, title, side=2.4)
    return files


def _sides(box: reach.Extent | None) -> str:
    return "open" if box is None else f"{box[1] - box[0] + 1}x{box[3] - box[2] + 1}"


def draw_shifts(subject: Subject, out: Destination) -> list[Path]:
    """Draw how classes and layers follow an image that moves."""
    probe, part = subject.probe, subject.data().parts[TEST]
    x = np.asarray(subject.normalise(pixels_of(part, range(min(512, len(part))))))
    places = list(range(shifts.MOST + 1))
    same = shifts.consistency(probe, x, places)
    known = [n for n in probe.maps if n in subject.views and all(a.jump for a in subject.views[n])]
    known = [n for n in known if all(a.position is not None for a in subject.views[n])]
    errors = shifts.equivariance_error(probe, x[:64], spread(known, 6), subject.views, places)
    charts = [Chart({"": (places, list(100 * same))}, "shift (pixels)", "same class (%)")]
    if errors:  # a network without maps has none
        curves = {name: (places, list(found)) for name, found in errors.items()}
        charts.append(Chart(curves, "shift (pixels)", "equivariance error"))
    files = out.files("shifts")
    pictures.chart(charts, files, f"translation, {len(x)} test images: {subject.title}")
    return files


def draw_batch(subject: Subject, out: Destination) -> list[Path]:
    """Draw the first training batch, augmented, as the network gets it."""
    return batch_grid.draw(subject.data(), out)


def draw_curves(subject: Subject, out: Destination) -> list[Path]:
    """Draw the loss and the error of the whole run, as training and evaluation logged them."""
    files = out.files("curves")
    captions.draw_curves(subject.folder, files)
    return files
