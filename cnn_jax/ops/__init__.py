"""Operators on arrays: convolution, pooling, normalisation. No Flax, no state, no files.

They work where jax's and Flax's own do: under ``jit``, ``vmap``, ``pmap``, ``shard_map`` and
``jax.disable_jit()``, differentiated in either direction and to any order, for shapes that
``jax.export`` leaves open, and where ranks and types are not promoted by themselves. Left out is
``jax.experimental.jet``, which has no rules for these primitives (nor for XLA's maximum of
windows); derivatives of higher order are those of ``jax.jvp`` and ``jax.grad``, nested.
"""

from cnn_jax.ops.activation import add_relu
from cnn_jax.ops.conv import conv2d, convolve2d, depthwise_conv2d
from cnn_jax.ops.filters import FILTERS
from cnn_jax.ops.geometry import conv_weights, output_size, same_padding
from cnn_jax.ops.norm import batch_norm, local_response_norm
from cnn_jax.ops.pool import avg_pool, global_avg_pool, max_pool
from cnn_jax.ops.primitive import native, stock

__all__ = [
    "FILTERS",
    "add_relu",
    "avg_pool",
    "batch_norm",
    "conv2d",
    "conv_weights",
    "convolve2d",
    "depthwise_conv2d",
    "global_avg_pool",
    "local_response_norm",
    "max_pool",
    "native",
    "output_size",
    "same_padding",
    "stock",
]
