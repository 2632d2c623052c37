"""Convolution of all channels as matrix products."""

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops.geometry import Geometry
from cnn_jax.ops.taps import cover, pad_sides, spread

_CHUNK_BYTES = 16 << 20


def contract_pixels(x: jax.Array, g: jax.Array) -> jax.Array:
    """Return the sum over pixels of x gᵀ, ``[C, O]``, for ``[N, H, W, C]`` and ``[N, H, W, O]``.

    As matrices: with three contracted axes XLA would transpose copies of both first.
    """
    return x.reshape(-1, x.shape[3]).T @ g.reshape(-1, g.shape[3])


def pointwise(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    """Convolve with a 1x1 field: one matrix product over the pixels that the stride keeps."""
    x = x[:, :: geometry.stride[0], :: geometry.stride[1]]
    return lax.dot_general(x, w[0, 0], (((3,), (0,)), ((), ())))


def pointwise_input_gradient(g, w, geometry: Geometry, size) -> jax.Array:
    """Return the input gradient of ``pointwise``: a product, then zeros between the pixels."""
    x = lax.dot_general(g, w[0, 0], (((3,), (1,)), ((), ())))
    rows, columns = (
        (0, size[i] - (g.shape[1 + i] - 1) * geometry.stride[i] - 1, geometry.stride[i] - 1)
        for i in range(2)
    )
    return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), rows, columns, (0, 0, 0)))


def pointwise_kernel_gradient(x, g, geometry: Geometry) -> jax.Array:
    """Return the kernel gradient of ``pointwise``: a product that contracts the pixels."""
    return contract_pixels(x[:, :: geometry.stride[0], :: geometry.stride[1]], g)[None, None]


def phased_input_gradient(g, w, geometry: Geometry, size) -> jax.Array:
    """Return the input gradient: one product with all taps, then their sums phase by phase."""
    kh, kw, c, o = w.shape
    sides = cover(g.shape[1:3], size, (kh, kw), geometry)
    products = lax.dot_general(g, w.reshape(kh * kw * c, o), (((3,), (1,)), ((), ())))
    # No pad_sides: each tap is read once, so padding inside the sums is cheaper than a copy.
    config = ((0, 0, 0), *((before, after, 0) for before, after in sides), (0, 0, 0))
    zero = jnp.zeros((), products.dtype)

    def term(tap, cut):
        first = (tap[0] * kw + tap[1]) * c
        return cut(lax.pad(products[..., first : first + c], zero, config))

    return spread(term, sides, size, (kh, kw), geometry)


def shifts_kernel_gradient(x, g, geometry: Geometry, field) -> jax.Array:
    """Return the kernel gradient at stride 1: columns shifted in x, rows in g, one product.

    Tap (a, b) is the product of x shifted by b columns and g shifted by -a rows, so kw copies of
    x and kh of g hold all kh kw taps, where im2col needs kh kw copies of x. The copies are made
    of some images at a time.
    """
    kh, kw = field
    (top, _), (left, right) = geometry.padding
    (n, h, _, c), (_, rows, columns, o) = x.shape, g.shape

    def product(x, g):
        x = pad_sides(x, ((0, 0), (left, right)))
        g = pad_sides(g, ((kh - 1 - top, h + top - rows), (0, 0)))
        wide = [x[:, :, b : b + columns] for b in range(kw)]
        tall = [g[:, kh - 1 - a : kh - 1 - a + h] for a in range(kh)]
        return contract_pixels(jnp.concatenate(wide, axis=3), jnp.concatenate(tall, axis=3))

    parts = _divisor(n, h * columns * (kw * c + kh * o) * n * x.dtype.itemsize // _CHUNK_BYTES)
    # Part i has every images[i::parts]: each device of a sharded batch works on its own.
    xs, gs = (a.reshape(n // parts, parts, *a.shape[1:]) for a in (x, g))

    def add(i, total):
        one = (lax.dynamic_index_in_dim(a, i, 1, keepdims=False) for a in (xs, gs))
        return total + product(*one)

    zero = jnp.zeros((kw * c, kh * o), x.dtype)
    total = product(x, g) if parts == 1 else lax.fori_loop(0, parts, add, zero)
    return total.reshape(kw, c, kh, o).transpose(2, 0, 1, 3)


def _divisor(n: int, least: int) -> int:
    """Return the smallest divisor of ``n`` that is at least ``least``, or ``n``."""
    return next(d for d in range(1, n + 1) if n % d == 0 and (d >= least or d == n))
