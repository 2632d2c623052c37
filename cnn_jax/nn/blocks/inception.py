"""The inception module of GoogLeNet (Szegedy et al. 2014, figure 2)."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.nn.blocks.conv import ConvNormAct, ModuleDef


class Widths(NamedTuple):
    """Channels of an inception module's convolutions, a row of the paper's table 1."""

    b1x1: int
    b3x3_reduce: int
    b3x3: int
    b5x5_reduce: int
    b5x5: int
    pool_proj: int


class Inception(nn.Module):
    """1×1, 3×3 and 5×5 convolutions and a 3×3 max-pool side by side, concatenated.

    ``reduce``: 1×1 convolutions shrink the channels before the 3×3 and the 5×5 and after the pool
    (figure 2b); without it the module is the naive one (figure 2a): the pool's channels pass
    through, so that the output grows by all channels of the input. ``linear``: the shrinking
    convolutions before the 3×3 and the 5×5 have no ReLU, so that each pair is one convolution of
    low rank: the same parameters without the extra non-linearity. ``large`` is the field of the
    branch called 5×5: torchvision's network has 3 there. ``unit`` makes one convolution.
    """

    widths: Widths | tuple[int, int, int, int, int, int]
    reduce: bool = True
    linear: bool = False
    large: int = 5
    unit: ModuleDef = ConvNormAct

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map ``x`` [N, H, W, C] to [N, H, W, sum of the branches' channels]."""
        widths = Widths(*self.widths)

        def unit(x, branch: str, field: int, **fields: bool):
            return self.unit(getattr(widths, branch), field, name=branch, **fields)(x, train=train)

        pooled = ops.max_pool(x, 3, stride=1, padding="same")
        if self.reduce:
            middle, wide = (
                unit(x, branch, 1, activate=not self.linear)
                for branch in ("b3x3_reduce", "b5x5_reduce")
            )
            pooled = unit(pooled, "pool_proj", 1)
        else:
            middle = wide = x
        branches = [
            unit(x, "b1x1", 1),
            unit(middle, "b3x3", 3),
            unit(wide, "b5x5", self.large),
            pooled,
        ]
        return jnp.concatenate(branches, axis=-1)
