"""LeNet-1, LeNet-5 as published, and LeNet-5 with today's parts."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import ops
from cnn_jax.models.digit_codes import codes
from cnn_jax.models.inputs import Share, require_size
from cnn_jax.nn import layers
from cnn_jax.nn.blocks.halve import Halving, halve, stride_of
from cnn_jax.ops.norm import channelwise

# LeCun et al. 1998, table I: the maps of S2 that each map of C3 sees.
C3_INPUTS = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)


def scaled_tanh(x: jax.Array) -> jax.Array:
    """Return 1.7159 tanh(2 x / 3), which maps ±1 to ±1 (LeCun et al. 1998, appendix A)."""
    return 1.7159 * jnp.tanh(x * (2 / 3))


def uniform_fan_in(fan_in: int) -> layers.Initializer:
    """Return the initializer U(-2.4 / fan_in, 2.4 / fan_in) (LeCun et al. 1998, section III)."""
    bound = 2.4 / fan_in
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


class LeNet1(nn.Module):
    """LeNet-1 (LeCun et al. 1990) with full connections, for 28×28 images.

    4@5×5, 2×2 average-pool, 12@5×5 over all maps, 2×2 average-pool, a linear head; scaled tanh
    and U(±2.4 / fan-in). With one channel and 10 classes: 3,246 parameters, 136,320
    multiply-adds.
    """

    num_classes: int
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map images ``[N, H, W, C]`` (at least 16x16) to logits ``[N, num_classes]``."""
        del train  # nothing in it behaves differently
        require_size(x, 16, "lenet1: pool2")
        for name, features in (("conv1", 4), ("conv2", 12)):
            init = uniform_fan_in(25 * x.shape[-1])
            conv = layers.Conv(
                *(features, 5), padding="valid", dtype=self.dtype, kernel_init=init, name=name
            )
            x = ops.avg_pool(scaled_tanh(conv(x)), 2)
        x = x.reshape(x.shape[0], -1)
        init = uniform_fan_in(x.shape[-1])
        x = layers.Dense(self.num_classes, dtype=self.dtype, kernel_init=init, name="head")(x)
        return layers.logits(x)


class Subsampling(nn.Module):
    """Trainable subsampling: tanh(coefficient x (sum of 2×2 pixels) + bias), one pair a map.

    ``[N, H, W, C]`` to ``[N, H // 2, W // 2, C]``; parameters ``scale`` and ``bias`` ``[C]``.
    The coefficient starts at U(±2.4 / 4), as any weight of fan-in 4.
    """

    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Subsample ``x`` [N, H, W, C]."""
        kept, channels = layers.param_dtype(self.dtype), x.shape[-1:]
        scale = self.param("scale", uniform_fan_in(4), channels, kept).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, channels, kept).astype(self.dtype)
        y = 4 * ops.avg_pool(x, 2)
        return scaled_tanh(y * channelwise(scale, y) + channelwise(bias, y))


class SparseConv(nn.Module):
    """A 5×5 convolution whose map k sees only the input maps ``inputs[k]`` (table I).

    Parameters: ``kernel`` ``[5, 5, connections]``, the connected pairs alone, in the table's
    order, and ``bias``. It computes with the kernel filled up by zeros: the multiply-adds are a
    full convolution's.
    """

    inputs: tuple[tuple[int, ...], ...] = C3_INPUTS
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``x`` [N, H, W, C] to [N, H - 4, W - 4, len(inputs)]."""
        kept = layers.param_dtype(self.dtype)
        sources = np.concatenate([np.asarray(maps) for maps in self.inputs])
        targets = np.repeat(np.arange(len(self.inputs)), [len(maps) for maps in self.inputs])
        bounds = 2.4 / (25 * np.bincount(targets)[targets])  # fan-in differs from map to map

        def init(key, shape, dtype):
            drawn = jax.random.uniform(key, shape, dtype, -1, 1)
            return drawn * channelwise(jnp.asarray(bounds, dtype), drawn)

        weights = self.param("kernel", init, (5, 5, len(targets)), kept)
        bias = self.param("bias", nn.initializers.zeros, (len(self.inputs),), kept)
        kernel = jnp.zeros((5, 5, x.shape[-1], len(self.inputs)), kept)
        kernel = kernel.at[:, :, sources, targets].set(weights).astype(self.dtype)
        y = ops.conv2d(x.astype(self.dtype), kernel)
        return y + channelwise(bias.astype(self.dtype), y)


