"""Pixels in another order: all that an image says except where.

The control that takes spatial structure away: a network that looks at neighbourhoods loses what it
lives on, one that sees a list of numbers loses nothing.
"""

import numpy as np


def shuffled(images: np.ndarray, seed: int) -> np.ndarray:
    """Return images ``[..., H, W, C]`` with their pixels permuted, all in the same way.

    The permutation is drawn from ``seed`` and moves pixels whole, with all their channels.
    """
    *rest, height, width, channels = images.shape
    order = np.random.default_rng(seed).permutation(height * width)
    pixels = images.reshape(*rest, height * width, channels)
    return np.ascontiguousarray(pixels[..., order, :]).reshape(images.shape)
