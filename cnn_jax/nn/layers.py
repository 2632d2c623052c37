"""Thin Linen modules over the operators.

``dtype`` is the type that a layer computes in; its parameters are kept in at least float32. A layer
that cannot work raises ``BadInputError`` naming the field: when it is made, where a field alone is
wrong, when it is called, where it does not fit its input.
"""

import functools
import math
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import ops
from cnn_jax.nn import context
from cnn_jax.ops.arguments import array, images, is_known, shown
from cnn_jax.ops.geometry import PADDINGS, SIZES, Padding, Size, pair
from cnn_jax.ops.norm import channelwise
from cnn_jax.ops.precision import accumulator, rounded, wide
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError

Dtype = Any
Positive = Annotated[int, ranges.whole(1)]
Sides = Annotated[Size, SIZES]
Pad = Annotated[Padding, PADDINGS]
Initializer = nn.initializers.Initializer

# He et al. 2015, "Delving deep into rectifiers", eq. 10: keeps the variance through ReLUs.
he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


def param_dtype(dtype: Dtype) -> Dtype:
    """Return the type of the parameters of a layer that computes in ``dtype``."""
    return accumulator(dtype)


def _told(layer: nn.Module) -> str:
    """Return what errors call a layer: its class, and its path where it has one."""
    return " ".join((type(layer).__name__, *filter(None, ["/".join(layer.path)])))


_declared = functools.cache(ranges.declared)


class Layer(nn.Module):
    """A module whose fields are checked when it is made: those that declare a range, and dtype."""

    reads_context = True  # see ``cnn_jax.nn.context``

    def __post_init__(self):
        """Raise ``BadInputError`` for a field that no input could make sense of."""
        kind = type(self).__name__
        for name, (allowed, optional) in _declared(type(self)).items():
            ranges.check(f"{kind}: {name}", getattr(self, name), allowed, optional=optional)
        dtype = getattr(self, "dtype", jnp.float32)
        try:
            floating = jnp.issubdtype(jnp.dtype(dtype), jnp.inexact)
        except TypeError:
            floating = False
        if not floating:
            raise BadInputError(f"{kind}: dtype is a type of floats, not {shown(dtype)}")
        super().__post_init__()


class Conv(Layer):
    """Convolution with a bias: ``[N, H, W, C]`` to ``[N, H', W', features]``.

    Parameters: ``kernel`` ``[kh, kw, C / groups, features]`` and ``bias`` ``[features]``.
    """

    features: Positive
    kernel_size: Sides = 3
    stride: Sides = 1
    padding: Pad = "same"
    groups: Positive = 1
    dilation: Sides = 1
    use_bias: bool = True
    dtype: Dtype = jnp.float32
    kernel_init: Initializer = he_normal
    bias_init: Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve ``x`` [N, H, W, C]."""
        x = images(_told(self), x)
        channels = x.shape[-1]
        if channels == 0 or channels % self.groups or self.features % self.groups:
            raise BadInputError(
                f"{_told(self)}: groups={self.groups} has to divide the {channels} channels of its "
                f"input and features={self.features}"
            )
        kept = param_dtype(self.dtype)
        shape = (*pair(self.kernel_size, "kernel_size"), channels // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, kept).astype(self.dtype)
        x = ops.conv2d(
            x.astype(self.dtype),
            kernel,
            stride=self.stride,
            padding=self.padding,
            groups=self.groups,
            dilation=self.dilation,
        )
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), kept)
            x = x + channelwise(bias.astype(self.dtype), x)
        return x


class Dense(Layer):
    """Fully connected layer: ``[N, C]`` to ``[N, features]``; parameters ``kernel``, ``bias``."""

    features: Positive
    use_bias: bool = True
    dtype: Dtype = jnp.float32
    kernel_init: Initializer = he_normal
    bias_init: Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Multiply ``x`` [N, C] by the kernel."""
        x = array(_told(self), x)
        if x.shape[-1:] in ((), (0,)):
            raise BadInputError(f"{_told(self)} takes vectors [N, C], not {x.shape}")
        kept = param_dtype(self.dtype)
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), kept)
        x = x.astype(self.dtype) @ kernel.astype(self.dtype)
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), kept)
            x = x + channelwise(bias.astype(self.dtype), x)
        return x


