"""The zoo: ``MODELS`` maps each name to its constructor; ``create`` builds a network.

A parameter's initial value is drawn with a key made of the seed and its path: Linen folds the
names of the modules around it into the key, and the kernel is the first thing each layer draws.
Two arms of a study therefore start from the same values wherever path and shape agree.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, cast

import flax.linen as nn

from cnn_jax.models import allcnn, resnet, vgg
from cnn_jax.models.alexnet import AlexNet, AlexNet2012
from cnn_jax.models.googlenet import GoogLeNet, InceptionV1
from cnn_jax.models.inception_v3 import InceptionV3
from cnn_jax.models.lenet import LeNet1, LeNet5, LeNet5Classic
from cnn_jax.models.mlp import MLP
from cnn_jax.models.mobilenet import MobileNetV1
from cnn_jax.models.nin import NIN
from cnn_jax.models.squeezenet import SqueezeNet, SqueezeNet1_1
from cnn_jax.models.zfnet import ZFNet
from cnn_jax.registry import look_up, suggestion
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError

MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "lenet1": LeNet1,
    "lenet5_classic": LeNet5Classic,
    "lenet5": LeNet5,
    "alexnet": AlexNet,
    "alexnet_2012": AlexNet2012,
    "zfnet": ZFNet,
    "googlenet": GoogLeNet,
    "inception_v1": InceptionV1,
    "inception_v3": InceptionV3,
    "mobilenet_v1": MobileNetV1,
    "squeezenet1_0": SqueezeNet,
    "squeezenet1_1": SqueezeNet1_1,
    "nin": NIN,
    **vgg.VARIANTS,
    **resnet.VARIANTS,
    **allcnn.VARIANTS,
}


# What a network is made for, where it is not 224x224 in colour and 1000 classes.
_DIGITS, _CIFAR = ("lenet", "mlp"), ("nin", "allcnn")
_SHAPES = {"lenet1": (28, 28, 1), "mlp": (28, 28, 1), "alexnet_2012": (227, 227, 3)}
_SHAPES |= {"inception_v3": (299, 299, 3)}


def image_shape(name: str) -> tuple[int, int, int]:
    """Return the (height, width, channels) that a model was published for."""
    stem = getattr(constructor(name), "keywords", {}).get("stem")
    if stem == "cifar" or name.startswith(_CIFAR):
        return 32, 32, 3
    return _SHAPES.get(name, (32, 32, 1) if name.startswith(_DIGITS) else (224, 224, 3))


def constructor(name: str) -> Callable[..., nn.Module]:
    """Return the constructor of a model, or raise ``BadInputError`` with the nearest names."""
    return look_up(MODELS, name, "unknown model", count=3)


def fields(name: str) -> dict[str, Any]:
    """Return the fields of a model that a config may set, name to default value."""
    build: Any = constructor(name)
    preset = getattr(build, "keywords", {})  # a variant is a functools.partial
    taken = {"parent", "name", "num_classes", "dtype"}
    return {
        field.name: preset.get(field.name, field.default)
        for field in dataclasses.fields(cast(Any, getattr(build, "func", build)))
        if field.name not in taken
    }


def declared(name: str) -> Mapping[str, tuple[ranges.Range | None, bool]]:
    """Return what the fields of a model take: name -> (range, whether None is one more value)."""
    build: Any = constructor(name)
    found = ranges.declared(getattr(build, "func", build))
    flag = ranges.one_of(True, False)
    return {
        field: found.get(field, (flag if isinstance(default, bool) else None, default is None))
        for field, default in fields(name).items()
    }


def _is_choice(allowed: ranges.Range) -> bool:
    """Return whether a range is of some kinds, such as those of shortcuts."""
    if isinstance(allowed, ranges.Said):
        allowed = allowed.range
    return isinstance(allowed, ranges.OneOf) and not isinstance(allowed.values[0], bool)


def create(name: str, *, num_classes: int, **values: Any) -> nn.Module:
    """Build the network ``name`` with ``num_classes`` outputs.

    ``values`` are the constructor's own fields, and ``dtype``, the type it computes in. Raises
    ``BadInputError`` for an unknown model or field, a number or flag outside its range, or no
    classes; a kind of layer that there is not is refused when the network is called.
    """
    known = declared(name)
    if not ranges.whole(1).holds(num_classes):
        raise BadInputError(f"num_classes is an int >= 1, not {num_classes!r}")
    for field, value in values.items():
        if field == "dtype":
            continue
        if field not in known:
            meant = suggestion(field, sorted(known), count=3) or "none"
            raise BadInputError(f"model {name!r} has no field {field!r}; it has {meant}")
        allowed, optional = known[field]
        # One of some kinds is refused by the layer that has them, whose words say of what.
        if allowed is not None and not _is_choice(allowed):
            ranges.check(f"model.{field}", value, allowed, optional=optional)
    return constructor(name)(num_classes=int(num_classes), **values)
