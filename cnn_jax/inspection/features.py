"""Filters and feature maps."""

from pathlib import Path

import jax
import numpy as np

from cnn_jax.analysis import filters, pictures
from cnn_jax.analysis.pictures import SIGNED, Panel
from cnn_jax.inspection.subject import Subject, spread
from cnn_jax.runtime.errors import BadInputError


def draw_filters(subject: Subject, folder: Path) -> list[Path]:
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
    file = folder / "filters.png"
    pictures.draw([[panel]], file, f"filters of {subject.title}", side=5.5)
    return [file]


def draw_feature_maps(subject: Subject, folder: Path) -> list[Path]:
    """Draw the maps of a layer, or of three, for three images."""
    known = list(subject.probe.maps)
    layers = [subject.probe.layer(subject.layer, maps=True)] if subject.layer else spread(known, 3)
    if not layers:
        raise BadInputError("--what=feature-maps: no layer puts out images")
    read = jax.jit(lambda x: subject.probe.read(x, layers)[1])(subject.x[:3])
    rows = []
    for image, original in enumerate(subject.originals()[:3]):
        row = [original]
        for layer in layers:
            tiles = filters.map_tiles(np.asarray(read[layer][image]))
            columns = int(np.ceil(np.sqrt(len(tiles))))
            size = "x".join(map(str, subject.probe.layers[layer]))
            mosaic = filters.mosaic(tiles, columns, between=0.25)
            row.append(Panel(mosaic, f"{layer}\n{size}", "viridis"))
        rows.append(row)
    file = folder / "feature-maps.png"
    title = f"feature maps of {subject.title}, each over its own range"
    pictures.draw(rows, file, title, side=3)
    return [file]
