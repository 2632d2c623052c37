"""Pooling: what a window holds, summed up in one number."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.ops.arguments import at_least, images, is_known
from cnn_jax.ops.geometry import Geometry, Padding, Pads, Size, ceil_extra, pads, pair
from cnn_jax.ops.pooling import MOST_TAPS, lowest, max_windows, sum_windows, xla_windows
from cnn_jax.ops.precision import rounded, wide
from cnn_jax.ops.primitive import is_stock
from cnn_jax.runtime.errors import BadInputError


class _Windows(NamedTuple):
    size: tuple[int, int]
    geometry: Geometry  # with the pixels past the padding that ceil_mode adds
    padding: Pads  # without them


def _windows(name, x, window, stride, padding, ceil_mode) -> _Windows:
    size = pair(window, "window")
    step = pair(window if stride is None else stride, "stride")
    sides = pads(padding, size)
    if not all(at_least(2 * max(sides[i]), size[i]) for i in range(2)):
        raise BadInputError(
            f"{name}: padding={sides} is more than half of a window of {size}, "
            "so that one could see nothing else"
        )
    spare = [stride - 1 if ceil_mode else 0 for stride in step]
    reach = [x.shape[1 + i] + sum(sides[i]) + spare[i] - size[i] for i in range(2)]
    if not at_least(0, *reach):
        raise BadInputError(
            f"{name}: a window of {size} does not fit into x {x.shape} with padding={sides}"
        )
    (top, bottom), (left, right) = sides
    if ceil_mode:
        bottom += ceil_extra(x.shape[1], size[0], step[0], sides[0])
        right += ceil_extra(x.shape[2], size[1], step[1], sides[1])
    return _Windows(size, Geometry(step, ((top, bottom), (left, right))), sides)


def max_pool(
    x: jax.Array,
    window: Size,
    *,
    stride: Size | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
) -> jax.Array:
    """Return the largest value of each window, ``[N, H, W, C]`` to ``[N, H', W', C]``.

    Args:
        x: images ``[N, H, W, C]``.
        window: pixels a window covers, an int or (rows, columns).
        stride: pixels the window moves by; the window's size unless given.
        padding: as for ``conv2d``, of at most half a window on each side; padded positions never
            win.
        ceil_mode: round sizes up, so that a last window may reach over the edge (for networks
            imported from PyTorch).

    Raises:
        BadInputError: a window larger than the padded input; complex numbers.
    """
    x = images("max_pool", x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise BadInputError(f"max_pool compares real numbers, not {x.dtype}")
    windows = _windows("max_pool", x, window, stride, padding, ceil_mode)
    how = {"field": windows.size, "geometry": windows.geometry}
    if is_stock(x) or windows.size[0] * windows.size[1] > MOST_TAPS:
        return xla_windows(x, lowest(x.dtype), jax.lax.max, **how)
    return max_windows(x, **how)


def avg_pool(
    x: jax.Array,
    window: Size,
    *,
    stride: Size | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> jax.Array:
    """Return the mean of each window, ``[N, H, W, C]`` to ``[N, H', W', C]``.

    Narrow floats are summed up and divided in float32 and rounded once. The mean of integers and
    bools is a float32, as in Flax; PyTorch pools no integers but those of 64 bits.

    Args:
        x: images ``[N, H, W, C]``.
        window: pixels a window covers, an int or (rows, columns).
        stride: pixels the window moves by; the window's size unless given.
        padding: as for ``max_pool``.
        ceil_mode: as for ``max_pool``; pixels past the padding are never counted.
        count_include_pad: whether padded positions count as zeros; else they are left out.

    Raises:
        BadInputError: a window larger than the padded input.
    """
    x = images("avg_pool", x)
    windows = _windows("avg_pool", x, window, stride, padding, ceil_mode)
    how = {"field": windows.size, "geometry": windows.geometry}
    values = wide(x)
    if is_stock(x):
        total = xla_windows(values, np.zeros((), values.dtype), jax.lax.add, **how)
    else:
        total = sum_windows(values, **how)
    counts = [
        _counted(x.shape[1 + i], windows, i, count_include_pad, total.shape[1 + i])
        for i in range(2)
    ]
    count = (counts[0][:, None] * counts[1][None, :])[None, :, :, None]
    return rounded(total / jnp.asarray(count, total.dtype), x.dtype)


def _counted(n, windows: _Windows, axis, count_include_pad, outputs):
    """Return how many pixels, one at least, each window counts along one axis."""
    xp = np if is_known(n) and is_known(outputs) else jnp
    before, after = windows.padding[axis]
    starts = xp.arange(outputs) * windows.geometry.stride[axis] - before
    stops = starts + windows.size[axis]
    low, high = (-before, n + after) if count_include_pad else (0, n)
    return xp.minimum(stops, high) - xp.maximum(starts, low)


def global_avg_pool(x: jax.Array) -> jax.Array:
    """Return the mean over all pixels, ``[N, H, W, C]`` to ``[N, C]`` (Lin et al. 2013, 3.2).

    Types as for ``avg_pool``.
    """
    x = images("global_avg_pool", x)
    return rounded(jnp.mean(wide(x), axis=(1, 2)), x.dtype)
