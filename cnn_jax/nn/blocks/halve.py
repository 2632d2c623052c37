"""What halves the maps of LeNet and VGG: a 2×2 pool as published, or what is said to replace it."""

from typing import Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.nn import layers
from cnn_jax.runtime.errors import BadInputError

Halving = Literal["pool", "avg", "stride", "conv", "blur"]
KINDS = get_args(Halving)


def halve(x: jax.Array, kind: Halving, *, name: str, dtype: layers.Dtype = jnp.float32):
    """Halve maps ``[N, H, W, C]`` of even size, inside a module's compact method.

    ``pool``: a 2×2/2 max-pool. ``avg``: a 2×2/2 average-pool. ``conv``: a 2×2/2 convolution
    ``name`` of as many channels, and ReLU. ``stride``: nothing is left to do, the convolution
    before has stride 2 (``stride_of``). ``blur``: the max-pool at stride 1, then a 3×3 binomial
    filter at stride 2, which keeps what a stride would alias out (Zhang 2019, section 3.2).
    """
    if kind == "pool":
        return ops.max_pool(x, 2)
    if kind == "blur":
        x = ops.max_pool(x, 2, stride=1, padding=((0, 1), (0, 1)))
        return layers.Downsample("blur", 2, dtype=dtype, name=name)(x)
    if kind == "avg":
        return ops.avg_pool(x, 2)
    if kind == "conv":
        return nn.relu(layers.Conv(x.shape[-1], 2, 2, "valid", dtype=dtype, name=name)(x))
    return x


def stride_of(kind: Halving) -> int:
    """Return the stride of the convolution before: 2 where it does the halving."""
    if kind not in KINDS:
        raise BadInputError(f"downsample is {', '.join(map(repr, KINDS))}, not {kind!r}")
    return 2 if kind == "stride" else 1
