"""The multilayer perceptron that convolutions are measured against (LeCun et al. 1998)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.models.inputs import Counts
from cnn_jax.nn import layers


class MLP(nn.Module):
    """Flatten, fully connected layers with ReLU, a linear head.

    ``hidden=(300, 100)`` on 28x28 grey images is the 784-300-100-10 network of LeCun et al.
    1998, section III.C.3 (there with scaled tanh). He initialisation.
    """

    num_classes: int
    hidden: Counts = (300, 100)
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map images ``[N, H, W, C]`` to logits ``[N, num_classes]``."""
        del train  # nothing in it behaves differently
        x = x.reshape(x.shape[0], -1)
        for index, width in enumerate(self.hidden, 1):
            x = nn.relu(layers.Dense(width, dtype=self.dtype, name=f"fc{index}")(x))
        x = layers.Dense(self.num_classes, dtype=self.dtype, name="head")(x)
        return layers.logits(x)
