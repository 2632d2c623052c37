"""Residual blocks (He et al. 2015). A plain block is the same class without its shortcut."""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.nn import branches, layers
from cnn_jax.nn.blocks.conv import ModuleDef
from cnn_jax.nn.calling import mode
from cnn_jax.runtime.errors import BadInputError

Shortcut = Literal["A", "B", "C"] | None


def pad_shortcut(x: jax.Array, features: int, stride: int) -> jax.Array:
    """Shortcut of option A: keep each ``stride``-th pixel, add channels of zeros on both sides.

    ``x`` [N, H, W, C] becomes [N, ceil(H / s), ceil(W / s), features]; no parameters (section
    3.3). Half of the new channels comes before the old ones, half after.
    """
    new = features - x.shape[-1]
    if new < 0:
        raise BadInputError(
            f"shortcut A cannot narrow {x.shape[-1]} channels to {features}; take B or C"
        )
    x = layers.subsample(x, stride)
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (new // 2, new - new // 2)))


def _joined(block: "BasicBlock | BottleneckBlock", x, y, *, train: bool):
    """Return the activation of ``y`` plus the shortcut of ``x`` that the block's field asks for."""
    if block.shortcut not in ("A", "B", "C", None):
        raise BadInputError(f"shortcut is 'A', 'B', 'C' or None, not {block.shortcut!r}")
    y = block.refine(y, train=train)
    if block.shortcut is None:
        return block.act(y)
    fits = x.shape[-1] == y.shape[-1] and block.stride == 1
    if fits and block.shortcut != "C":
        skip = x
    elif block.shortcut == "A":
        skip = pad_shortcut(x, y.shape[-1], block.stride)
    else:
        field, stride, width = 1, block.stride, y.shape[-1]
        proj = block.conv(width, field, stride, padding="valid", use_bias=False, name="proj")
        skip = normalised(block.norm(name="proj_bn"), proj(x), train=train)
    branches.note(block, y, skip)
    return ops.add_relu(y, skip) if block.act is nn.relu else block.act(y + skip)


def normalised(norm: nn.Module, x: jax.Array, *, train: bool) -> jax.Array:
    """Return what a normalisation, of this project or another, makes of ``x``."""
    apply: Any = norm
    return apply(x, **mode(norm, train=train))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions of ``features`` channels and the shortcut around them.

    ``shortcut``: 'A' pads with zeros where shapes disagree, 'B' projects there (``proj``,
    ``proj_bn``), 'C' projects always, None leaves it out: a plain block. The first convolution
    carries the stride. A subclass may change the branch by ``refine``.
    """

    features: int
    stride: int = 1
    shortcut: Shortcut = "B"
    conv: ModuleDef = layers.Conv
    norm: ModuleDef = layers.BatchNorm
    act: Callable[[jax.Array], jax.Array] = nn.relu

    def refine(self, y: jax.Array, *, train: bool) -> jax.Array:
        """Return what becomes of the branch ``y`` before the shortcut is added: nothing."""
        del train
        return y

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map ``x`` [N, H, W, C] to [N, H / stride, W / stride, features]."""
        y = self.conv(self.features, 3, self.stride, use_bias=False, name="conv1")(x)
        y = self.act(normalised(self.norm(name="bn1"), y, train=train))
        y = self.conv(self.features, 3, use_bias=False, name="conv2")(y)
        y = normalised(self.norm(name="bn2"), y, train=train)
        return _joined(self, x, y, train=train)


class BottleneckBlock(nn.Module):
    """1×1 down to ``features``, 3×3, 1×1 up to four times as many (section 4.1, figure 5).

    ``version`` says which convolution carries the stride: 1, the paper's, the first 1×1; 1.5,
    torchvision's, the 3×3 (which skips no input). Shortcuts and ``refine`` as in ``BasicBlock``.
    """

    features: int
    stride: int = 1
    shortcut: Shortcut = "B"
    version: float = 1.5
    conv: ModuleDef = layers.Conv
    norm: ModuleDef = layers.BatchNorm
    act: Callable[[jax.Array], jax.Array] = nn.relu

    def refine(self, y: jax.Array, *, train: bool) -> jax.Array:
        """Return what becomes of the branch ``y`` before the shortcut is added: nothing."""
        del train
        return y

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map ``x`` [N, H, W, C] to [N, H / stride, W / stride, 4 * features]."""
        if self.version not in (1, 1.5):
            raise BadInputError(f"version of a bottleneck block is 1 or 1.5, not {self.version}")
        first, second = (self.stride, 1) if self.version == 1 else (1, self.stride)
        y = self.conv(self.features, 1, first, use_bias=False, name="conv1")(x)
        y = self.act(normalised(self.norm(name="bn1"), y, train=train))
        y = self.conv(self.features, 3, second, use_bias=False, name="conv2")(y)
        y = self.act(normalised(self.norm(name="bn2"), y, train=train))
        y = self.conv(4 * self.features, 1, use_bias=False, name="conv3")(y)
        y = normalised(self.norm(name="bn3"), y, train=train)
        return _joined(self, x, y, train=train)