class LeNet5Classic(nn.Module):
    """LeNet-5 as published (LeCun et al. 1998, section II.B), for 32×32 images.

    C1 6@5×5, S2 trainable subsampling, C3 16@5×5 with the sparse table I, S4, C5 120, F6 84,
    radial basis functions with fixed ±1 codes; scaled tanh; U(±2.4 / fan-in). With one channel:
    60,000 parameters. The logits are the negative squared distances of F6 to the codes, so that
    softmax cross-entropy stands in for the paper's discriminative loss (equation 9).
    """

    num_classes: int
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map images ``[N, H, W, C]`` (at least 16x16) to logits ``[N, num_classes]``."""
        del train  # nothing in it behaves differently
        require_size(x, 16, "lenet5_classic: S4")
        conv1 = layers.Conv(
            *(6, 5),
            padding="valid",
            dtype=self.dtype,
            kernel_init=uniform_fan_in(25 * x.shape[-1]),
            name="conv1",
        )
        x = Subsampling(self.dtype, name="pool2")(scaled_tanh(conv1(x)))
        x = scaled_tanh(SparseConv(dtype=self.dtype, name="conv3")(x))
        x = Subsampling(self.dtype, name="pool4")(x)
        x = x.reshape(x.shape[0], -1)
        for name, width in (("fc5", 120), ("fc6", 84)):
            init = uniform_fan_in(x.shape[-1])
            x = layers.Dense(width, dtype=self.dtype, kernel_init=init, name=name)(x)
            x = scaled_tanh(x)
        # Squares of differences lose too much in bfloat16.
        x = layers.logits(x)
        prototypes = jnp.asarray(codes(self.num_classes), x.dtype)
        return -jnp.sum((x[:, None, :] - prototypes[None]) ** 2, axis=-1)


class LeNet5(nn.Module):
    """LeNet-5 (LeCun et al. 1998, section II.B) with today's parts.

    C1 6@5x5, pool, C3 16@5x5 over all maps, pool, C5 120, F6 84, a linear head: ReLU for the
    scaled tanh, max-pooling for trainable subsampling, no table of partial connections, and He
    initialisation.
    ``downsample`` says what halves the maps: ``pool``, a 2×2 max-pool; ``avg``, a 2×2
    average-pool; ``stride``, the convolution before it, with stride 2; ``conv``, a 2×2 convolution
    with stride 2 and ReLU; ``blur``, a max-pool that does not alias. ``dropout`` acts before F6
    and before the head.
    On 32x32x1 images with 10 classes: 61,706 parameters, 416,520 multiply-adds.
    """

    num_classes: int
    downsample: Halving = "pool"
    dropout: Share = 0.0
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map images ``[N, H, W, C]`` (at least 16x16) to logits ``[N, num_classes]``."""
        require_size(x, 16, "lenet5: pool4")
        stride = stride_of(self.downsample)
        conv = partial(layers.Conv, kernel_size=5, padding="valid", dtype=self.dtype)
        for index, features in ((1, 6), (3, 16)):
            x = nn.relu(conv(features, stride=stride, name=f"conv{index}")(x))
            x = halve(x, self.downsample, name=f"down{index + 1}", dtype=self.dtype)
        x = x.reshape(x.shape[0], -1)
        for name, width in (("fc5", 120), ("fc6", 84)):
            x = nn.relu(layers.Dense(width, dtype=self.dtype, name=name)(x))
            x = layers.Dropout(self.dropout)(x, train=train)
        x = layers.Dense(self.num_classes, dtype=self.dtype, name="head")(x)
        return layers.logits(x)
