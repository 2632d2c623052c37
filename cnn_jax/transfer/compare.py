"""How far an imported network's activations are from PyTorch's, layer by layer."""

import os
from typing import Any, NamedTuple, cast

import flax.traverse_util
import jax
import numpy as np

from cnn_jax.runtime.errors import BadInputError
from cnn_jax.transfer import transform_input
from cnn_jax.transfer.reference import reference_network
from cnn_jax.transfer.torch_names import naming
from cnn_jax.transfer.weights import convert, read_tensors


class LayerDifference(NamedTuple):
    """One layer's outputs: the largest absolute difference, and PyTorch's largest value."""

    path: str
    torch_name: str
    difference: float
    largest: float


def import_report(
    name: str,
    file: str | os.PathLike[str],
    *,
    images: np.ndarray | None = None,
    **fields: Any,
) -> list[LayerDifference]:
    """Compare the imported network with PyTorch's, both with the weights of ``file``.

    ``images`` [N, H, W, C] are two seeded ones of noise unless given; both networks run in
    inference in float32. The rows come in the order of execution; the last one is the logits,
    ``path`` being ''. Takes PyTorch, and torchvision except for CIFAR ResNets.

    PyTorch's network is built with the same ``transform_input`` as ours, given or found as
    ``import_weights`` finds it: the report shows that both compute the same, and not which of the
    two the weights were trained with.

    Raises:
        BadInputError: as ``import_weights``, other than 3 channels, or PyTorch is missing.
    """
    layout = naming(name)
    tensors = read_tensors(layout, file)
    fields, _ = transform_input.chosen(name, layout, tensors, fields)
    module, variables = convert(name, tensors, layout, str(file), **fields)
    channels = tensors[f"{layout.stem}.weight"].shape[1]
    if channels != 3:
        raise BadInputError(f"PyTorch's {name} takes 3 channels, and these weights {channels}")
    options = {
        key: value
        for key in ("num_classes", "aux", "transform_input", "shortcut")
        if (value := getattr(module, key, None)) is not None
        and (key != "shortcut" or layout.size == 32)
    }
    network = reference_network(name, **options)
    theirs, order = _torch_activations(network, tensors, _images(images, layout.size))
    ours = _activations(module, variables, _images(images, layout.size))
    modules = {path[1:-1] for path in flax.traverse_util.flatten_dict(variables)}
    names = {layout.module(path): path for path in modules}
    rows = [
        LayerDifference("/".join(names[key]), key, *_difference(ours[names[key]], theirs[key]))
        for key in order
        if key in names
    ]
    return [*rows, LayerDifference("", "", *_difference(ours[()], theirs[""]))]


def _images(images: np.ndarray | None, size: int) -> np.ndarray:
    if images is not None:
        return np.asarray(images, np.float32)
    return np.random.default_rng(0).standard_normal((2, size, size, 3)).astype(np.float32)


def _activations(module, variables, images) -> dict[tuple[str, ...], np.ndarray]:
    """Return each module's output by its path."""

    @jax.jit
    def run(variables, images):
        return module.apply(
            variables,
            images,
            train=False,
            capture_intermediates=True,
            mutable=["intermediates"],
        )[1]["intermediates"]

    outputs = flax.traverse_util.flatten_dict(run(variables, images))
    named = cast(dict[tuple[str, ...], Any], outputs)
    return {path[:-1]: np.asarray(value[0]) for path, value in named.items()}


def _torch_activations(network, tensors, images) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return each PyTorch module's output by its name, and the names in order of execution."""
    import torch  # pyright: ignore[reportMissingImports]

    counters = {k: v for k, v in network.state_dict().items() if k.endswith("_tracked")}
    weights = {key: torch.from_numpy(np.array(value)) for key, value in tensors.items()}
    network.load_state_dict({**counters, **weights})
    outputs: dict[str, np.ndarray] = {}

    def keep(name):
        def hook(module, inputs, output):
            # A copy: the next layer may be an activation that works in place.
            array = output.detach().clone().numpy()
            outputs[name] = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array

        return hook

    for name, module in network.named_modules():
        module.register_forward_hook(keep(name))
    with torch.no_grad():
        network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    return outputs, list(outputs)


def _difference(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    return float(np.max(np.abs(ours - theirs))), float(np.max(np.abs(theirs)))
