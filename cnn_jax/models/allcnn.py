"""The networks of "Striving for Simplicity" (Springenberg et al. 2014, tables 1 and 2)."""

from functools import partial
from typing import Annotated, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.models.inputs import WIDTH, Share
from cnn_jax.nn import layers
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError

# Fields of the convolutions of the first two blocks, by the base model's letter.
KERNEL_SIZES = {"a": (5,), "b": (5, 1), "c": (3, 3)}
SIZES = ranges.Each(ranges.whole(1, high=255), least=1)


class AllCNN(nn.Module):
    """Two blocks of convolutions that halve the size, then 3×3, 1×1 and a 1×1 head, averaged.

    ``kernel_sizes`` are those of a block's convolutions. ``downsample`` says what ends a block:

    - ``pool``: a 3×3/2 max-pool, the base model;
    - ``avg``: a 3×3/2 average-pool instead, padding not counted;
    - ``stride``: nothing, the block's last convolution has stride 2 ("Strided-CNN");
    - ``convpool``: a 3×3 convolution and the pool, the control for parameters ("ConvPool-CNN");
    - ``conv``: a 3×3 convolution with stride 2 ("All-CNN").

    All give maps of the same size: every layer is padded by (f - 1) / 2, pools too (where the
    paper leaves the last 3×3 unpadded). ReLU follows every convolution, the head's too; dropout
    on the input and at the end of the first two blocks. He initialisation.
    """

    num_classes: int
    kernel_sizes: Annotated[tuple[int, ...], SIZES] = KERNEL_SIZES["c"]
    downsample: Literal["pool", "avg", "stride", "convpool", "conv"] = "conv"
    widths: Annotated[tuple[int, int], ranges.Each(WIDTH, count=2)] = (96, 192)
    input_dropout: Share = 0.2
    dropout: Share = 0.5
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map images ``[N, H, W, C]`` of any size to logits ``[N, num_classes]``."""
        if self.downsample not in (kinds := ("pool", "avg", "stride", "convpool", "conv")):
            known = ", ".join(kinds)
            raise BadInputError(f"downsample is one of {known}, not {self.downsample!r}")

        def conv(x, features, field, stride=1, *, name):
            conv = layers.Conv(features, field, stride, dtype=self.dtype, name=name)
            return nn.relu(conv(x))

        x = layers.Dropout(self.input_dropout)(x, train=train)
        for block, width in enumerate(self.widths, 1):
            last = len(self.kernel_sizes)
            for index, field in enumerate(self.kernel_sizes, 1):
                stride = 2 if index == last and self.downsample == "stride" else 1
                x = conv(x, width, field, stride, name=f"conv{block}_{index}")
            if self.downsample in ("convpool", "conv"):
                stride = 2 if self.downsample == "conv" else 1
                x = conv(x, width, 3, stride, name=f"down{block}")
            if self.downsample in ("pool", "convpool"):
                x = ops.max_pool(x, 3, stride=2, padding="same")
            elif self.downsample == "avg":
                x = ops.avg_pool(x, 3, stride=2, padding="same", count_include_pad=False)
            x = layers.Dropout(self.dropout)(x, train=train)
        x = conv(x, self.widths[1], 3, name="conv3_1")
        x = conv(x, self.widths[1], 1, name="conv3_2")
        x = conv(x, self.num_classes, 1, name="head")
        return layers.logits(ops.global_avg_pool(x))


VARIANTS = {
    f"allcnn_{letter}": partial(AllCNN, kernel_sizes=sizes)
    for letter, sizes in KERNEL_SIZES.items()
}
