"""Learned filters and feature maps as tiles to look at."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn_jax.runtime.errors import BadInputError

CHANNELS = 12  # input channels of a filter that are shown, where they are no colours
FILTERS = 64  # filters or maps that are shown


def kernels(variables: Any) -> dict[str, np.ndarray]:
    """Return the convolutions' kernels ``[kh, kw, C, O]`` by layer, in the order of the tree."""
    found: dict[str, np.ndarray] = {}

    def visit(tree: Any, path: tuple[str, ...]) -> None:
        for name, value in tree.items():
            if isinstance(value, dict):
                visit(value, (*path, name))
            elif name == "kernel" and np.ndim(value) == 4:
                found["/".join(path)] = np.asarray(value)

    visit(variables["params"], ())
    return found


def kernel_of(variables: Any, layer: str | None) -> tuple[str, np.ndarray]:
    """Return the (name, kernel) of a convolution; the first with a field above 1x1 if None.

    Raises ``BadInputError`` with the list of convolutions.
    """
    known = kernels(variables)
    if not known:
        raise BadInputError("--what=filters: the network has no convolution")
    if layer is None:
        wide = [name for name, kernel in known.items() if kernel.shape[0] * kernel.shape[1] > 1]
        colours = [name for name in wide if known[name].shape[2] in (1, 3)]
        layer = (colours or wide or list(known))[0]
    if layer not in known:
        raise BadInputError(f"--layer={layer}: no such convolution; there are {', '.join(known)}")
    return layer, known[layer]


def filter_tiles(kernel: np.ndarray) -> tuple[np.ndarray, int]:
    """Return a kernel ``[kh, kw, C, O]`` as tiles in -1..1 and how many stand in a row.

    Filters of one channel are ``[O, kh, kw]``, of three, which are colours, ``[O, kh, kw, 3]``;
    with more channels a row is a filter and a column a channel. Each filter is divided by its
    largest absolute value, zero stays zero.
    """
    kernel = np.moveaxis(np.asarray(kernel, np.float32), -1, 0)[:FILTERS]
    largest = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True)
    kernel = kernel / np.where(largest > 0, largest, 1)
    channels = kernel.shape[-1]
    columns = int(np.ceil(np.sqrt(len(kernel))))
    if channels == 1:
        return kernel[..., 0], columns
    if channels == 3:
        return kernel, columns
    shown = np.moveaxis(kernel[..., :CHANNELS], -1, 1)
    return shown.reshape(-1, *shown.shape[2:]), min(channels, CHANNELS)


def map_tiles(maps: np.ndarray) -> np.ndarray:
    """Return feature maps ``[H, W, C]`` as tiles ``[C, H, W]`` in 0..1, each over its own range."""
    tiles = np.moveaxis(np.asarray(maps, np.float32), -1, 0)[:FILTERS]
    low = tiles.min(axis=(1, 2), keepdims=True)
    spread = tiles.max(axis=(1, 2), keepdims=True) - low
    return (tiles - low) / np.where(spread > 0, spread, 1)


def mosaic(tiles: Sequence[np.ndarray] | np.ndarray, columns: int, *, between: float) -> np.ndarray:
    """Return tiles ``[K, h, w]`` or ``[K, h, w, 3]`` as one image, row by row.

    Lines of one pixel of the value ``between`` separate them and fill the last row.
    """
    tiles = np.asarray(tiles)
    rows = -(-len(tiles) // columns)
    height, width = tiles.shape[1:3]
    canvas = np.full(
        (rows * (height + 1) + 1, columns * (width + 1) + 1, *tiles.shape[3:]), between, np.float32
    )
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        top, left = row * (height + 1) + 1, column * (width + 1) + 1
        canvas[top : top + height, left : left + width] = tile
    return canvas
