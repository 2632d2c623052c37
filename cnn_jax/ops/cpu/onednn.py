"""Convolution by oneDNN: the library that PyTorch computes with on a CPU.

The three maps of ``ops.convolution`` as calls of the foreign function that ``build_onednn.load``
registers, of float32 and bfloat16. Others go to the other formulations.
"""

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.ops import cpu
from cnn_jax.ops.geometry import Geometry
from cnn_jax.ops.precision import wide

TARGET = "cnn_jax_convolve"

_FORWARD, _INPUT_GRADIENT, _KERNEL_GRADIENT = range(3)  # as in native/convolution.cc


def convolve(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array | None:
    """Return the convolution."""
    if not _takes(x, w):
        return cpu.convolve(wide(x), wide(w), geometry)
    shape = (x.shape[0], *geometry.output(x.shape[1:3], w.shape[:2]), w.shape[3])
    return _call(_FORWARD, x, w, shape, geometry)


def input_gradient(g: jax.Array, w: jax.Array, geometry: Geometry, size) -> jax.Array | None:
    """Return the gradient of images of ``size``."""
    if not _takes(g, w):
        return cpu.input_gradient(wide(g), wide(w), geometry, size)
    shape = (g.shape[0], *size, w.shape[2] * geometry.groups)
    return _call(_INPUT_GRADIENT, g, w, shape, geometry)


def kernel_gradient(x: jax.Array, g: jax.Array, geometry: Geometry, field) -> jax.Array | None:
    """Return the gradient of filters of ``field``."""
    if not _takes(x, g):
        return cpu.kernel_gradient(wide(x), wide(g), geometry, field)
    shape = (*field, x.shape[3] // geometry.groups, g.shape[3])
    return _call(_KERNEL_GRADIENT, x, g, shape, geometry)


def _takes(a: jax.Array, b: jax.Array) -> bool:
    return a.dtype == b.dtype and a.dtype in (jnp.float32, jnp.bfloat16)


def _call(which: int, a: jax.Array, b: jax.Array, shape, geometry: Geometry) -> jax.Array:
    (top, bottom), (left, right) = geometry.padding
    numbers = {
        "stride": geometry.stride,
        "low": (top, left),
        "high": (bottom, right),
        "dilation": geometry.dilation,
    }
    return jax.ffi.ffi_call(TARGET, jax.ShapeDtypeStruct(shape, a.dtype))(
        a,
        b,
        map=np.int64(which),
        groups=np.int64(geometry.groups),
        **{name: np.array(value, np.int64) for name, value in numbers.items()},
    )
