"""Convolution of few channels on small maps: whole rows times banded matrices.

A row of pixels is a vector, and sliding a filter's row over it a product with a banded (Toeplitz)
matrix, mostly zeros. One product for all rows does W / kw times the arithmetic, in the shape that
matrix products are fast in; with one or six channels nothing else is. A pixel that is not finite
spreads over its row.

LeNet-5 lives here. With fields of 3 the zeros cost more than the shape gains.
"""

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.ops.geometry import Geometry
from cnn_jax.ops.taps import pad_sides

MOST = 1 << 11  # values of a row of the input, times filters


def takes(wide: int, w_shape, geometry: Geometry) -> bool:
    """Return whether this is the formulation for maps so wide and such filters."""
    plain = geometry.groups == 1 and geometry.stride == geometry.dilation == (1, 1)
    _, kw, channels, filters = w_shape
    return plain and kw >= 5 and wide * channels * filters <= MOST


def convolve(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    """Return the convolution: every kh rows of x, times the band of all kh rows of w."""
    (n, _, wide, c), (kh, kw, _, o) = x.shape, w.shape
    rows, columns = geometry.output(x.shape[1:3], (kh, kw))
    band = jnp.einsum("abco,bwv->awcvo", w, _places(wide, columns, kw, geometry, x.dtype))
    y = _rows(x, kh, rows, geometry.padding[0]) @ band.reshape(kh * wide * c, columns * o)
    return y.reshape(n, rows, columns, o)


def input_gradient(g, w, geometry: Geometry, size) -> jax.Array:
    """Return the gradient of images of ``size``: the same with the transposed band."""
    (n, rows, columns, o), (kh, kw, c, _) = g.shape, w.shape
    top = geometry.padding[0][0]
    sides = (kh - 1 - top, size[0] - rows + top)
    band = jnp.einsum("abco,bwv->avowc", w[::-1], _places(size[1], columns, kw, geometry, g.dtype))
    x = _rows(g, kh, size[0], sides) @ band.reshape(kh * columns * o, size[1] * c)
    return x.reshape(n, *size, c)


def kernel_gradient(x, g, geometry: Geometry, field) -> jax.Array:
    """Return the gradient of filters: the band's gradient, summed along its diagonals."""
    (_, _, wide, c), (n, rows, columns, o) = x.shape, g.shape
    xs = _rows(x, field[0], rows, geometry.padding[0])
    band = (xs.T @ g.reshape(n * rows, columns * o)).reshape(field[0], wide, c, columns, o)
    return jnp.einsum("awcvo,bwv->abco", band, _places(wide, columns, field[1], geometry, x.dtype))


def _rows(x: jax.Array, kh: int, rows: int, sides: tuple[int, int]) -> jax.Array:
    """Return each ``kh`` rows in a row of a matrix, ``[N rows, kh W C]``."""
    x = pad_sides(x, (sides, (0, 0)))
    lines = x.reshape(*x.shape[:2], -1)
    together = jnp.concatenate([lines[:, a : a + rows] for a in range(kh)], axis=2)
    return together.reshape(x.shape[0] * rows, -1)


def _places(wide: int, columns: int, kw: int, geometry: Geometry, dtype) -> np.ndarray:
    """Return whether tap b of the window at column v is at pixel w, 0 or 1, ``[b, w, v]``."""
    b, w, v = np.ogrid[:kw, :wide, :columns]
    return (w == v + b - geometry.padding[1][0]).astype(dtype)
