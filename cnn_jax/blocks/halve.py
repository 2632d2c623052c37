"""What halves the maps of LeNet and VGG: a 2×2 pool as published, or what is said to replace it."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import layers, ops
from cnn_jax.errors import BadInputError

Halving = Literal["pool", "avg", "stride", "conv"]


def halve(x: jax.Array, kind: Halving, *, name: str, dtype: layers.Dtype = jnp.float32):
    """Halve maps ``[N, H, W, C]`` of even size, inside a module's compact method.

    ``pool``: a 2×2/2 max-pool. ``avg``: a 2×2/2 average-pool. ``conv``: a 2×2/2 convolution
    ``name`` of as many channels, and ReLU. ``stride``: nothing is left to do, the convolution
    before has stride 2 (``stride_of``).
    """
    if kind == "pool":
        return ops.max_pool(x, 2)
    if kind == "avg":
        return ops.avg_pool(x, 2)
    if kind == "conv":
        return nn.relu(layers.Conv(x.shape[-1], 2, 2, "valid", dtype=dtype, name=name)(x))
    return x


def stride_of(kind: Halving) -> int:
    """Return the stride of the convolution before: 2 where it does the halving."""
    if kind not in ("pool", "avg", "stride", "conv"):
        raise BadInputError(f"downsample is 'pool', 'avg', 'stride' or 'conv', not {kind!r}")
    return 2 if kind == "stride" else 1
