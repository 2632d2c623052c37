"""AlexNet: the two-group network of 2012 and the one-column network of 2014."""

from collections.abc import Callable
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.models.inputs import WIDTH, Counts, Share, require_size
from cnn_jax.nn import layers
from cnn_jax.ops.adaptive import adaptive_avg_pool
from cnn_jax.ops.geometry import Padding
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError

# Of conv1 to conv5, and of the dense layers; 0 leaves a layer out where that is said.
_OR_NONE = ranges.whole(0, high=WIDTH.high)
Widths = Annotated[tuple[int, ...], ranges.Each(WIDTH, count=5)]
WidthsOrNone = Annotated[tuple[int, ...], ranges.Each(_OR_NONE, count=5)]
HiddenOrNone = Annotated[tuple[int, ...], ranges.Each(_OR_NONE)]


class AlexNet(nn.Module):
    """One column (Krizhevsky 2014, "One weird trick"), as torchvision has it.

    No groups, no response normalisation, dropout before the dense layers. Images of another size
    than 224×224 are averaged to 6×6 before the dense layers. ``widths`` are the channels of
    conv1 to conv5 and ``hidden`` those of fc6 and fc7; He initialisation.
    """

    num_classes: int
    widths: Widths = (64, 192, 384, 256, 256)
    hidden: Counts = (4096, 4096)
    dropout: Share = 0.5
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map images ``[N, H, W, C]`` (at least 63x63) to logits ``[N, num_classes]``."""
        require_size(x, 63, "alexnet: pool5")

        def conv(x, index, field, stride=1, padding: Padding = "same"):
            conv = layers.Conv(
                *(self.widths[index - 1], field, stride, padding),
                dtype=self.dtype,
                name=f"conv{index}",
            )
            return nn.relu(conv(x))

        x = ops.max_pool(conv(x, 1, 11, 4, 2), 3, stride=2)
        x = ops.max_pool(conv(x, 2, 5), 3, stride=2)
        x = conv(conv(conv(x, 3, 3), 4, 3), 5, 3)
        x = adaptive_avg_pool(ops.max_pool(x, 3, stride=2), 6).reshape(x.shape[0], -1)
        for index, width in enumerate(self.hidden, 6):
            x = layers.Dropout(self.dropout)(x, train=train)
            x = nn.relu(layers.Dense(width, dtype=self.dtype, name=f"fc{index}")(x))
        x = layers.Dense(self.num_classes, dtype=self.dtype, name="head")(x)
        return layers.logits(x)


class AlexNet2012(nn.Module):
    """The network of Krizhevsky et al. 2012, section 3.5, on 227×227 images.

    ``groups`` is 2 as on the paper's two GPUs (conv2, conv4 and conv5 see half of the channels)
    or 1. Response normalisation follows conv1 and conv2. ``widths`` and ``hidden`` are the channels
    of conv1 to conv5 and of fc6, fc7; a width of 0 leaves that layer out and the other layers
    keep their names (the removals of Zeiler and Fergus 2013, table 3). The paper's initialisation:
    kernels N(0, 0.01²), biases 1 in conv2, conv4, conv5, fc6, fc7 and 0 elsewhere.
    """

    num_classes: int
    widths: WidthsOrNone = (96, 256, 384, 384, 256)
    hidden: HiddenOrNone = (4096, 4096)
    groups: Annotated[int, ranges.one_of(1, 2)] = 2
    dropout: Share = 0.5
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map images ``[N, H, W, C]`` (at least 67x67) to logits ``[N, num_classes]``."""
        require_size(x, 67, "alexnet_2012: pool5")
        if self.groups not in (1, 2):
            raise BadInputError(f"alexnet_2012: groups is 1 or 2, not {self.groups}")
        gaussian = nn.initializers.normal(0.01)
        ones = nn.initializers.ones

        def conv(x, index, field, stride=1, padding: Padding = "same"):
            if not self.widths[index - 1]:
                return x
            split = index in (2, 4, 5)
            conv = layers.Conv(
                *(self.widths[index - 1], field, stride, padding),
                groups=self.groups if split else 1,
                dtype=self.dtype,
                kernel_init=gaussian,
                bias_init=ones if split else nn.initializers.zeros,
                name=f"conv{index}",
            )
            return nn.relu(conv(x))

        x = ops.local_response_norm(conv(x, 1, 11, 4, "valid"))
        x = ops.local_response_norm(conv(ops.max_pool(x, 3, stride=2), 2, 5))
        x = ops.max_pool(x, 3, stride=2)
        x = ops.max_pool(conv(conv(conv(x, 3, 3), 4, 3), 5, 3), 3, stride=2)
        x = x.reshape(x.shape[0], -1)
        x = dense_layers(x, self.hidden, self.dropout, self.dtype, gaussian, ones, train=train)
        x = layers.Dense(self.num_classes, dtype=self.dtype, kernel_init=gaussian, name="head")(x)
        return layers.logits(x)


def dense_layers(
    x: jax.Array,
    hidden: tuple[int, ...],
    dropout: float,
    dtype: layers.Dtype,
    kernel_init: Callable = layers.he_normal,
    bias_init: Callable = nn.initializers.zeros,
    *,
    train: bool,
) -> jax.Array:
    """Apply fc6, fc7, …, each with ReLU and dropout after it; a width of 0 leaves one out.

    Called within a compact method, whose layers they become.
    """
    for index, width in enumerate(hidden, 6):
        if width:
            dense = layers.Dense(
                width,
                dtype=dtype,
                kernel_init=kernel_init,
                bias_init=bias_init,
                name=f"fc{index}",
            )
            x = layers.Dropout(dropout)(nn.relu(dense(x)), train=train)
    return x
