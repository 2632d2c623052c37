"""Pooling to a fixed size, whatever the size of the input."""

import jax
import jax.numpy as jnp

from cnn_jax.ops.arguments import images, whole
from cnn_jax.ops.pool import avg_pool
from cnn_jax.ops.precision import rounded, wide


def adaptive_avg_pool(x: jax.Array, size: int) -> jax.Array:
    """Average ``x`` [N, H, W, C] into [N, size, size, C].

    Cell i of an axis of n pixels is the mean of pixels floor(i n / size) to ceil((i+1) n / size):
    windows overlap where ``size`` does not divide n, and repeat pixels where n < size. That is the
    rule of the layer by which torchvision's dense heads take images of any size. Types as for
    ``avg_pool``.
    """
    x, size = images("adaptive_avg_pool", x), whole("adaptive_avg_pool: size", size)
    height, width = x.shape[1:3]
    if height % size == 0 and width % size == 0:
        window = (height // size, width // size)
        return rounded(wide(x), x.dtype) if window == (1, 1) else avg_pool(x, window)
    y = wide(x)
    for axis in (1, 2):
        n = y.shape[axis]
        cells = [(i * n // size, -(-(i + 1) * n // size)) for i in range(size)]
        means = [
            jnp.mean(jax.lax.slice_in_dim(y, start, stop, axis=axis), axis=axis, keepdims=True)
            for start, stop in cells
        ]
        y = jnp.concatenate(means, axis=axis)
    return rounded(y, x.dtype)
