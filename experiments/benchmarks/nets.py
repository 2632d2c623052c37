"""Five networks, each written once over a kit of layers: this project's or stock Flax's.

They are here to be timed, so they are as plain as the papers allow; the project's models are in
``cnn_jax.models``. Images are [N, H, W, C], logits [N, classes].
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn


class Kit(NamedTuple):
    """What a network is built of. ``conv`` takes (features, field, stride, padding, groups)."""

    conv: Callable[..., nn.Module]
    norm: Callable[[], nn.Module]  # a module called with (x, train=True)
    max_pool: Callable[..., Any]  # (x, window, stride, padding)


def stock_kit() -> Kit:
    """Return Flax's layers, as its users write them."""

    def conv(features, field, stride=1, padding=0, groups=1, bias=False):
        return nn.Conv(
            features,
            (field, field),
            (stride, stride),
            ((padding, padding),) * 2,
            feature_group_count=groups,
            use_bias=bias,
        )

    class Norm(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            return nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5)(x)

    def max_pool(x, window, stride, padding=0):
        sides: Any = ((padding, padding),) * 2  # annotated as str by Flax
        return nn.max_pool(x, (window,) * 2, (stride,) * 2, sides)

    return Kit(conv, Norm, max_pool)


def our_kit() -> Kit:
    """Return the layers of this project."""
    from cnn_jax import layers, ops  # here, so that the stock program does not import it

    def conv(features, field, stride=1, padding=0, groups=1, bias=False):
        return layers.Conv(features, field, stride, padding, groups, use_bias=bias)

    def max_pool(x, window, stride, padding=0):
        return ops.max_pool(x, window, stride=stride, padding=padding)

    return Kit(conv, layers.BatchNorm, max_pool)


class LeNet5(nn.Module):
    """LeCun et al. 1998 with ReLU and max-pooling, on 28x28 images."""

    kit: Kit

    @nn.compact
    def __call__(self, x):
        """Return logits."""
        conv, _, max_pool = self.kit
        x = max_pool(nn.relu(conv(6, 5, padding=2, bias=True)(x)), 2, 2)
        x = max_pool(nn.relu(conv(16, 5, bias=True)(x)), 2, 2)
        x = x.reshape(x.shape[0], -1)
        return nn.Dense(10)(nn.relu(nn.Dense(84)(nn.relu(nn.Dense(120)(x)))))


class VGG16(nn.Module):
    """Simonyan and Zisserman 2014, configuration D, without dropout."""

    kit: Kit

    @nn.compact
    def __call__(self, x):
        """Return logits."""
        conv, _, max_pool = self.kit
        for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(depth):
                x = nn.relu(conv(width, 3, padding=1, bias=True)(x))
            x = max_pool(x, 2, 2)
        x = x.reshape(x.shape[0], -1)
        return nn.Dense(1000)(nn.relu(nn.Dense(4096)(nn.relu(nn.Dense(4096)(x)))))


class ResNet20(nn.Module):
    """He et al. 2015, section 4.2, with projections where the shape changes."""

    kit: Kit

    @nn.compact
    def __call__(self, x):
        """Return logits."""
        conv, norm, _ = self.kit
        x = nn.relu(norm()(conv(16, 3, padding=1)(x), train=True))
        for stage, width in enumerate((16, 32, 64)):
            for block in range(3):
                stride = 2 if stage and not block else 1
                y = nn.relu(norm()(conv(width, 3, stride, 1)(x), train=True))
                y = norm()(conv(width, 3, padding=1)(y), train=True)
                if x.shape != y.shape:
                    x = norm()(conv(width, 1, stride)(x), train=True)
                x = nn.relu(x + y)
        return nn.Dense(10)(x.mean((1, 2)))


class ResNet50(nn.Module):
    """He et al. 2015, table 1, with the stride in the 3x3 (version 1.5)."""

    kit: Kit

    @nn.compact
    def __call__(self, x):
        """Return logits."""
        conv, norm, max_pool = self.kit
        x = nn.relu(norm()(conv(64, 7, 2, 3)(x), train=True))
        x = max_pool(x, 3, 2, 1)
        for stage, depth in enumerate((3, 4, 6, 3)):
            width = 64 << stage
            for block in range(depth):
                stride = 2 if stage and not block else 1
                y = nn.relu(norm()(conv(width, 1)(x), train=True))
                y = nn.relu(norm()(conv(width, 3, stride, 1)(y), train=True))
                y = norm()(conv(4 * width, 1)(y), train=True)
                if x.shape != y.shape:
                    x = norm()(conv(4 * width, 1, stride)(x), train=True)
                x = nn.relu(x + y)
        return nn.Dense(1000)(x.mean((1, 2)))


class MobileNet(nn.Module):
    """Howard et al. 2017, table 1: MobileNet v1."""

    kit: Kit

    @nn.compact
    def __call__(self, x):
        """Return logits."""
        conv, norm, _ = self.kit
        x = nn.relu(norm()(conv(32, 3, 2, 1)(x), train=True))
        widths = (64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)
        strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
        for width, stride in zip(widths, strides, strict=True):
            c = x.shape[-1]
            x = nn.relu(norm()(conv(c, 3, stride, 1, groups=c)(x), train=True))
            x = nn.relu(norm()(conv(width, 1)(x), train=True))
        return nn.Dense(1000)(x.mean((1, 2)))


# name: (network, images of one step)
NETWORKS: dict[str, tuple[type[nn.Module], tuple[int, int, int, int]]] = {
    "resnet20": (ResNet20, (128, 32, 32, 3)),
    "resnet50": (ResNet50, (16, 224, 224, 3)),
    "mobilenet_v1": (MobileNet, (16, 224, 224, 3)),
    "vgg16": (VGG16, (8, 224, 224, 3)),
    "lenet5": (LeNet5, (256, 28, 28, 1)),
}
