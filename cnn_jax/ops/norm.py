"""Normalisation: over neighbouring channels, and over a batch."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters import ad

from cnn_jax.ops.arguments import array, at_least, number, whole
from cnn_jax.ops.precision import wide
from cnn_jax.ops.primitive import bind, define, is_stock
from cnn_jax.runtime.errors import BadInputError

# Up to here XLA's own differentiation is left alone: it fuses the gradient with its neighbours,
# which the primitives below prevent. Larger maps are bound by memory, and these save passes.
# Measured on the CPU: 11 % of a ResNet-20 step (128 images) gained by leaving it, 8 % of a
# ResNet-50 step (16 images) lost where large maps are left as well.
_SMALL = 1 << 22


def local_response_norm(
    x: jax.Array, size: int = 5, *, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
) -> jax.Array:
    """Divide each value by (k + alpha x the sum of squares of ``size`` channels)^beta.

    Krizhevsky et al. 2012, section 3.3: the channels around the value's own, cut at the ends;
    ``alpha`` is not divided by ``size``. ``[..., C]`` to the same shape and type; narrow floats are
    squared, summed up and divided in float32 and rounded once. Raises ``BadInputError`` for
    arguments below 0, a ``size`` that is no int from 1 on, and what is no array of floats.
    """
    x = _floats("local_response_norm", x, 1)
    size = whole("local_response_norm: size", size)
    for name, value in (("k", k), ("alpha", alpha), ("beta", beta)):
        number(f"local_response_norm: {name}", value, 0)
    batch = (1,) * (x.ndim - 1)
    sides = ((0, 0),) * (x.ndim - 1) + ((size // 2, (size - 1) // 2),)
    values = wide(x)
    squares = jnp.square(values)
    squares = lax.reduce_window(squares, 0.0, lax.add, (*batch, size), (*batch, 1), sides)
    total = k + alpha * squares
    if beta == 0.75 and not is_stock(x):
        root = lax.rsqrt(total)
        y = values * (root * jnp.sqrt(root))  # the same power, without a logarithm
    else:
        y = values * total**-beta
    return y.astype(x.dtype)


def _floats(name, x, axes):
    x = array(name, x)
    if not jnp.issubdtype(x.dtype, jnp.floating) or x.ndim < axes:
        raise BadInputError(
            f"{name} takes floats with {axes} axes or more, not {x.dtype} of shape {x.shape}"
        )
    return x


def batch_norm(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    epsilon: float = 1e-5,
    stat_batch: int | None = None,
    axis: str | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalise each channel over all other axes (Ioffe and Szegedy 2015, algorithm 1).

    Args:
        x: ``[N, ..., C]``.
        scale: gamma ``[C]``.
        bias: beta ``[C]``.
        epsilon: added to the variance.
        stat_batch: normalise each so many examples by themselves, in their order ("ghost" batches,
            Hoffer et al. 2017, algorithm 1); all together if None.
        axis: a mapped axis (of ``pmap``) over whose devices the batch is cut; groups may reach
            over several devices.

    Returns:
        (y, mean, variance): y in the type of ``x``; the mean and the biased variance ``[C]`` in
        at least float32, averaged over the groups where there are several.

    Raises:
        BadInputError: scale or bias do not have one value a channel, ``stat_batch`` does not
            divide the batch, or there is no value to take statistics from.
    """
    x = _floats("batch_norm", x, 2)
    scale, bias = array("batch_norm", scale), array("batch_norm", bias)
    number("batch_norm: epsilon", epsilon, 0)
    if not at_least(1, *x.shape[:-1]):
        raise BadInputError(f"batch_norm: x {x.shape} has no values to take statistics from")
    if scale.shape != x.shape[-1:] or bias.shape != x.shape[-1:]:
        raise BadInputError(
            f"batch_norm: x {x.shape} takes scale and bias of shape {x.shape[-1:]}, "
            f"not {scale.shape} and {bias.shape}"
        )
    examples = x.shape[0] * (1 if axis is None else lax.axis_size(axis))
    group = examples if stat_batch is None else whole("batch_norm: stat_batch", stat_batch)
    if examples % group != 0:
        raise BadInputError(f"batch_norm: stat_batch {group} does not divide {examples} examples")
    if axis is not None:
        return _over_devices(x, scale, bias, epsilon, group, axis)
    if group == examples:
        return _one_group(x, scale, bias, epsilon)
    groups = x.reshape(examples // group, group, *x.shape[1:])
    y, mean, variance = jax.vmap(lambda x: _one_group(x, scale, bias, epsilon))(groups)
    return y.reshape(x.shape), mean.mean(0), variance.mean(0)


def _one_group(x, scale, bias, epsilon):
    if is_stock(x, scale, bias):
        return _normalise(x, scale, bias, epsilon, _statistics)
    if x.size <= _SMALL:
        return _normalise(x, scale, bias, epsilon, _lean_statistics)
    return _batch_norm(x, scale, bias, epsilon)


def _over_devices(x, scale, bias, epsilon, group, axis):
    """Normalise this device's part ``x`` of a batch in groups of ``group`` examples."""
    # Pieces that no border, of a group or of a device, cuts; a group is some pieces in a row.
    piece = math.gcd(x.shape[0], group)
    pieces = x.reshape(x.shape[0] // piece, piece, *x.shape[1:])
    means, variances = jax.vmap(_statistics)(pieces)
    means, variances = (
        lax.all_gather(a, axis, tiled=True).reshape(-1, group // piece, x.shape[-1])
        for a in (means, variances)
    )
    mean = means.mean(1, keepdims=True)
    variance = (variances + jnp.square(means - mean)).mean(1)
    mean = mean[:, 0]
    first = lax.axis_index(axis) * len(pieces)
    mine = (first + jnp.arange(len(pieces), dtype=first.dtype)) // (group // piece)
    sides = (len(pieces), *(1 for _ in x.shape[:-1]), x.shape[-1])
    factor = lax.rsqrt(variance + epsilon) * scale[None]
    y = (wide(pieces) - mean[mine].reshape(sides)) * factor[mine].reshape(sides)
    y += channelwise(bias, pieces)
    return y.reshape(x.shape).astype(x.dtype), mean.mean(0), variance.mean(0)


def channelwise(channels: jax.Array, x: jax.Array) -> jax.Array:
    """Return values ``[C]`` with as many axes as ``x`` ``[..., C]``."""
    return channels.reshape((1,) * (x.ndim - 1) + channels.shape)


def _pixels(x):
    """Return the axes of ``x`` [N, ..., C] between the batch and the channels."""
    return tuple(range(1, x.ndim - 1))


def _statistics(x):
    """Return mean and biased variance of each channel, in at least float32.

    Each image is summed up relative to one of its own pixels: a large mean cannot drown a small
    spread, at the price of no further pass. The images are then combined exactly (Chan, Golub
    and LeVeque 1983, section 2).
    """
    values = wide(x)
    axes = _pixels(x)
    origin = lax.slice(values, (0,) * x.ndim, (x.shape[0], *(1 for _ in axes), x.shape[-1]))
    # Behind a barrier, so that XLA does not store x - origin for both sums: each makes its own.
    deviation, again = values - origin, values - lax.optimization_barrier(origin)
    count = math.prod(x.shape[1:-1])
    shift = deviation.sum(axes) / count
    means = origin.reshape(x.shape[0], x.shape[-1]) + shift
    within = jnp.square(again).sum(axes) / count - jnp.square(shift)
    mean = means.mean(0)
    return mean, within.mean(0) + jnp.square(means - mean[None]).mean(0)


_lean_statistics = jax.custom_jvp(_statistics)


@_lean_statistics.defjvp
def _lean_statistics_jvp(primals, tangents):
    # By hand, so that the sums of single images are not kept for the backward pass.
    (x,), (t,) = primals, tangents
    mean, variance = _lean_statistics(x)
    axes = tuple(range(x.ndim - 1))
    t, deviation = wide(t), wide(x) - channelwise(mean, x)
    return (mean, variance), (t.mean(axes), 2 * (t * deviation).mean(axes))


def _normalise(x, scale, bias, epsilon, statistics):
    mean, variance = statistics(x)
    factor = lax.rsqrt(variance + epsilon) * scale
    y = (wide(x) - channelwise(mean, x)) * channelwise(factor, x) + channelwise(bias, x)
    return y.astype(x.dtype), mean, variance


def _tangent(t, scale_t, bias_t, x, mean, inverse, scale):
    """Return the tangent of y for tangents of x, scale and bias; ``inverse`` is 1 / std."""
    normal = (wide(x) - channelwise(mean, x)) * channelwise(inverse, x)
    axes = tuple(range(x.ndim - 1))
    t = wide(t)
    across = t - channelwise(t.mean(axes), x) - normal * channelwise((t * normal).mean(axes), x)
    y = (
        across * channelwise(inverse * scale, x)
        + normal * channelwise(scale_t, x)
        + channelwise(bias_t, x)
    )
    return y.astype(x.dtype)


def _cotangents(g, x, mean, inverse, scale):
    """Return the cotangents of x, scale and bias for that of y: the transpose of ``_tangent``.

    Two sums over the batch give all three (Ioffe and Szegedy 2015, section 3). Only x is kept
    from the forward pass; the normalised values are made again.
    """
    normal = (wide(x) - channelwise(mean, x)) * channelwise(inverse, x)
    axes = tuple(range(x.ndim - 1))
    g = wide(g)
    count = math.prod(x.shape[:-1])
    bias_g, scale_g = g.sum(axes), (g * normal).sum(axes)
    x_g = g - channelwise(bias_g / count, x) - normal * channelwise(scale_g / count, x)
    x_g *= channelwise(inverse * scale, x)
    return x_g.astype(x.dtype), scale_g.astype(scale.dtype), bias_g.astype(scale.dtype)


_tangent_p = define("batch_norm_tangent", _tangent, images=(False,) * 7)
_cotangents_p = define(
    "batch_norm_cotangents", _cotangents, images=(False,) * 5, multiple_results=True
)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _batch_norm(x, scale, bias, epsilon):
    return _normalise(x, scale, bias, epsilon, _statistics)


@_batch_norm.defjvp
def _batch_norm_jvp(epsilon, primals, tangents):
    (x, scale, bias), (t, scale_t, bias_t) = primals, tangents
    y, mean, variance = _batch_norm(x, scale, bias, epsilon)
    inverse = lax.rsqrt(variance + epsilon)
    y_t = bind(_tangent_p, t, scale_t, bias_t, x, mean, inverse, scale)
    _, statistics_t = jax.jvp(_lean_statistics, (x,), (t,))
    return (y, mean, variance), (y_t, *statistics_t)


def _differentiated(prim, function):
    """Return the JVP rule of a primitive as that of the function it computes."""

    def rule(primals, tangents):
        _, out_tangents = jax.jvp(function, primals, tuple(map(ad.instantiate_zeros, tangents)))
        return bind(prim, *primals), out_tangents

    return rule


def _transpose_tangent(ct, t, scale_t, bias_t, *rest):
    cotangents = bind(_cotangents_p, ad.instantiate_zeros(ct), *rest)
    linear = (ad.is_undefined_primal(a) for a in (t, scale_t, bias_t))
    given = (c if undefined else None for c, undefined in zip(cotangents, linear, strict=True))
    return (*given, *(None for _ in rest))


def _transpose_cotangents(cts, _, *rest):
    return (bind(_tangent_p, *map(ad.instantiate_zeros, cts), *rest), *(None for _ in rest))


ad.primitive_jvps[_tangent_p] = _differentiated(_tangent_p, _tangent)
ad.primitive_jvps[_cotangents_p] = _differentiated(_cotangents_p, _cotangents)
ad.primitive_transposes[_tangent_p] = _transpose_tangent
ad.primitive_transposes[_cotangents_p] = _transpose_cotangents
