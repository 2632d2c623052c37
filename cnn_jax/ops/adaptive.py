"""Pooling to a fixed size, whatever the size of the input."""

import jax
import jax.numpy as jnp

from cnn_jax.errors import BadInputError
from cnn_jax.ops.pool import avg_pool


def adaptive_avg_pool(x: jax.Array, size: int) -> jax.Array:
    """Average ``x`` [N, H, W, C] into [N, size, size, C].

    Cell i of an axis of n pixels is the mean of pixels floor(i n / size) to ceil((i+1) n / size):
    windows overlap where ``size`` does not divide n, and repeat pixels where n < size. That is the
    rule of the layer by which torchvision's dense heads take images of any size.
    """
    if x.ndim != 4:
        raise BadInputError(f"adaptive_avg_pool takes images [N, H, W, C], not {x.shape}")
    height, width = x.shape[1:3]
    if height % size == 0 and width % size == 0:
        window = (height // size, width // size)
        return x if window == (1, 1) else avg_pool(x, window)
    for axis in (1, 2):
        n = x.shape[axis]
        cells = [(i * n // size, -(-(i + 1) * n // size)) for i in range(size)]
        means = [
            jnp.mean(jax.lax.slice_in_dim(x, start, stop, axis=axis), axis=axis, keepdims=True)
            for start, stop in cells
        ]
        x = jnp.concatenate(means, axis=axis)
    return x
