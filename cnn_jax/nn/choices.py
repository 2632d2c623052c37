"""Layers and functions that configs name for fields of models: blocks, norms, activations."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from cnn_jax.nn import layers
from cnn_jax.nn.blocks.residual import BasicBlock, BottleneckBlock
from cnn_jax.registry import table

LAYERS: dict[str, Callable[..., Any]] = table(
    "layer",
    {
        "relu": nn.relu,
        "leaky_relu": nn.leaky_relu,
        "elu": nn.elu,
        "gelu": nn.gelu,
        "silu": nn.silu,
        "hard_swish": nn.hard_swish,
        "sigmoid": nn.sigmoid,
        "tanh": nn.tanh,
        "batch_norm": layers.BatchNorm,
        "affine": layers.Affine,
        "basic_block": BasicBlock,
        "bottleneck_block": BottleneckBlock,
    },
)
