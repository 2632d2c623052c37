"""Normalisation: over neighbouring channels, and over a batch."""

import jax
import jax.numpy as jnp

from cnn_jax.errors import BadInputError


def local_response_norm(
    x: jax.Array, size: int = 5, *, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
) -> jax.Array:
    """Divide each value by (k + alpha x the sum of squares of ``size`` channels)^beta.

    Krizhevsky et al. 2012, section 3.3: the channels around the value's own, cut at the ends;
    ``alpha`` is not divided by ``size``. ``[N, H, W, C]`` to the same shape.
    """
    if size < 1:
        raise BadInputError(f"local_response_norm sums over size >= 1 channels, not {size}")
    sides = (size // 2, (size - 1) // 2)
    window = (1,) * (x.ndim - 1) + (size,)
    squares = jax.lax.reduce_window(
        jnp.square(x), 0.0, jax.lax.add, window, (1,) * x.ndim, ((0, 0),) * (x.ndim - 1) + (sides,)
    )
    return x * (k + alpha * squares) ** -beta


def batch_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, *, epsilon: float = 1e-5
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalise each channel over all other axes (Ioffe and Szegedy 2015, algorithm 1).

    Args:
        x: ``[..., C]``.
        scale: gamma ``[C]``.
        bias: beta ``[C]``.
        epsilon: added to the variance.

    Returns:
        (y, mean, variance): y in the type of ``x``; the biased variance and the mean ``[C]`` in
        at least float32.
    """
    kept = jnp.promote_types(x.dtype, jnp.float32)
    axes = tuple(range(x.ndim - 1))
    wide = x.astype(kept)
    mean = jnp.mean(wide, axes)
    variance = jnp.mean(jnp.square(wide - mean), axes)
    y = (wide - mean) * (jax.lax.rsqrt(variance + epsilon) * scale) + bias
    return y.astype(x.dtype), mean, variance
