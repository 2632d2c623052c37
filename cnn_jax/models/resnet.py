"""Residual networks and their plain twins (He et al. 2015)."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.models.inputs import DEPTH, Count, Counts, require_size
from cnn_jax.nn import layers
from cnn_jax.nn.blocks.conv import ModuleDef
from cnn_jax.nn.blocks.residual import BasicBlock, BottleneckBlock, Shortcut, normalised
from cnn_jax.nn.calling import fields
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError

# 1 or 1.5, whichever way it is written.
VERSION = ranges.Said(ranges.one_of(1, 1.0, 1.5), "1 or 1.5")


class ResNet(nn.Module):
    """Stem, stages of residual blocks, global average, a linear head.

    Stage i has ``stages[i]`` blocks of ``width`` x 2^i channels, or of ``widths[i]`` where that is
    set (the stem has as many as the first stage); every stage but the first halves
    the size. ``stem``: 'imagenet' is a 7×7 convolution with stride 2 and a 3×3 max-pool, 'cifar' a
    3×3 convolution. ``shortcut`` and ``version`` are the blocks' fields: None makes the plain
    network. 1.5 and 'B' are torchvision's; the CIFAR networks of section 4.2 have 'A'.
    ``batch_norm=False`` keeps the scale and the shift of each normalisation and leaves out the
    normalising: the same parameters from the same initial values.
    All kernels, the head's too, start as He et al. 2015 initialise them; biases at zero.

    ``block``, ``norm`` and ``act`` take the place of what is here by default. A block is a module
    class with the fields ``features``, ``stride``, ``shortcut``, ``conv``, ``norm`` and ``act``,
    and where it has them ``version``, ``index`` (its place among all blocks, from 0) and ``blocks``
    (how many those are), called as ``block(x, train=...)``; subclasses of ``BasicBlock`` and
    ``BottleneckBlock`` are. A norm is any module class, Flax's included, whose field ``dtype`` is
    set if it has one.
    """

    num_classes: int
    stages: Annotated[tuple[int, ...], ranges.Each(DEPTH, least=1)] = (2, 2, 2, 2)
    width: Count = 64
    widths: Counts = ()
    bottleneck: bool = False
    stem: Literal["imagenet", "cifar"] = "imagenet"
    shortcut: Shortcut = "B"
    version: Annotated[float, VERSION] = 1.5
    batch_norm: bool = True
    block: ModuleDef | None = None
    norm: ModuleDef | None = None
    act: Callable[[jax.Array], jax.Array] = nn.relu
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map images ``[N, H, W, C]`` of any size to logits ``[N, num_classes]``."""
        require_size(x, 1, "resnet: conv1")
        conv = partial(layers.Conv, dtype=self.dtype)
        norm = self._norm()
        widths = self.widths or tuple(self.width * 2**i for i in range(len(self.stages)))
        if len(widths) != len(self.stages):
            raise BadInputError(f"widths {widths} are not those of {len(self.stages)} stages")
        if self.stem not in ("imagenet", "cifar"):
            raise BadInputError(f"stem is 'imagenet' or 'cifar', not {self.stem!r}")
        field, stride = (7, 2) if self.stem == "imagenet" else (3, 1)
        x = conv(widths[0], field, stride, use_bias=False, name="conv1")(x)
        x = self.act(normalised(norm(name="bn1"), x, train=train))
        if self.stem == "imagenet":
            x = ops.max_pool(x, 3, stride=2, padding="same")
        kind = self.block or (BottleneckBlock if self.bottleneck else BasicBlock)
        takes, index = fields(kind), 0
        for stage, (blocks, width) in enumerate(zip(self.stages, widths, strict=True), 1):
            for block in range(1, blocks + 1):
                place = {"version": self.version, "index": index, "blocks": sum(self.stages)}
                x = kind(
                    width,
                    stride=2 if stage > 1 and block == 1 else 1,
                    shortcut=self.shortcut,
                    conv=conv,
                    norm=norm,
                    act=self.act,
                    name=f"stage{stage}_block{block}",
                    **{name: value for name, value in place.items() if name in takes},
                )(x, train=train)
                index += 1
        x = ops.global_avg_pool(x)
        x = layers.Dense(self.num_classes, dtype=self.dtype, name="head")(x)
        return layers.logits(x)

    def _norm(self) -> ModuleDef:
        """Return the class of normalisations, with the type that it computes in."""
        if self.norm is not None and not self.batch_norm:
            raise BadInputError("norm is set, and batch_norm=False leaves normalising out; set one")
        norm = self.norm or (layers.BatchNorm if self.batch_norm else layers.Affine)
        return partial(norm, dtype=self.dtype) if "dtype" in fields(norm) else norm


# Table 1 of the paper: depth = blocks x 2 or 3 convolutions, the stem and the head.
_IMAGENET = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}
# Section 4.2: depth 6 n + 2 with n blocks a stage.
_CIFAR = (20, 32, 44, 56, 110, 1202)


def _cifar(depth: int, shortcut: Shortcut):
    n = (depth - 2) // 6
    return partial(ResNet, stages=(n, n, n), width=16, stem="cifar", shortcut=shortcut)


VARIANTS = {
    f"resnet{depth}": partial(ResNet, stages=stages, bottleneck=bottleneck)
    for depth, (stages, bottleneck) in _IMAGENET.items()
}
VARIANTS |= {
    f"plain{depth}": partial(ResNet, stages=_IMAGENET[depth][0], shortcut=None)
    for depth in (18, 34)
}
VARIANTS |= {f"resnet{depth}": _cifar(depth, "A") for depth in _CIFAR}
VARIANTS |= {f"plain{depth}": _cifar(depth, None) for depth in _CIFAR if depth <= 110}
