"""Inception v3 (Szegedy et al. 2015), as torchvision has it."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.models.googlenet import from_imagenet_statistics
from cnn_jax.models.inputs import Share, require_size
from cnn_jax.nn import layers
from cnn_jax.nn.blocks.conv import ConvNormAct
from cnn_jax.nn.blocks.factorised import InceptionA, InceptionB, InceptionC, InceptionD, InceptionE

# The modules by their places in the network, after the stem.
MODULES = {
    "5b": partial(InceptionA, pool_features=32),
    "5c": partial(InceptionA, pool_features=64),
    "5d": partial(InceptionA, pool_features=64),
    "6a": InceptionB,
    "6b": partial(InceptionC, width=128),
    "6c": partial(InceptionC, width=160),
    "6d": partial(InceptionC, width=160),
    "6e": partial(InceptionC, width=192),
    "7a": InceptionD,
    "7b": InceptionE,
    "7c": InceptionE,
}


class AuxiliaryHead(nn.Module):
    """The classifier after module 6e: 5×5/3 average-pool, 1×1 and 5×5 convolutions, a dense layer.

    Its unpadded 5×5 takes features of at least 17×17.
    """

    num_classes: int
    unit: Any
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map features ``[N, H, W, 768]`` to logits ``[N, num_classes]``."""
        x = ops.avg_pool(x, 5, stride=3)
        x = self.unit(128, 1, name="conv1")(x, train=train)
        x = self.unit(768, 5, padding="valid", name="conv2")(x, train=train)
        x = layers.Dense(self.num_classes, dtype=self.dtype, name="head")(ops.global_avg_pool(x))
        return layers.logits(x)


class InceptionV3(nn.Module):
    """Stem of six convolutions, eleven factorised modules, global average, dropout, a head.

    For 299×299 images. ``aux`` adds the auxiliary head (loss weight 0.4); ``transform_input``
    converts images as ``from_imagenet_statistics`` does. He initialisation.
    """

    AUX_WEIGHTS = (0.4,)

    num_classes: int
    aux: bool = True
    transform_input: bool = False
    dropout: Share = 0.5
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> Any:
        """Map images ``[N, H, W, C]`` to logits ``[N, num_classes]``.

        In training with ``aux``: the tuple (logits, the head's logits). At least 75x75 pixels;
        299x299 where the auxiliary head is built or runs.
        """
        require_size(x, 75, "inception_v3: inception7a")
        head_runs = self.aux and (train or self.is_initializing())
        if head_runs:
            require_size(x, 299, "inception_v3: aux's 5x5 (without it, aux=False, 75x75)")
        if self.transform_input:
            x = from_imagenet_statistics(x)
        unit = partial(
            ConvNormAct,
            conv=partial(layers.Conv, dtype=self.dtype),
            norm=partial(layers.BatchNorm, epsilon=1e-3, dtype=self.dtype),
        )
        x = unit(32, 3, 2, "valid", name="conv1a")(x, train=train)
        x = unit(32, 3, padding="valid", name="conv2a")(x, train=train)
        x = unit(64, 3, name="conv2b")(x, train=train)
        x = ops.max_pool(x, 3, stride=2)
        x = unit(80, 1, name="conv3b")(x, train=train)
        x = unit(192, 3, padding="valid", name="conv4a")(x, train=train)
        x = ops.max_pool(x, 3, stride=2)
        auxiliary = ()
        for at, module in MODULES.items():
            x = module(unit=unit, name=f"inception{at}")(x, train=train)
            if at == "6e" and head_runs:
                head = AuxiliaryHead(self.num_classes, unit, dtype=self.dtype, name="aux")
                auxiliary = (head(x, train=train),)
        x = layers.Dropout(self.dropout)(ops.global_avg_pool(x), train=train)
        x = layers.logits(layers.Dense(self.num_classes, dtype=self.dtype, name="head")(x))
        return (x, *auxiliary) if self.aux and train else x
