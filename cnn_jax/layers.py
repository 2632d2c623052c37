"""Thin Linen modules over the operators.

``dtype`` is the type that a layer computes in; its parameters are kept in at least float32.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.ops.geometry import Padding, Size, pair

Dtype = Any
Initializer = nn.initializers.Initializer

# He et al. 2015, "Delving deep into rectifiers", eq. 10: keeps the variance through ReLUs.
he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


def param_dtype(dtype: Dtype) -> Dtype:
    """Return the type of the parameters of a layer that computes in ``dtype``."""
    return jnp.promote_types(dtype, jnp.float32)


class Conv(nn.Module):
    """Convolution with a bias: ``[N, H, W, C]`` to ``[N, H', W', features]``.

    Parameters: ``kernel`` ``[kh, kw, C / groups, features]`` and ``bias`` ``[features]``.
    """

    features: int
    kernel_size: Size = 3
    stride: Size = 1
    padding: Padding = "same"
    groups: int = 1
    use_bias: bool = True
    dtype: Dtype = jnp.float32
    kernel_init: Initializer = he_normal

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve ``x`` [N, H, W, C]."""
        kept = param_dtype(self.dtype)
        shape = (*pair(self.kernel_size, "kernel_size"), x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, kept).astype(self.dtype)
        x = ops.conv2d(
            x.astype(self.dtype),
            kernel,
            stride=self.stride,
            padding=self.padding,
            groups=self.groups,
        )
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), kept)
            x = x + bias.astype(self.dtype)
        return x


class Dense(nn.Module):
    """Fully connected layer: ``[N, C]`` to ``[N, features]``; parameters ``kernel``, ``bias``."""

    features: int
    use_bias: bool = True
    dtype: Dtype = jnp.float32
    kernel_init: Initializer = he_normal

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Multiply ``x`` [N, C] by the kernel."""
        kept = param_dtype(self.dtype)
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), kept)
        x = x.astype(self.dtype) @ kernel.astype(self.dtype)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), kept)
            x = x + bias.astype(self.dtype)
        return x


def logits(x: jax.Array) -> jax.Array:
    """Return ``x`` in at least float32, as every network hands out its logits."""
    return x.astype(param_dtype(x.dtype))