class BatchNorm(Layer):
    """Batch normalisation over all axes but the last (Ioffe and Szegedy 2015, algorithm 1).

    ``momentum`` is the share of the old running value that an update keeps (PyTorch's 0.1 is 0.9
    here). ``unbiased`` says whether the running variance is corrected by n / (n - 1), as
    PyTorch's is; batches are always normalised with the biased one. Which examples share their
    statistics is the step's to say (``cnn_jax.nn.context``): all of its batch, on however many
    devices, or ghost batches, whose statistics the running ones average; a layer whose parameters
    are frozen works in training as in inference. Parameters ``scale`` and ``bias``; collection
    ``batch_stats`` with ``mean`` and ``var``; all in at least float32.
    """

    momentum: Annotated[float, ranges.at_least(0, high=1)] = 0.9
    epsilon: Annotated[float, ranges.at_least(0)] = 1e-5
    unbiased: bool = False
    dtype: Dtype = jnp.float32
    scale_init: Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Normalise ``x`` [..., C] by its own statistics if ``train``, else by the running ones."""
        kept = param_dtype(self.dtype)
        x = array(_told(self), x).astype(self.dtype)
        if x.ndim < 2:
            raise BadInputError(f"{_told(self)} takes examples [N, ..., C], not {x.shape}")
        channels = x.shape[-1:]
        scale = self.param("scale", self.scale_init, channels, kept)
        bias = self.param("bias", nn.initializers.zeros, channels, kept)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, kept)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels, kept)
        how = context.current()
        if not (train or how.estimates) or how.freezes(self.path, ("scale", "bias")):
            factor = jax.lax.rsqrt(running_var.value + self.epsilon) * scale
            y = (wide(x) - channelwise(running_mean.value, x)) * channelwise(factor, x)
            return (y + channelwise(bias, x)).astype(self.dtype)
        y, mean, var = ops.batch_norm(
            x, scale, bias, epsilon=self.epsilon, stat_batch=how.stat_batch, axis=how.axis
        )
        if not self.is_initializing():
            if self.unbiased:
                devices = 1 if how.axis is None else jax.lax.axis_size(how.axis)
                examples = how.stat_batch or x.shape[0] * devices
                n = examples * math.prod(x.shape[1:-1])
                var = var * (n / (max(n - 1, 1) if is_known(n) else jnp.maximum(n - 1, 1)))
            if how.estimates:
                self.put_variable(context.ESTIMATES, "mean", mean)
                self.put_variable(context.ESTIMATES, "var", var)
                return y
            keep = self.momentum
            running_mean.value = keep * running_mean.value + (1 - keep) * mean
            running_var.value = keep * running_var.value + (1 - keep) * var
        return y


class Affine(Layer):
    """BatchNorm without its normalising: ``x * scale + bias``, a pair a channel.

    The same parameters, ``scale`` and ``bias`` ``[C]``, from the same initial values.
    """

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Scale and shift ``x`` [..., C]."""
        del train  # no statistics, no difference
        kept = param_dtype(self.dtype)
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], kept).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], kept).astype(self.dtype)
        x = x.astype(self.dtype)
        return x * channelwise(scale, x) + channelwise(bias, x)


class Dropout(Layer):
    """Zero each value with probability ``rate`` and scale the rest up (Srivastava et al. 2014).

    Draws from the random stream ``dropout``, for each example by its position in the step's batch,
    so that the same values drop however the batch is cut; the identity unless ``train``.
    """

    rate: Annotated[float, ranges.at_least(0, high=1)]

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Drop values of ``x`` ``[N, ...]``."""
        x = array(_told(self), x)
        if x.ndim == 0:
            raise BadInputError(f"{_told(self)} takes examples [N, ...], not one number")
        if not train or self.rate == 0:
            return x
        if self.rate == 1:
            return jnp.zeros_like(x)
        keys = context.example_keys(self.make_rng("dropout"), x.shape[0])
        keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - self.rate, x.shape[1:]))(keys)
        return jnp.where(keep, x / (1 - self.rate), jnp.zeros_like(x))


class Downsample(Layer):
    """Make images ``stride`` times smaller: ``[N, H, W, C]`` to ``[N, ceil(H/s), ceil(W/s), C]``.

    Every ``kind`` gives the same shape, so that they can replace each other in a comparison:

    - ``stride``: keep each s-th pixel;
    - ``max``, ``avg``: the largest value or the mean of the pixels of a window;
    - ``conv``: a learned convolution of all channels (parameters ``conv/kernel``, ``conv/bias``);
    - ``blur``: a binomial low-pass filter, then each s-th pixel (Zhang 2019, section 3.2).

    ``window`` is the side of the square that an output sees: unless given, the stride for ``max``
    and ``avg``, and 3 for ``conv`` and ``blur``. ``stride`` as a kind sees one pixel.
    """

    kind: Annotated[str, ranges.one_of("stride", "max", "avg", "conv", "blur")] = "max"
    stride: Positive = 2
    window: Positive | None = None
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Make ``x`` [N, H, W, C] smaller."""
        x, s = images(_told(self), x), self.stride
        if self.kind == "stride":
            return subsample(x, s)
        window = self.window or (s if self.kind in ("max", "avg") else 3)
        side = ((window - 1) // 2, window // 2)
        sides = (side, side)
        if self.kind == "max":
            return ops.max_pool(x, window, stride=s, padding=sides)
        if self.kind == "avg":
            return ops.avg_pool(x, window, stride=s, padding=sides, count_include_pad=False)
        channels = x.shape[-1]
        if self.kind == "conv":
            return Conv(channels, window, s, sides, dtype=self.dtype, name="conv")(x)
        row = np.poly1d([0.5, 0.5]) ** (window - 1)
        values = wide(x)  # narrow types do not hold all weights of large windows
        taps = jnp.asarray(np.outer(row.coeffs, row.coeffs), values.dtype)[:, :, None, None]
        kernel = jnp.broadcast_to(taps, (window, window, 1, channels))
        y = ops.depthwise_conv2d(values, kernel, stride=s, padding=sides)
        return rounded(y, x.dtype)


def subsample(x: jax.Array, stride: int) -> jax.Array:
    """Return each ``stride``-th pixel of ``x`` [N, H, W, C], ``[N, ceil(H/s), ceil(W/s), C]``."""
    # Not x[:, ::s, ::s]: of an open size jax does not see that it equals a strided convolution's.
    return jax.lax.slice(x, (0,) * 4, x.shape, (1, stride, stride, 1))


def logits(x: jax.Array) -> jax.Array:
    """Return ``x`` in at least float32, as every network hands out its logits."""
    return x.astype(param_dtype(x.dtype))
