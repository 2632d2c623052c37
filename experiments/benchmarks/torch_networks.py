"""The benchmark's networks in PyTorch: torchvision's, and those that it does not have."""

from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

from cnn_jax.transfer.reference import reference_network


def network(name: str, classes: int) -> nn.Module:
    """Return an untrained network with the parameters of ours; ``aux`` heads included."""
    if name == "lenet5":
        return lenet5(classes)
    if name == "mobilenet_v1":
        return mobilenet_v1(classes)
    return reference_network(name, num_classes=classes, aux=True)


def lenet5(classes: int) -> nn.Module:
    """Return LeNet-5 with ReLU and max-pooling, for 32x32 images of one channel."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes)),
    )


def mobilenet_v1(classes: int) -> nn.Module:
    """Return MobileNet v1 (Howard et al. 2017, table 1)."""

    def conv(channels: int, features: int, field: int, stride: int, groups: int = 1):
        return (
            nn.Conv2d(channels, features, field, stride, field // 2, groups=groups, bias=False),
            nn.BatchNorm2d(features),
            nn.ReLU(inplace=True),
        )

    parts: list[Any] = [*conv(3, 32, 3, 2)]
    channels = 32
    widths = (64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    for features, stride in zip(widths, strides, strict=True):
        parts += [*conv(channels, channels, 3, stride, channels), *conv(channels, features, 1, 1)]
        channels = features
    return nn.Sequential(
        *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )


def losses(outputs: Any) -> list[torch.Tensor]:
    """Return the logits of a forward pass: the network's own first, then those of its heads."""
    return list(outputs) if isinstance(outputs, tuple) else [outputs]
