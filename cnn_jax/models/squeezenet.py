"""SqueezeNet (Iandola et al. 2016, table 1), versions 1.0 and 1.1."""

from functools import partial
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.models.inputs import WIDTH, Factor, Share, require_size
from cnn_jax.nn import layers
from cnn_jax.nn.blocks.fire import Bypass, Fire
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError

# 1x1 filters, and as many 3x3 filters, of fire2 to fire9.
EXPAND = (64, 64, 128, 128, 192, 192, 256, 256)


class SqueezeNet(nn.Module):
    """A convolution, eight fire modules, a 1×1 convolution with ReLU as head, global average.

    ``width`` multiplies every number of filters. ``stem``: filters and field of conv1; ``pools``:
    the layers that a 3×3/2 max-pool follows (1 is conv1). Fire i squeezes to ``squeeze_ratio``
    times its expand filters (section 5.2).
    ``bypass``: None, 'simple' around fire3, 5, 7, 9, or 'complex' around the others too
    (section 6). He initialisation, but N(0, 0.01²) for the head, as the authors' network.
    """

    num_classes: int
    width: Factor = 1.0
    stem: Annotated[tuple[int, int], ranges.Each(WIDTH, count=2)] = (96, 7)
    pools: Annotated[
        tuple[int, ...], ranges.Each(ranges.whole(1, high=8), rising=True, least=1)
    ] = (1, 4, 8)
    squeeze_ratio: Factor = 0.125
    bypass: Bypass = None
    dropout: Share = 0.5
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map images ``[N, H, W, C]`` to logits ``[N, num_classes]``."""
        features, field = self.stem
        least = 21 if field == 7 else 17
        require_size(x, least, f"squeezenet: pool{self.pools[-1]}")
        expands = [max(round(self.width * expand), 1) for expand in EXPAND]
        if int(2 * expands[0] * self.squeeze_ratio) < 1:
            raise BadInputError(
                f"squeezenet: squeeze_ratio {self.squeeze_ratio} leaves fire2 without channels"
            )
        conv = partial(layers.Conv, dtype=self.dtype)
        pool = partial(ops.max_pool, window=3, stride=2, ceil_mode=True)
        features = max(round(self.width * features), 1)
        x = nn.relu(conv(features, field, 2, "valid", name="conv1")(x))
        for index, expand in enumerate(expands, 2):
            if index - 1 in self.pools:
                x = pool(x)
            squeeze = int(2 * expand * self.squeeze_ratio)
            x = Fire(squeeze, expand, self.bypass, conv=conv, name=f"fire{index}")(x)
        x = layers.Dropout(self.dropout)(x, train=train)
        small = nn.initializers.normal(0.01)
        x = conv(self.num_classes, 1, kernel_init=small, name="head")(x)
        return layers.logits(ops.global_avg_pool(nn.relu(x)))


SqueezeNet1_1 = partial(SqueezeNet, stem=(64, 3), pools=(1, 3, 5))
