"""The fire module of SqueezeNet (Iandola et al. 2016, section 3.2)."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.nn import branches, layers
from cnn_jax.nn.blocks.conv import ModuleDef
from cnn_jax.runtime.errors import BadInputError

Bypass = Literal["simple", "complex"] | None


class Fire(nn.Module):
    """A 1×1 ``squeeze``, then 1×1 and 3×3 ``expand`` convolutions side by side.

    ``bypass`` (section 6): 'simple' adds the input where channels agree, 'complex' adds a 1×1
    convolution of it (``bypass_conv``) where they do not, None adds nothing.
    """

    squeeze: int
    expand: int
    bypass: Bypass = None
    conv: ModuleDef = layers.Conv

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``x`` [N, H, W, C] to [N, H, W, 2 * expand]."""
        if self.bypass not in ("simple", "complex", None):
            raise BadInputError(f"bypass is 'simple', 'complex' or None, not {self.bypass!r}")
        squeezed = nn.relu(self.conv(self.squeeze, 1, name="squeeze")(x))
        narrow = self.conv(self.expand, 1, name="expand1x1")(squeezed)
        wide = self.conv(self.expand, 3, name="expand3x3")(squeezed)
        y = nn.relu(jnp.concatenate([narrow, wide], axis=-1))
        if self.bypass and x.shape[-1] == y.shape[-1]:
            skip = x
        elif self.bypass == "complex":
            skip = self.conv(y.shape[-1], 1, name="bypass_conv")(x)
        else:
            return y
        branches.note(self, y, skip)
        return y + skip
