"""Network in Network for CIFAR-10 (Lin et al. 2013)."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.models.inputs import Share, require_size
from cnn_jax.nn import layers

# Field of a block's convolution, its filters, and those of the two 1x1 convolutions after it.
BLOCKS = ((5, 192, 160, 96), (5, 192, 192, 192), (3, 192, 192, None))


class NIN(nn.Module):
    """Three convolutions, each followed by a small network at every pixel, and a global average.

    The pixel networks are two 1×1 convolutions (``cccp…``, section 3.1); ReLU everywhere. A 3×3/2
    max-pool ends the first block, an average-pool the second, dropout after both. The last 1×1
    convolution has a map for each class, averaged over the image (section 3.2). He initialisation.
    """

    num_classes: int
    dropout: Share = 0.5
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map images ``[N, H, W, C]`` (at least 4x4) to logits ``[N, num_classes]``."""
        require_size(x, 4, "nin: pool2")
        pools = (ops.max_pool, ops.avg_pool)
        for block, (field, first, second, third) in enumerate(BLOCKS, 1):
            conv = partial(layers.Conv, dtype=self.dtype)
            x = nn.relu(conv(first, field, name=f"conv{block}")(x))
            x = nn.relu(conv(second, 1, name=f"cccp{2 * block - 1}")(x))
            x = nn.relu(conv(third or self.num_classes, 1, name=f"cccp{2 * block}")(x))
            if block <= len(pools):
                x = pools[block - 1](x, 3, stride=2, ceil_mode=True)
                x = layers.Dropout(self.dropout)(x, train=train)
        return layers.logits(ops.global_avg_pool(x))
