"""Pooling as primitives: sums of windows, and the first maximum of each.

The derivative of a maximum is a selection: the value at the position of the first maximum, in
row-major order, is passed on. Positions are kept as one small integer a window, which makes the
selection and its transpose sums of shifted images: no scatter, so repeated runs agree bit for
bit, on GPU too. Ties and NaN are treated as ``jax.lax`` does.

``geometry`` is that of the windows, with all padding; ``field`` their size.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.interpreters import ad

from cnn_jax.ops.geometry import Geometry
from cnn_jax.ops.primitive import bind, define
from cnn_jax.ops.taps import cover, pad_sides, shifted, spread, taps

# Positions are stored in a byte; windows of more pixels than this are left to XLA.
MOST_TAPS = 256

_UNROLLED_SUM = 49


def lowest(dtype) -> np.ndarray:
    """Return the value of ``dtype`` that loses against every other."""
    dtype = jnp.dtype(dtype)
    if dtype == jnp.bool_:
        return np.asarray(False)
    if not jnp.issubdtype(dtype, jnp.inexact):
        return np.asarray(jnp.iinfo(dtype).min, dtype)
    low = np.asarray(-np.inf, dtype)
    return low if np.isneginf(low.astype(np.float32)) else np.asarray(jnp.finfo(dtype).min, dtype)


def xla_windows(x: jax.Array, start, combine, *, field, geometry: Geometry) -> jax.Array:
    """Reduce windows with XLA's own operator."""
    strides, padding = (1, *geometry.stride, 1), ((0, 0), *geometry.padding, (0, 0))
    return lax.reduce_window(x, start, combine, (1, *field, 1), strides, padding)


def _views(x, field, geometry: Geometry, value):
    """Return what each tap sees, in row-major order."""
    size = geometry.output(x.shape[1:3], field)
    x = pad_sides(x, geometry.padding, value)
    return [shifted(x, tap, size, geometry) for tap in taps(field)]


def _max(x, *, field, geometry):
    first, *rest = _views(x, field, geometry, lowest(x.dtype))
    for view in rest:
        first = jnp.maximum(first, view)
    return first


def _first_max(x, *, field, geometry):
    first, *rest = _views(x, field, geometry, lowest(x.dtype))
    value, kept, index = first, first, jnp.zeros(first.shape, jnp.uint8)
    for i, view in enumerate(rest, 1):
        keep = kept >= view  # as in lax: False for NaN, so what follows a NaN replaces it
        kept = jnp.where(keep, kept, view)
        index = jnp.where(keep, index, np.uint8(i))
        value = jnp.maximum(value, view)
    return value, index


def _select(t, index, *, field, geometry, size):
    zero = jnp.zeros((), t.dtype)
    views = _views(t, field, geometry, 0)
    return sum(jnp.where(index == np.uint8(i), view, zero) for i, view in enumerate(views))


def _unselect(g, index, *, field, geometry, size):
    sides = cover(g.shape[1:3], size, field, geometry)
    g, index = pad_sides(g, sides), pad_sides(index, sides)
    zero = jnp.zeros((), g.dtype)

    def term(tap, cut):
        number = np.uint8(tap[0] * field[1] + tap[1])
        return jnp.where(cut(index) == number, cut(g), zero)

    return spread(term, sides, size, field, geometry)


def _xla_sum(x, *, field, geometry, size):
    return xla_windows(x, np.zeros((), x.dtype), lax.add, field=field, geometry=geometry)


def _xla_unsum(g, *, field, geometry, size):
    x = jax.typeof(g).update(shape=(g.shape[0], *size, g.shape[3]))

    def total(x):
        return _xla_sum(x, field=field, geometry=geometry, size=size)

    return jax.linear_transpose(total, x)(g)[0]


def _sum(x, *, field, geometry, size):
    if field[0] * field[1] > _UNROLLED_SUM:
        return None
    views = _views(x, field, geometry, 0)
    return sum(views[1:], views[0])


def _unsum(g, *, field, geometry, size):
    if field[0] * field[1] > _UNROLLED_SUM:
        return None
    sides = cover(g.shape[1:3], size, field, geometry)
    g = pad_sides(g, sides)
    return spread(lambda tap, cut: cut(g), sides, size, field, geometry)


_max_p = define("max_windows", _max, images=(True,))
_first_max_p = define("first_max_windows", _first_max, images=(True,), multiple_results=True)
_select_p = define("select_windows", _select, images=(True, True))
_unselect_p = define("unselect_windows", _unselect, images=(True, True))
_sum_p = define("sum_windows", _xla_sum, cpu=_sum, images=(True,))
_unsum_p = define("unsum_windows", _xla_unsum, cpu=_unsum, images=(True,))


def max_windows(x: jax.Array, *, field, geometry: Geometry) -> jax.Array:
    """Return the maximum of each window of ``x`` [N, H, W, C]."""
    return _max_p.bind(x, field=field, geometry=geometry)


def sum_windows(x: jax.Array, *, field, geometry: Geometry) -> jax.Array:
    """Return the sum of each window of ``x`` [N, H, W, C]."""
    return _sum_p.bind(x, field=field, geometry=geometry, size=x.shape[1:3])


def _max_jvp(primals, tangents, **params):
    (x,), (t,) = primals, tangents
    value, index = _first_max_p.bind(x, **params)
    return value, bind(_select_p, ad.instantiate_zeros(t), index, size=x.shape[1:3], **params)


def _first_max_jvp(primals, tangents, **params):
    (x,), (t,) = primals, tangents
    value, index = _first_max_p.bind(x, **params)
    t = bind(_select_p, ad.instantiate_zeros(t), index, size=x.shape[1:3], **params)
    return (value, index), (t, ad.Zero(jax.typeof(index).to_tangent_aval()))


def _transposed(prim):
    """Return the transpose rule of a primitive that is linear in its first argument."""

    def rule(ct, _, *rest, **params):
        nothing = (None,) * len(rest)
        return (ct if isinstance(ct, ad.Zero) else bind(prim, ct, *rest, **params), *nothing)

    return rule


def _linear(prim, transpose, *others):
    ad.defjvp(prim, lambda dt, t, *rest, **params: bind(prim, dt, *rest, **params), *others)
    ad.primitive_transposes[prim] = _transposed(transpose)


ad.primitive_jvps[_max_p] = _max_jvp
ad.primitive_jvps[_first_max_p] = _first_max_jvp
_linear(_select_p, _unselect_p, None)
_linear(_unselect_p, _select_p, None)
_linear(_sum_p, _unsum_p)
_linear(_unsum_p, _sum_p)
