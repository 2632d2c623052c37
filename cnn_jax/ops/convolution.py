"""Convolution as three primitives: a map that is linear in each argument, and its transposes.

The sum of x[p + t] w[t] g[p] over pixels p and taps t is linear in each of its three factors, and
its derivatives by them - ``convolve`` (x, w), ``input_gradient`` (g, w) and ``kernel_gradient``
(x, g) - are linear in two. The three are each other's transposes, so together they are closed
under every derivative, forward or reverse, of any order.

For the CPU, ``cnn_jax.ops.cpu`` says how they are computed; elsewhere it is XLA's convolution.
"""

import jax
from jax.interpreters import ad

from cnn_jax.ops import cpu
from cnn_jax.ops.geometry import Geometry
from cnn_jax.ops.primitive import bind, define

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def xla_convolve(x: jax.Array, w: jax.Array, *, geometry: Geometry) -> jax.Array:
    """Convolve with XLA's own operator."""
    return jax.lax.conv_general_dilated(
        x,
        w,
        geometry.stride,
        geometry.padding,
        rhs_dilation=geometry.dilation,
        dimension_numbers=_DIMENSIONS,
        feature_group_count=geometry.groups,
    )


def _xla_input_gradient(g, w, *, geometry: Geometry, size):
    channels = w.shape[2] * geometry.groups
    x = jax.typeof(g).update(shape=(g.shape[0], *size, channels))
    return jax.linear_transpose(lambda x: xla_convolve(x, w, geometry=geometry), x)(g)[0]


def _xla_kernel_gradient(x, g, *, geometry: Geometry, field):
    channels = x.shape[3] // geometry.groups
    w = jax.typeof(g).update(shape=(*field, channels, g.shape[3]))
    return jax.linear_transpose(lambda w: xla_convolve(x, w, geometry=geometry), w)(g)[0]


_convolve = define("convolve", xla_convolve, cpu=cpu.convolve, images=(True, False))
_input_gradient = define(
    "convolve_input_gradient",
    _xla_input_gradient,
    cpu=cpu.input_gradient,
    images=(True, False),
)
_kernel_gradient = define(
    "convolve_kernel_gradient",
    _xla_kernel_gradient,
    cpu=cpu.kernel_gradient,
    images=(False, False),
)


def convolve(x: jax.Array, w: jax.Array, *, geometry: Geometry) -> jax.Array:
    """Cross-correlate ``x`` [N, H, W, C] with ``w`` [kh, kw, C / groups, O]."""
    return bind(_convolve, x, w, geometry=geometry)


def input_gradient(g: jax.Array, w: jax.Array, *, geometry: Geometry, size) -> jax.Array:
    """Return the gradient of images of ``size``, given that of the result, ``g``."""
    return bind(_input_gradient, g, w, geometry=geometry, size=size)


def kernel_gradient(x: jax.Array, g: jax.Array, *, geometry: Geometry, field) -> jax.Array:
    """Return the gradient of filters of ``field``, given that of the result, ``g``."""
    return bind(_kernel_gradient, x, g, geometry=geometry, field=field)


# Each rule takes the cotangent of the result and gives that of the argument it is named after.
ad.defbilinear(
    _convolve,
    lambda ct, x, w, geometry: input_gradient(ct, w, geometry=geometry, size=x.aval.shape[1:3]),
    lambda ct, x, w, geometry: kernel_gradient(x, ct, geometry=geometry, field=w.aval.shape[:2]),
)
ad.defbilinear(
    _input_gradient,
    lambda ct, g, w, geometry, size: convolve(ct, w, geometry=geometry),
    lambda ct, g, w, geometry, size: kernel_gradient(
        ct, g, geometry=geometry, field=w.aval.shape[:2]
    ),
)
ad.defbilinear(
    _kernel_gradient,
    lambda ct, x, g, geometry, field: input_gradient(
        g, ct, geometry=geometry, size=x.aval.shape[1:3]
    ),
    lambda ct, x, g, geometry, field: convolve(x, ct, geometry=geometry),
)
