"""LeNet-5 in its modern form."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import layers, ops
from cnn_jax.errors import BadInputError


class LeNet5(nn.Module):
    """LeNet-5 (LeCun et al. 1998, section II.B) with today's parts.

    C1 6@5x5, pool, C3 16@5x5 over all maps, pool, C5 120, F6 84, a linear head: ReLU for the
    scaled tanh, max-pooling for trainable subsampling, and no table of partial connections.
    On 32x32x1 images with 10 classes: 61,706 parameters, 416,520 multiply-adds.
    """

    num_classes: int
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map images ``[N, H, W, C]`` (at least 16x16) to logits ``[N, num_classes]``."""
        del train  # nothing in it behaves differently
        if min(x.shape[1:3]) < 16:
            raise BadInputError(
                f"lenet5: conv3's 5x5 field needs images of at least 16x16, "
                f"not {x.shape[1]}x{x.shape[2]}; set data.image_size"
            )
        for name, features in (("conv1", 6), ("conv3", 16)):
            conv = layers.Conv(features, 5, padding="valid", dtype=self.dtype, name=name)
            x = ops.max_pool(nn.relu(conv(x)), 2)
        x = x.reshape(x.shape[0], -1)
        for name, width in (("fc5", 120), ("fc6", 84)):
            x = nn.relu(layers.Dense(width, dtype=self.dtype, name=name)(x))
        x = layers.Dense(self.num_classes, dtype=self.dtype, name="head")(x)
        return layers.logits(x)
