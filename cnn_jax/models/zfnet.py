"""ZFNet (Zeiler and Fergus 2013, figure 3)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.models.alexnet import HiddenOrNone, WidthsOrNone, dense_layers
from cnn_jax.models.inputs import Share, require_size
from cnn_jax.nn import layers
from cnn_jax.ops.geometry import Padding


class ZFNet(nn.Module):
    """AlexNet with a smaller first field and stride: 224 to 110, 55, 26, 13 and 6 pixels.

    7×7/2 where AlexNet has 11×11/4, and no groups. Contrast is normalised across channels after
    the first two pools. ``widths`` and ``hidden`` are the channels of conv1 to conv5 and of fc6,
    fc7 (table 3 varies both); a width of 0 leaves that layer out, the others keep their names.
    He initialisation, for the paper's constant 0.01 needs its filter renormalisation to train.
    """

    num_classes: int
    widths: WidthsOrNone = (96, 256, 384, 384, 256)
    hidden: HiddenOrNone = (4096, 4096)
    dropout: Share = 0.5
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map images ``[N, H, W, C]`` (at least 47x47) to logits ``[N, num_classes]``."""
        require_size(x, 47, "zfnet: pool5")

        def conv(x, index, field, stride=1, padding: Padding = "same"):
            if not self.widths[index - 1]:
                return x
            conv = layers.Conv(
                *(self.widths[index - 1], field, stride, padding),
                dtype=self.dtype,
                name=f"conv{index}",
            )
            return nn.relu(conv(x))

        x = ops.max_pool(conv(x, 1, 7, 2, 1), 3, stride=2, ceil_mode=True)
        x = conv(ops.local_response_norm(x), 2, 5, 2, "valid")
        x = ops.local_response_norm(ops.max_pool(x, 3, stride=2, ceil_mode=True))
        x = ops.max_pool(conv(conv(conv(x, 3, 3), 4, 3), 5, 3), 3, stride=2, ceil_mode=True)
        x = x.reshape(x.shape[0], -1)
        x = dense_layers(x, self.hidden, self.dropout, self.dtype, train=train)
        x = layers.Dense(self.num_classes, dtype=self.dtype, name="head")(x)
        return layers.logits(x)
