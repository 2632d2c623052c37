"""The modules of Inception v3: convolutions factorised (Szegedy et al. 2015, figures 5 to 10).

Letters and layout are those of torchvision's network. Each takes ``unit``, the constructor of one
convolution with its normalisation and activation.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.nn.blocks.conv import ConvNormAct, ModuleDef
from cnn_jax.ops.geometry import Size


def _average(x: jax.Array) -> jax.Array:
    return ops.avg_pool(x, 3, stride=1, padding="same")


class _Branches(nn.Module):
    """What the five modules share: a named convolution unit, and the concatenation."""

    unit: ModuleDef = ConvNormAct

    def conv(self, x, name: str, features: int, field: Size = 1, *, train: bool, **strided):
        return self.unit(features, field, name=name, **strided)(x, train=train)


class InceptionA(_Branches):
    """A 5×5 and a pair of 3×3 beside each other (figure 5); keeps the size."""

    pool_features: int = 32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map ``x`` [N, H, W, C] to [N, H, W, 224 + pool_features]."""
        b5x5 = self.conv(x, "b5x5_1", 48, train=train)
        b5x5 = self.conv(b5x5, "b5x5_2", 64, 5, train=train)
        double = self.conv(x, "b3x3dbl_1", 64, train=train)
        double = self.conv(double, "b3x3dbl_2", 96, 3, train=train)
        double = self.conv(double, "b3x3dbl_3", 96, 3, train=train)
        b1x1 = self.conv(x, "b1x1", 64, train=train)
        pooled = self.conv(_average(x), "pool_proj", self.pool_features, train=train)
        return jnp.concatenate([b1x1, b5x5, double, pooled], axis=-1)


class InceptionB(_Branches):
    """Halves the size: strided 3×3 convolutions and a max-pool side by side (figure 10)."""

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map ``x`` [N, H, W, C] to [N, (H - 1) // 2, (W - 1) // 2, 480 + C]."""
        half = {"stride": 2, "padding": "valid"}
        b3x3 = self.conv(x, "b3x3", 384, 3, train=train, **half)
        double = self.conv(x, "b3x3dbl_1", 64, train=train)
        double = self.conv(double, "b3x3dbl_2", 96, 3, train=train)
        double = self.conv(double, "b3x3dbl_3", 96, 3, train=train, **half)
        return jnp.concatenate([b3x3, double, ops.max_pool(x, 3, stride=2)], axis=-1)


class InceptionC(_Branches):
    """7×7 convolutions as chains of 1×7 and 7×1 (figure 6); keeps the size."""

    width: int = 128

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map ``x`` [N, H, W, C] to [N, H, W, 768]."""
        w = self.width
        b7x7 = self.conv(x, "b7x7_1", w, train=train)
        b7x7 = self.conv(b7x7, "b7x7_2", w, (1, 7), train=train)
        b7x7 = self.conv(b7x7, "b7x7_3", 192, (7, 1), train=train)
        double = self.conv(x, "b7x7dbl_1", w, train=train)
        double = self.conv(double, "b7x7dbl_2", w, (7, 1), train=train)
        double = self.conv(double, "b7x7dbl_3", w, (1, 7), train=train)
        double = self.conv(double, "b7x7dbl_4", w, (7, 1), train=train)
        double = self.conv(double, "b7x7dbl_5", 192, (1, 7), train=train)
        b1x1 = self.conv(x, "b1x1", 192, train=train)
        pooled = self.conv(_average(x), "pool_proj", 192, train=train)
        return jnp.concatenate([b1x1, b7x7, double, pooled], axis=-1)


class InceptionD(_Branches):
    """Halves the size a second time, with a factorised 7×7 before one stride."""

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map ``x`` [N, H, W, C] to [N, (H - 1) // 2, (W - 1) // 2, 512 + C]."""
        half = {"stride": 2, "padding": "valid"}
        b3x3 = self.conv(x, "b3x3_1", 192, train=train)
        b3x3 = self.conv(b3x3, "b3x3_2", 320, 3, train=train, **half)
        b7x7 = self.conv(x, "b7x7x3_1", 192, train=train)
        b7x7 = self.conv(b7x7, "b7x7x3_2", 192, (1, 7), train=train)
        b7x7 = self.conv(b7x7, "b7x7x3_3", 192, (7, 1), train=train)
        b7x7 = self.conv(b7x7, "b7x7x3_4", 192, 3, train=train, **half)
        return jnp.concatenate([b3x3, b7x7, ops.max_pool(x, 3, stride=2)], axis=-1)


class InceptionE(_Branches):
    """The widest module: 3×3 convolutions fan out into a 1×3 and a 3×1 (figure 7)."""

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map ``x`` [N, H, W, C] to [N, H, W, 2048]."""
        b3x3 = self.conv(x, "b3x3_1", 384, train=train)
        double = self.conv(x, "b3x3dbl_1", 448, train=train)
        double = self.conv(double, "b3x3dbl_2", 384, 3, train=train)
        branches = [
            self.conv(x, "b1x1", 320, train=train),
            self.conv(b3x3, "b3x3_2a", 384, (1, 3), train=train),
            self.conv(b3x3, "b3x3_2b", 384, (3, 1), train=train),
            self.conv(double, "b3x3dbl_3a", 384, (1, 3), train=train),
            self.conv(double, "b3x3dbl_3b", 384, (3, 1), train=train),
            self.conv(_average(x), "pool_proj", 192, train=train),
        ]
        return jnp.concatenate(branches, axis=-1)
