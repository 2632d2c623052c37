"""Which formulation computes a convolution on the CPU.

XLA's CPU convolution is good at wide stride-1 ones and slow at the others. The ratios in the
comments are its time over the formulation's (x86 with AVX-512, 2 cores, float32);
``experiments/benchmarks/operators.py`` measures them again.
"""

import math
from typing import Any

import jax

from cnn_jax.ops.cpu import banded, dense, depthwise
from cnn_jax.ops.geometry import Geometry

_SMALL = 1 << 22  # values of an input
_FEW = 1 << 16  # weights
_OF_CACHE = 2_000_000  # values of an output; a quarter of a cache of 32 MiB
_TINY = 8 * 8  # pixels of an output


def _is_pointwise(field, geometry: Geometry) -> bool:
    return field == (1, 1) and geometry.groups == 1 and geometry.padding == ((0, 0), (0, 0))


def _is_depthwise(w_shape, geometry: Geometry) -> bool:
    return 1 < geometry.groups == w_shape[3] and w_shape[2] == 1 and w_shape[0] * w_shape[1] <= 49


def _takes_shifts(x: jax.Array, g: jax.Array, field) -> bool:
    """Return whether a stride-1 kernel gradient is slow in XLA, which contracts all pixels at once.

    It is where the output's gradient outgrows the cache, where fields are tall and where maps are
    tiny. Where a field is about as tall as the map, though, shifts are mostly rows of zeros.
    """
    rows, columns = g.shape[1:3]
    outgrows_cache = g.size > _OF_CACHE and x.shape[3] >= 32
    tall, tiny = field[0] > field[1], rows * columns <= _TINY
    return (outgrows_cache or tall or tiny) and x.shape[1] < 2 * rows


def convolve(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array | None:
    """Return the convolution, or None where XLA's own is best."""
    compute = formulation(x.shape[2], w.shape, geometry)
    return None if compute is None else compute(x, w, geometry)


def formulation(columns: int, w_shape: tuple[int, ...], geometry: Geometry) -> Any:
    """Return the function that convolves images of so many columns; None where XLA's is best."""
    if _is_pointwise(w_shape[:2], geometry):
        return dense.pointwise  # 1.1 to 2.5
    if _is_depthwise(w_shape, geometry):
        return depthwise.depthwise  # 20 to 40
    if banded.takes(columns, w_shape, geometry) and w_shape[3] < 16:
        return banded.convolve  # 1.4 to 4
    return None


def input_gradient(g: jax.Array, w: jax.Array, geometry: Geometry, size) -> jax.Array | None:
    """Return the gradient of images of ``size``, or None where XLA's own is best."""
    if _is_pointwise(w.shape[:2], geometry):
        return dense.pointwise_input_gradient(g, w, geometry, size)  # 1.1 to 2.3
    if _is_depthwise(w.shape, geometry):
        return depthwise.depthwise_input_gradient(g, w, geometry, size)  # 30 to 180
    if banded.takes(size[1], w.shape, geometry):
        return banded.input_gradient(g, w, geometry, size)  # 1.4 to 5
    strided = max(geometry.stride) > 1
    if geometry.groups == 1 and strided:
        return dense.phased_input_gradient(g, w, geometry, size)  # 1.1 to 3
    return None


def kernel_gradient(x: jax.Array, g: jax.Array, geometry: Geometry, field) -> jax.Array | None:
    """Return the gradient of filters of ``field``, or None where XLA's own is best."""
    # Without a barrier XLA would keep the slices and paddings of the forward pass for this one.
    x = jax.lax.optimization_barrier(x)
    w_shape = (*field, x.shape[3] // geometry.groups, g.shape[3])
    if _is_pointwise(field, geometry):
        # The pixels that a stride keeps would be stored from the forward pass on, which small
        # networks feel in their peak memory and hardly in their time.
        few = math.prod(w_shape) <= _FEW
        if max(geometry.stride) > 1 and x.size <= _SMALL and few:
            return None
        return dense.pointwise_kernel_gradient(x, g, geometry)  # 2.7 to 5
    if _is_depthwise(w_shape, geometry):
        return depthwise.depthwise_kernel_gradient(x, g, geometry, field)  # 3 to 80
    if banded.takes(x.shape[2], w_shape, geometry):
        return banded.kernel_gradient(x, g, geometry, field)  # 1 to 3
    plain = geometry.groups == 1 and geometry.stride == geometry.dilation == (1, 1)
    if plain and _takes_shifts(x, g, field):
        return dense.shifts_kernel_gradient(x, g, geometry, field)  # 1 to 4
    return None
