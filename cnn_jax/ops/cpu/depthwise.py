"""Depthwise convolution as elementwise work: shift, multiply, add."""

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops.geometry import Geometry
from cnn_jax.ops.taps import cover, pad_sides, shifted, spread, taps

_BLOCK = 8  # columns at most; 2 and 4 were slower, 14 as slow as whole rows of 14


def depthwise(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    """Convolve each channel with its own filter; ``w`` is ``[kh, kw, 1, C]``."""
    field = w.shape[:2]
    size = geometry.output(x.shape[1:3], field)
    x = pad_sides(x, geometry.padding)
    terms = [shifted(x, tap, size, geometry) * w[tap][None, None] for tap in taps(field)]
    return sum(terms[1:], terms[0])


def depthwise_input_gradient(g, w, geometry: Geometry, size) -> jax.Array:
    """Return the input gradient of ``depthwise``, phase by phase where it is strided."""
    field = w.shape[:2]
    sides = cover(g.shape[1:3], size, field, geometry)
    g = pad_sides(g, sides)
    return spread(lambda tap, cut: cut(g) * w[tap][None, None], sides, size, field, geometry)


def depthwise_kernel_gradient(x, g, geometry: Geometry, field) -> jax.Array:
    """Return the kernel gradient of ``depthwise``: one pass over x and g for all taps.

    Blocks of columns are summed first, [N, H, W, C] to [N, H, W / block, C] for each tap. All
    channels of a block stay in the cache while its columns are added; those of a whole row, whose
    columns lie a power of two apart, push each other out.
    """
    n, h, w, c = g.shape
    block = next((d for d in range(_BLOCK, 1, -1) if w % d == 0), w)
    x = pad_sides(x, geometry.padding)

    def blocks(image: jax.Array) -> jax.Array:
        return image.reshape(n, h, w // block, block, c)

    cut = blocks(g)
    products = tuple(blocks(shifted(x, tap, (h, w), geometry)) * cut for tap in taps(field))
    zeros = (jnp.zeros((), x.dtype),) * len(products)
    sums = lax.reduce(products, zeros, lambda a, b: tuple(map(lax.add, a, b)), (3,))
    return jnp.stack(sums).sum((1, 2, 3)).reshape(*field, 1, c)
