"""MobileNet v1 (Howard et al. 2017, table 1)."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.models.inputs import Factor, require_size
from cnn_jax.nn import layers
from cnn_jax.nn.blocks.separable import DepthwiseConv, SeparableBlock
from cnn_jax.runtime.errors import BadInputError

# Output channels and stride of the thirteen blocks after the first convolution.
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)


class MobileNetV1(nn.Module):
    """A 3×3 convolution, thirteen depthwise separable blocks, global average, a linear head.

    ``width`` multiplies the channels of every layer (section 3.3). ``separable=False`` puts a full
    3×3 convolution into each block, the control of table 4. He initialisation.
    """

    num_classes: int
    width: Factor = 1.0
    separable: bool = True
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map images ``[N, H, W, C]`` of any size to logits ``[N, num_classes]``."""
        require_size(x, 1, "mobilenet_v1: conv1")
        if int(32 * self.width) < 1:
            raise BadInputError(
                f"mobilenet_v1: width {self.width} leaves conv1 without channels; give 1/32 or more"
            )
        conv = partial(layers.Conv, dtype=self.dtype)
        norm = partial(layers.BatchNorm, dtype=self.dtype)
        depthwise = partial(DepthwiseConv, dtype=self.dtype)
        x = conv(int(32 * self.width), 3, 2, use_bias=False, name="conv1")(x)
        x = nn.relu(norm(name="bn1")(x, train=train))
        for index, (features, stride) in enumerate(BLOCKS, 1):
            x = SeparableBlock(
                int(features * self.width),
                stride,
                self.separable,
                conv=conv,
                depthwise=depthwise,
                norm=norm,
                name=f"block{index}",
            )(x, train=train)
        x = ops.global_avg_pool(x)
        x = layers.Dense(self.num_classes, dtype=self.dtype, name="head")(x)
        return layers.logits(x)
