"""Pooling: what a window holds, summed up in one number."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import BadInputError
from cnn_jax.ops.geometry import Padding, Size, pads, pair


def _windows(x, window, stride, padding):
    size = pair(window, "window")
    if x.ndim != 4:
        raise BadInputError(f"pooling takes images [N, H, W, C], not {x.shape}")
    step = pair(window if stride is None else stride, "stride")
    (top, bottom), (left, right) = pads(padding, size)
    if x.shape[1] + top + bottom < size[0] or x.shape[2] + left + right < size[1]:
        raise BadInputError(f"a window of {size} does not fit into {x.shape} padded by {padding}")
    return (1, *size, 1), (1, *step, 1), ((0, 0), (top, bottom), (left, right), (0, 0))


def max_pool(
    x: jax.Array, window: Size, stride: Size | None = None, padding: Padding = 0
) -> jax.Array:
    """Return the largest value of each window, ``[N, H, W, C]`` to ``[N, H', W', C]``.

    ``stride`` is the window's size unless given; padded positions never win.
    """
    size, step, sides = _windows(x, window, stride, padding)
    return jax.lax.reduce_window(x, -np.inf, jax.lax.max, size, step, sides)


def avg_pool(
    x: jax.Array, window: Size, stride: Size | None = None, padding: Padding = 0
) -> jax.Array:
    """Return the mean of each window, ``[N, H, W, C]`` to ``[N, H', W', C]``.

    ``stride`` is the window's size unless given; padded positions count as zeros.
    """
    size, step, sides = _windows(x, window, stride, padding)
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, size, step, sides) / (size[1] * size[2])


def global_avg_pool(x: jax.Array) -> jax.Array:
    """Return the mean over all pixels, ``[N, H, W, C]`` to ``[N, C]`` (Lin et al. 2013, 3.2)."""
    return jnp.mean(x, axis=(1, 2))
