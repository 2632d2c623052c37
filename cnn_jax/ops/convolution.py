"""Convolution as three primitives: a map that is linear in each argument, and its transposes.

The sum of x[p + t] w[t] g[p] over pixels p and taps t is linear in each of its three factors, and
its derivatives by them - ``convolve`` (x, w), ``input_gradient`` (g, w) and ``kernel_gradient``
(x, g) - are linear in two. The three are each other's transposes, so together they are closed
under every derivative, forward or reverse, of any order.

For the CPU, ``cnn_jax.ops.cpu`` says how they are computed, or oneDNN does it where ``native()`` is
in force; elsewhere it is XLA's convolution.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.interpreters import ad

from cnn_jax.ops import cpu
from cnn_jax.ops.cpu import onednn
from cnn_jax.ops.geometry import Geometry
from cnn_jax.ops.primitive import bind, define, is_native

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


class Maps(NamedTuple):
    """The three maps, computed by somebody."""

    convolve: Callable[..., jax.Array]
    input_gradient: Callable[..., jax.Array]
    kernel_gradient: Callable[..., jax.Array]


def _closed(prefix: str, on_cpu: Any, *, unrolled: bool = False, narrow: bool = False) -> Maps:
    """Return the maps as primitives whose derivatives are again among them.

    Args:
        prefix: of their names.
        on_cpu: has functions of the maps' names that compute them on the CPU.
        unrolled, narrow: see ``define``.
    """

    def made(name: str, default: Callable, cpu: Callable, images: tuple[bool, bool]):
        return define(
            prefix + name, default, cpu=cpu, images=images, unrolled=unrolled, narrow=narrow
        )

    forward = made("convolve", xla_convolve, on_cpu.convolve, (True, False))
    backward = made(
        "convolve_input_gradient", _xla_input_gradient, on_cpu.input_gradient, (True, False)
    )
    across = made(
        "convolve_kernel_gradient", _xla_kernel_gradient, on_cpu.kernel_gradient, (False, False)
    )

    def convolve(x, w, *, geometry: Geometry):
        return bind(forward, x, w, geometry=geometry)

    def input_gradient(g, w, *, geometry: Geometry, size):
        return bind(backward, g, w, geometry=geometry, size=size)

    def kernel_gradient(x, g, *, geometry: Geometry, field):
        return bind(across, x, g, geometry=geometry, field=field)

    # Each rule takes the cotangent of the result and gives that of the argument it is named after.
    ad.defbilinear(
        forward,
        lambda ct, x, w, geometry: input_gradient(ct, w, geometry=geometry, size=x.aval.shape[1:3]),
        lambda ct, x, w, geometry: kernel_gradient(
            x, ct, geometry=geometry, field=w.aval.shape[:2]
        ),
    )
    ad.defbilinear(
        backward,
        lambda ct, g, w, geometry, size: convolve(ct, w, geometry=geometry),
        lambda ct, g, w, geometry, size: kernel_gradient(
            ct, g, geometry=geometry, field=w.aval.shape[:2]
        ),
    )
    ad.defbilinear(
        across,
        lambda ct, x, g, geometry, field: input_gradient(
            g, ct, geometry=geometry, size=x.aval.shape[1:3]
        ),
        lambda ct, x, g, geometry, field: convolve(x, ct, geometry=geometry),
    )
    return Maps(convolve, input_gradient, kernel_gradient)


OURS = _closed("", cpu)
NATIVE = _closed("native_", onednn, unrolled=True, narrow=True)


def convolve(x: jax.Array, w: jax.Array, *, geometry: Geometry) -> jax.Array:
    """Cross-correlate ``x`` [N, H, W, C] with ``w`` [kh, kw, C / groups, O]."""
    return (NATIVE if is_native() else OURS).convolve(x, w, geometry=geometry)
