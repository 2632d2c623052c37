"""Convolution, normalisation, activation: the unit that most networks repeat."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from cnn_jax.nn import layers
from cnn_jax.ops.geometry import Padding, Size

ModuleDef = Callable[..., Any]


class ConvNormAct(nn.Module):
    """``conv``, then ``bn`` unless ``norm`` is None, then ReLU unless ``activate`` is False.

    The convolution has a bias only where no normalisation follows: BatchNorm's own shift would
    absorb it.
    """

    features: int
    kernel_size: Size = 3
    stride: Size = 1
    padding: Padding = "same"
    conv: ModuleDef = layers.Conv
    norm: ModuleDef | None = layers.BatchNorm
    activate: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map ``x`` [N, H, W, C] to [N, H', W', features]."""
        x = self.conv(
            self.features,
            self.kernel_size,
            self.stride,
            self.padding,
            use_bias=self.norm is None,
            name="conv",
        )(x)
        if self.norm is not None:
            x = self.norm(name="bn")(x, train=train)
        return nn.relu(x) if self.activate else x
