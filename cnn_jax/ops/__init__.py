"""Operators on arrays: convolution, pooling and their geometry. No Flax, no state, no files."""

from cnn_jax.ops.conv import conv2d
from cnn_jax.ops.geometry import conv_weights, output_size, same_padding
from cnn_jax.ops.pool import avg_pool, global_avg_pool, max_pool

__all__ = [
    "avg_pool",
    "conv2d",
    "conv_weights",
    "global_avg_pool",
    "max_pool",
    "output_size",
    "same_padding",
]
