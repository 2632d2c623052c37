"""Networks with weights that were trained in PyTorch."""

import os
import sys
from collections.abc import Mapping
from typing import Any, cast

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import models
from cnn_jax.nn.calling import mode
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.transfer import transform_input
from cnn_jax.transfer.state_dict import read_state_dict
from cnn_jax.transfer.torch_names import Naming, Path, naming

# Our collection and leaf, and PyTorch's name of the same.
_LEAVES = {
    ("params", "kernel"): "weight",
    ("params", "scale"): "weight",
    ("params", "bias"): "bias",
    ("batch_stats", "mean"): "running_mean",
    ("batch_stats", "var"): "running_var",
}


def import_weights(
    name: str, file: str | os.PathLike[str], **fields: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network ``name`` with the weights of a PyTorch ``state_dict``.

    Takes torchvision's alexnet, vgg, googlenet, inception_v3, resnet and squeezenet, and the
    CIFAR ResNets whose shortcuts are padded half before, half after. The number of classes, of
    input channels and the presence of auxiliary heads come from the file. Whether googlenet and
    inception_v3 convert their input ("transform_input") does not: ``transform_input=True`` or
    ``False`` says so; without it, it is what the weights say where they clearly do, else True, as
    torchvision's trained networks have it. Which one, and why, goes to stderr.

    Args:
        name: a model of ``cnn_jax.models.MODELS``.
        file: ``.safetensors``, or ``.pth``, ``.pt``, ``.th`` where PyTorch is installed.
        fields: the model's own fields.

    Returns:
        The module and its variables ``{'params': …}``, with ``'batch_stats'`` if it has any.

    Raises:
        BadInputError: an unreadable file, or a tensor that is missing, surplus or misshapen.
    """
    layout = naming(name)
    tensors = read_tensors(layout, file)
    fields, told = transform_input.chosen(name, layout, tensors, fields)
    if told is not None:
        print(told, file=sys.stderr)
    return convert(name, tensors, layout, str(file), **fields)


def read_tensors(layout: Naming, file: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return a file's tensors by the usual names of the network's layout.

    Raises:
        BadInputError: as ``read_state_dict``, or a tensor is there under two names.
    """
    tensors: dict[str, np.ndarray] = {}
    for key, value in read_state_dict(file, has=layout.anchors).items():
        usual = layout.usual(key)
        if usual in tensors:
            raise BadInputError(f"{file}: has {usual!r} twice, once as {key!r}")
        if usual != key and value.ndim == 4:  # [O, C, kh, kw] over a whole map is a dense layer
            value = value.reshape(len(value), -1)
        tensors[usual] = value
    return tensors


def convert(
    name: str,
    tensors: Mapping[str, np.ndarray],
    layout: Naming,
    source: str,
    **fields: Any,
) -> tuple[nn.Module, dict[str, Any]]:
    """Return module and variables as ``import_weights`` does, from tensors in memory.

    ``source`` is named in errors.
    """
    module, channels = _module(name, tensors, layout, source, fields)
    images = jax.ShapeDtypeStruct((1, layout.size, layout.size, channels), jnp.float32)
    expected = jax.eval_shape(
        lambda key, x: module.init(key, x, **mode(module, train=False)), jax.random.key(0), images
    )
    leaves = cast(dict[Path, Any], flax.traverse_util.flatten_dict(expected))
    keys = {path: _key(layout, path) for path in leaves}
    missing = [key for key in keys.values() if key not in tensors]
    surplus = sorted(set(tensors) - set(keys.values()))
    for what, wrong in (("has no tensor", missing), ("has a surplus tensor", surplus)):
        if wrong:
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise BadInputError(f"{source}: {what} {wrong[0]!r}{more} for {name}")
    converted = {}
    for path, key in keys.items():
        value = _layout(np.asarray(tensors[key]), path, layout)
        if value.shape != leaves[path].shape:
            raise BadInputError(
                f"{source}: {key!r} {tuple(tensors[key].shape)} does not fit {name}'s "
                f"{'/'.join(path[1:])} {leaves[path].shape}"
            )
        converted[path] = jnp.asarray(value, leaves[path].dtype)
    return module, flax.traverse_util.unflatten_dict(converted)


def _module(
    name: str, tensors: Mapping[str, np.ndarray], layout: Naming, source: str, fields: dict
) -> tuple[nn.Module, int]:
    """Return the network that the tensors' shapes ask for, and its number of input channels."""
    for key in (f"{layout.head}.weight", f"{layout.stem}.weight"):
        if key not in tensors or tensors[key].ndim < 2:
            there = ", ".join(map(repr, list(tensors)[:3])) or "none"
            raise BadInputError(
                f"{source}: has no tensor {key!r} for {name}; are these its weights? There are "
                f"{there}{', ...' if len(tensors) > 3 else ''}"
            )
    classes = tensors[f"{layout.head}.weight"].shape[0]
    channels = tensors[f"{layout.stem}.weight"].shape[1]
    known = models.fields(name)
    found: dict[str, Any] = {"num_classes": classes}
    if layout.aux is not None:
        found["aux"] = any(key.startswith(layout.aux) for key in tensors)
    if "transform_input" in known:
        found["transform_input"] = channels == 3  # torchvision's, unless the caller chose
    return models.create(name, **{**found, **fields}), channels


def _key(layout: Naming, path: Path) -> str:
    collection, *module, leaf = path
    return f"{layout.module(tuple(module))}.{_LEAVES[collection, leaf]}"


def _layout(value: np.ndarray, path: Path, layout: Naming) -> np.ndarray:
    """Return a PyTorch tensor with its axes in our order."""
    if path[-1] != "kernel":
        return value
    if value.ndim == 4:  # [O, C, kh, kw]
        return value.transpose(2, 3, 1, 0)
    side = layout.flattened.get(path[1:-1])
    if side is not None and value.ndim == 2 and value.shape[1] % side**2 == 0:
        maps = value.reshape(value.shape[0], -1, side, side)
        value = maps.transpose(0, 2, 3, 1).reshape(value.shape)
    return value.T
