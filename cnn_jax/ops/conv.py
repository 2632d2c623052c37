"""Convolution, as the field means it: cross-correlation with learned filters."""

from typing import Any

import jax
import jax.numpy as jnp

from cnn_jax.ops.arguments import array, as_whole, at_least, common_type, images, shown
from cnn_jax.ops.convolution import convolve, xla_convolve
from cnn_jax.ops.geometry import Geometry, Padding, Size, pads, pair
from cnn_jax.ops.primitive import is_stock
from cnn_jax.runtime.errors import BadInputError


def conv2d(
    x: jax.Array,
    w: jax.Array,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> jax.Array:
    """Cross-correlate images with filters.

    Args:
        x: images ``[N, H, W, C]``.
        w: filters ``[kh, kw, C / groups, O]``.
        stride: pixels that the window moves by, an int or (rows, columns).
        padding: 'same' ((f - 1) / 2 on each side, odd fields only), 'valid', an int for all
            sides, or pairs ((top, bottom), (left, right)); zeros are added.
        groups: how many groups the channels are split into; group g of the input channels
            makes group g of the output channels (Krizhevsky et al. 2012, section 3.2).
        dilation: distance of neighbouring taps in the input.

    Returns:
        ``[N, H', W', O]`` with H' = floor((H + pads - field) / stride) + 1, in the type that
        jax promotes the two to. Narrow floats are summed up in float32 and rounded once; integers
        wrap around as in PyTorch.

    Raises:
        BadInputError: shapes and arguments do not fit.
    """
    x, w = array("conv2d", x), array("conv2d", w)
    count = _groups(x, w, groups)
    geometry = Geometry(
        pair(stride, "stride"),
        pads(padding, w.shape[:2], dilation),
        count,
        pair(dilation, "dilation"),
    )
    if not at_least(1, *geometry.output(x.shape[1:3], w.shape[:2])):
        raise BadInputError(
            f"conv2d: a field of {w.shape[:2]} with dilation={geometry.dilation} does not fit into "
            f"x {x.shape} with padding={geometry.padding}"
        )
    dtype = common_type("conv2d", x, w)
    if dtype == jnp.bool_:
        raise BadInputError("conv2d multiplies numbers, not bool; cast x or w")
    x, w = x.astype(dtype), w.astype(dtype)
    x, geometry = _padded_apart(x, w.shape[:2], geometry)
    return (xla_convolve if is_stock(x, w) else convolve)(x, w, geometry=geometry)


def _groups(x: jax.Array, w: jax.Array, groups: Any) -> int:
    """Return the number of groups; raises ``BadInputError`` for shapes that do not fit it."""
    if x.ndim != 4 or w.ndim != 4:
        raise BadInputError(
            f"conv2d takes x [N, H, W, C] and w [kh, kw, C / groups, O], not {x.shape}, {w.shape}"
        )
    images("conv2d", x)
    if 0 in w.shape:
        raise BadInputError(f"conv2d: filters {w.shape} have no weights")
    count = as_whole(groups)
    if count is None or count < 1:
        raise BadInputError(f"conv2d: groups={shown(groups)} has to be an int of at least 1")
    if x.shape[3] != w.shape[2] * count or w.shape[3] % count:
        raise BadInputError(
            f"conv2d: x {x.shape} has {x.shape[3]} channels, w {w.shape} with groups={count} "
            f"takes {w.shape[2] * count} and makes {w.shape[3]}, to be a multiple of groups"
        )
    return count


def _padded_apart(
    x: jax.Array, field: tuple[int, ...], geometry: Geometry
) -> tuple[jax.Array, Geometry]:
    """Return images with the padding that exceeds the field, and the geometry without it.

    Padding beyond the field makes the input gradient a convolution with negative padding, whose
    last values XLA's CPU backend gets wrong (jaxlib 0.10.2).
    """
    reach = [(field[i] - 1) * geometry.dilation[i] for i in range(2)]
    inner = tuple((min(a, r), min(b, r)) for (a, b), r in zip(geometry.padding, reach, strict=True))
    if inner == geometry.padding:
        return x, geometry
    excess = [(a - c, b - d) for (a, b), (c, d) in zip(geometry.padding, inner, strict=True)]
    return jnp.pad(x, ((0, 0), *excess, (0, 0))), geometry._replace(padding=inner)


def convolve2d(
    x: jax.Array,
    w: jax.Array,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> jax.Array:
    """Convolve in the mathematical sense: ``conv2d`` with the filters' rows and columns flipped."""
    w = array("convolve2d", w)
    if w.ndim != 4:
        raise BadInputError(f"convolve2d takes filters [kh, kw, C / groups, O], not {w.shape}")
    return conv2d(
        x, w[::-1, ::-1], stride=stride, padding=padding, groups=groups, dilation=dilation
    )


def depthwise_conv2d(
    x: jax.Array, w: jax.Array, *, stride: Size = 1, padding: Padding = 0, dilation: Size = 1
) -> jax.Array:
    """Cross-correlate every channel of ``x`` [N, H, W, C] with filters of its own.

    ``w`` is ``[kh, kw, 1, C x multiplier]``; channel c makes the outputs c x multiplier and up
    (Howard et al. 2017, section 3.1). Other arguments and errors as for ``conv2d``.
    """
    x = images("depthwise_conv2d", x)
    return conv2d(x, w, stride=stride, padding=padding, groups=x.shape[3], dilation=dilation)
