"""Filters and feature maps."""

import math
from pathlib import Path

import jax
import numpy as np

from cnn_jax.analysis import filters, pictures
from cnn_jax.analysis.pictures import MAGNITUDES, SIGNED, Panel
from cnn_jax.inspection.destination import Destination
from cnn_jax.inspection.subject import Subject, spread
from cnn_jax.runtime.errors import BadInputError


def draw_filters(subject: Subject, out: Destination) -> list[Path]:
    """Draw a convolution's filters."""
    layer, kernel = filters.kernel_of(subject.probe.variables, subject.layer)
    tiles, columns = filters.filter_tiles(kernel)
    image = filters.mosaic(tiles, columns, between=-1 if tiles.ndim == 4 else 0)
    shape = "x".join(map(str, kernel.shape))
    shown = f"{min(kernel.shape[3], filters.FILTERS)} of {kernel.shape[3]} filters"
    if tiles.ndim == 4:
        panel = Panel((image + 1) / 2, f"{layer}: {shape}, {shown}; grey is zero")
    else:
        rows = kernel.shape[2] > 1
        order = f"\na filter a row, its first {columns} channels" if rows else ""
        text = f"{layer}: {shape}, {shown}{order}"
        panel = Panel(image, text, SIGNED, limits=(-1, 1), bar=True)
    files = out.files("filters")
    pictures.draw([[panel]], files, f"filters of {subject.title}", side=4.5)
    return files


def draw_feature_maps(subject: Subject, out: Destination) -> list[Path]:
    """Draw the maps of a layer, or of three, for three images."""
    known = list(subject.probe.maps)
    layers = [subject.probe.layer(subject.layer, maps=True)] if subject.layer else spread(known, 3)
    if not layers:
        raise BadInputError("--what=feature-maps: no layer puts out images")
    read = jax.jit(lambda x: subject.probe.read(x, layers)[1])(subject.x[:3])
    shapes = {name: "x".join(map(str, subject.probe.layers[name])) for name in layers}
    columns = ["image", *(f"{name}\n{shape}" for name, shape in shapes.items())]
    rows = []
    for image, original in enumerate(subject.originals()[:3]):
        row = [original]
        for layer in layers:
            tiles = filters.map_tiles(np.asarray(read[layer][image]))
            mosaic = filters.mosaic(tiles, math.isqrt(len(tiles) - 1) + 1, between=0.25)
            row.append(Panel(mosaic, colours=MAGNITUDES))
        rows.append(row)
    files = out.files("feature-maps")
    title = f"feature maps of {subject.title}, each over its own range"
    pictures.draw(
        rows, files, title, side=2.4, columns=columns, labels=subject.verdicts()[: len(rows)]
    )
    return files
