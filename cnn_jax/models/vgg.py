"""VGG (Simonyan and Zisserman 2014, table 1), with or without batch normalisation."""

from functools import partial
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.models.inputs import Count, Share, require_size
from cnn_jax.nn import layers
from cnn_jax.nn.blocks.halve import Halving, halve, stride_of
from cnn_jax.ops.adaptive import adaptive_avg_pool
from cnn_jax.runtime import ranges

# A stage without convolutions is a max-pool alone.
FIVE = ranges.Each(ranges.whole(0, high=1000), count=5)


class VGG(nn.Module):
    """Five stages of 3×3 convolutions, each ended by a 2×2 max-pool, and three dense layers.

    Stage i has ``stages[i]`` convolutions of ``width`` x 1, 2, 4, 8, 8 channels. ``downsample``:
    ``pool`` as published; ``avg``, ``stride``, ``conv``, ``blur`` instead (see ``blocks.halve``).
    Images of another size than 224×224 are averaged to 7×7 before the dense layers, as
    torchvision does. Kernels start as He et al. 2015 initialise them, where the paper starts the
    deep nets from shallow ones.
    """

    num_classes: int
    stages: Annotated[tuple[int, int, int, int, int], FIVE] = (2, 2, 3, 3, 3)
    width: Count = 64
    batch_norm: bool = False
    downsample: Halving = "pool"
    hidden: Count = 4096
    dropout: Share = 0.5
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map images ``[N, H, W, C]`` (at least 32x32) to logits ``[N, num_classes]``."""
        require_size(x, 32, "vgg: pool5")
        halving = stride_of(self.downsample)
        for stage, (convs, factor) in enumerate(zip(self.stages, (1, 2, 4, 8, 8), strict=True), 1):
            for index in range(1, convs + 1):
                at = f"{stage}_{index}"
                stride = halving if index == convs else 1
                features = self.width * factor
                x = layers.Conv(features, 3, stride, dtype=self.dtype, name=f"conv{at}")(x)
                if self.batch_norm:
                    x = layers.BatchNorm(dtype=self.dtype, name=f"bn{at}")(x, train=train)
                x = nn.relu(x)
            x = halve(x, self.downsample, name=f"down{stage}", dtype=self.dtype)
        x = adaptive_avg_pool(x, 7).reshape(x.shape[0], -1)
        for name in ("fc6", "fc7"):
            x = nn.relu(layers.Dense(self.hidden, dtype=self.dtype, name=name)(x))
            x = layers.Dropout(self.dropout)(x, train=train)
        x = layers.Dense(self.num_classes, dtype=self.dtype, name="head")(x)
        return layers.logits(x)


# Configurations A, B, D and E of the paper's table 1.
_STAGES = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
VARIANTS = {name: partial(VGG, stages=stages) for name, stages in _STAGES.items()}
VARIANTS |= {
    f"{name}_bn": partial(VGG, stages=stages, batch_norm=True) for name, stages in _STAGES.items()
}
