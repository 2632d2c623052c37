"""The zoo: ``MODELS`` maps each name to its constructor; ``create`` builds a network.

A parameter's initial value is drawn with a key made of the seed and its path: Linen folds the
names of the modules around it into the key, and the kernel is the first thing each layer draws.
Two arms of a study therefore start from the same values wherever path and shape agree.
"""

import dataclasses
import functools
import typing
from collections import abc
from collections.abc import Callable, Mapping
from typing import Any, cast

import flax.linen as nn
import jax.numpy as jnp

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
from cnn_jax.nn.choices import LAYERS
from cnn_jax.registry import look_up, suggestion, table
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError

_OWN: dict[str, Callable[..., nn.Module]] = {
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
MODELS = table("model", _OWN)


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
    """Return the fields of a model that a config may set: name to default, or to a type if unset.

    Fields that hold a module class or a function are strings in configs, names of the registry's
    layers; unset, they are what the model has there by itself.
    """
    layers = layer_fields(name)
    return {
        field: str if field in layers else default for field, default in _defaults(name).items()
    }


def _defaults(name: str) -> dict[str, Any]:
    build: Any = constructor(name)
    preset = getattr(build, "keywords", {})  # a variant is a functools.partial
    taken = {"parent", "name", "num_classes", "dtype"}
    return {
        field.name: preset.get(field.name, field.default)
        for field in _declarations(build)
        if field.name not in taken and field.init
    }


def _declarations(build: Any) -> tuple[dataclasses.Field[Any], ...]:
    made = getattr(build, "func", build)
    if not dataclasses.is_dataclass(made):
        raise BadInputError(
            f"register: the model {getattr(made, '__name__', made)!r} is no module class; give a "
            "Linen module's class, or a functools.partial of one"
        )
    return dataclasses.fields(cast(Any, made))


def layer_fields(name: str) -> set[str]:
    """Return which fields of a model hold a module class or a function."""
    build: Any = constructor(name)
    hints = _hints(getattr(build, "func", build))
    return {
        field
        for field, default in _defaults(name).items()
        if callable(default) or _takes_callable(hints.get(field))
    }


@functools.cache
def _hints(build: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(build)
    except (NameError, TypeError):  # annotations of names that are only there for a type checker
        return {}


def _takes_callable(annotation: Any) -> bool:
    return (
        annotation is abc.Callable
        or typing.get_origin(annotation) in (abc.Callable, type)
        or any(_takes_callable(each) for each in typing.get_args(annotation) if each is not None)
    )


def declared(name: str) -> Mapping[str, tuple[ranges.Range | None, bool]]:
    """Return what the fields of a model take: name -> (range, whether None is one more value)."""
    build: Any = constructor(name)
    found = ranges.declared(getattr(build, "func", build))
    flag, layers = ranges.one_of(True, False), layer_fields(name)
    return {
        field: (_NAME, True)
        if field in layers
        else found.get(field, (flag if isinstance(default, bool) else None, default is None))
        for field, default in _defaults(name).items()
    }


_NAME = ranges.Text("the name of a layer or function, of the registry's")


def _is_choice(allowed: ranges.Range) -> bool:
    """Return whether a range is of some kinds, such as those of shortcuts."""
    if isinstance(allowed, ranges.Said):
        allowed = allowed.range
    return isinstance(allowed, ranges.OneOf) and not isinstance(allowed.values[0], bool)


def create(name: str, *, num_classes: int, **values: Any) -> nn.Module:
    """Build the network ``name`` with ``num_classes`` outputs.

    ``values`` are the constructor's own fields, and ``dtype``, the type it computes in. A field
    that holds a module class or a function takes one, or the name of one (``LAYERS``); None leaves
    the model's own. Raises ``BadInputError`` for an unknown model, field or name, a number or flag
    outside its range, or no classes; a kind of layer that there is not is refused when the network
    is called.
    """
    known, layers = declared(name), layer_fields(name)
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
        if allowed is not None and field not in layers and not _is_choice(allowed):
            ranges.check(f"model.{field}", value, allowed, optional=optional)
    values = {
        field: look_up(LAYERS, value, f"model.{field}: unknown layer", count=3)
        if field in layers and isinstance(value, str)
        else value
        for field, value in values.items()
        if field not in layers or value is not None
    }
    takes = {field.name for field in _declarations(constructor(name))}
    if "num_classes" not in takes:
        raise BadInputError(f"model {name!r} has no field num_classes, the number of its outputs")
    if "dtype" not in takes:
        values = _without_dtype(name, values)
    return constructor(name)(num_classes=int(num_classes), **values)


def _without_dtype(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return values for a network that has no field for the type that it computes in."""
    if values.get("dtype", jnp.float32) != jnp.float32:
        raise BadInputError(f"model {name!r} has no field dtype; train.precision has to be float32")
    return {field: value for field, value in values.items() if field != "dtype"}
