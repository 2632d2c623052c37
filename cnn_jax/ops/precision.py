"""Which type sums are taken in: a reduction accumulates wide, divides there, and is cast once."""

from typing import Any

import jax
import jax.numpy as jnp


def accumulator(dtype: Any) -> Any:
    """Return the type that values of ``dtype`` are summed up in.

    Its own for float32, float64 and complex numbers, float32 for what is narrower; for integers
    and bools that in which jax takes their mean: float32, of 64 bits float64.
    """
    dtype = jnp.dtype(dtype)
    if jnp.issubdtype(dtype, jnp.inexact):
        return dtype if dtype.itemsize >= 4 else jnp.dtype(jnp.float32)
    return jnp.dtype(jnp.float64 if dtype.itemsize == 8 else jnp.float32)


def wide(a: jax.Array) -> jax.Array:
    """Return an array in the type that its values are summed up in."""
    return a.astype(accumulator(a.dtype))


def rounded(mean: jax.Array, dtype: Any) -> jax.Array:
    """Return a mean of values of ``dtype`` in that type; the mean of integers stays as it is."""
    return mean.astype(dtype) if jnp.issubdtype(dtype, jnp.inexact) else mean
