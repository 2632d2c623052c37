"""Depthwise convolution as elementwise work: shift, multiply, add."""

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops.geometry import Geometry
from cnn_jax.ops.taps import cover, pad_sides, shifted, spread, taps


def depthwise(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    """Convolve each channel with its own filter; ``w`` is ``[kh, kw, 1, C]``."""
    field = w.shape[:2]
    size = geometry.output(x.shape[1:3], field)
    x = pad_sides(x, geometry.padding)
    terms = [shifted(x, tap, size, geometry) * w[tap][0] for tap in taps(field)]
    return sum(terms[1:], terms[0])


def depthwise_input_gradient(g, w, geometry: Geometry, size) -> jax.Array:
    """Return the input gradient of ``depthwise``, phase by phase where it is strided."""
    field = w.shape[:2]
    sides = cover(g.shape[1:3], size, field, geometry)
    g = pad_sides(g, sides)
    return spread(lambda tap, cut: cut(g) * w[tap][0], sides, size, field, geometry)


def depthwise_kernel_gradient(x, g, geometry: Geometry, field) -> jax.Array:
    """Return the kernel gradient of ``depthwise``: one pass over x and g for all taps.

    Rows are summed first, [N, H, W, C] to [N, H, C] for each tap: a row of all channels stays in
    the cache while its columns are added.
    """
    x = pad_sides(x, geometry.padding)
    products = tuple(shifted(x, tap, g.shape[1:3], geometry) * g for tap in taps(field))
    zeros = (jnp.zeros((), x.dtype),) * len(products)
    rows = lax.reduce(products, zeros, lambda a, b: tuple(map(lax.add, a, b)), (2,))
    return jnp.stack(rows).sum((1, 2)).reshape(*field, 1, g.shape[3])
