"""Depthwise separable convolution (Howard et al. 2017, section 3.1)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.nn import layers
from cnn_jax.nn.blocks.conv import ModuleDef
from cnn_jax.ops.arguments import images
from cnn_jax.ops.geometry import pair


class DepthwiseConv(layers.Layer):
    """One filter a channel, no bias: ``[N, H, W, C]`` to ``[N, H', W', C]``.

    Parameter: ``kernel`` ``[kh, kw, 1, C]``.
    """

    kernel_size: layers.Sides = 3
    stride: layers.Sides = 1
    padding: layers.Pad = "same"
    dtype: layers.Dtype = jnp.float32
    kernel_init: layers.Initializer = layers.he_normal

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve each channel of ``x`` [N, H, W, C] on its own."""
        x = images("DepthwiseConv", x)
        shape = (*pair(self.kernel_size, "kernel_size"), 1, x.shape[-1])
        kernel = self.param("kernel", self.kernel_init, shape, layers.param_dtype(self.dtype))
        return ops.depthwise_conv2d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            stride=self.stride,
            padding=self.padding,
        )


class SeparableBlock(nn.Module):
    """A 3×3 depthwise and a 1×1 convolution, each with normalisation and ReLU (figure 3, right).

    ``separable=False`` is the control of table 4: one full 3×3 convolution (``conv``, ``bn``) in
    place of the two.
    """

    features: int
    stride: int = 1
    separable: bool = True
    conv: ModuleDef = layers.Conv
    depthwise: ModuleDef = DepthwiseConv
    norm: ModuleDef = layers.BatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map ``x`` [N, H, W, C] to [N, H / stride, W / stride, features]."""
        if not self.separable:
            x = self.conv(self.features, 3, self.stride, use_bias=False, name="conv")(x)
            return nn.relu(self.norm(name="bn")(x, train=train))
        x = self.depthwise(3, self.stride, name="dw")(x)
        x = nn.relu(self.norm(name="dw_bn")(x, train=train))
        x = self.conv(self.features, 1, use_bias=False, name="pw")(x)
        return nn.relu(self.norm(name="pw_bn")(x, train=train))
