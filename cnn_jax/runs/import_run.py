"""Weights from elsewhere as a run's folder, which evaluation and prediction take."""

import sys
from pathlib import Path
from typing import Any

from cnn_jax import config as configs
from cnn_jax import models
from cnn_jax.ops import imagenet
from cnn_jax.runs import workdir
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.checkpoint import Checkpoints
from cnn_jax.transfer import transform_input as choice
from cnn_jax.transfer.torch_names import naming
from cnn_jax.transfer.weights import convert, read_tensors


def import_run(
    name: str, file: str | Path, folder: str | Path, *, transform_input: bool | None = None
) -> dict[str, Any]:
    """Make a run in ``folder`` of the network ``name`` with PyTorch's weights in ``file``.

    The run takes its data from the overrides of the command that reads it. Images are normalised
    by ImageNet's statistics, by channel as far as the network has them. Whether googlenet and
    inception_v3 convert them further, ``transform_input``, is as ``import_weights`` has it, and
    goes to stderr.

    Returns:
        ``model``, ``classes`` and ``channels`` of the network; ``transform_input`` if it has it.

    Raises:
        BadInputError: the weights do not fit, or the folder holds a run.
    """
    folder = Path(folder)
    workdir.check_writable(folder)
    if workdir.read_config(folder) is not None:
        raise BadInputError(f"--workdir: {str(folder)!r} holds a run; choose another folder")
    layout = naming(name)
    tensors = read_tensors(layout, file)
    fields: dict[str, Any] = {}
    if transform_input is not None:
        fields[choice.FIELD] = transform_input
    fields, told = choice.chosen(name, layout, tensors, fields)
    module, variables = convert(name, tensors, layout, str(file), **fields)
    height, width, _ = models.image_shape(name)
    channels = tensors[f"{layout.stem}.weight"].shape[1]
    config = configs.base_config()
    config.model.name = name
    known = models.fields(name)
    own = {field: getattr(module, field) for field in known.keys() - models.layer_fields(name)}
    configs.add_fields(config.model, {field: own.get(field, known[field]) for field in known})
    config.data.image_size = height if height == width else (height, width)
    config.data.classes = getattr(module, "num_classes")  # noqa: B009 - no field of nn.Module
    config.data.mean = tuple(imagenet.MEAN[c % 3] for c in range(channels))
    config.data.std = tuple(imagenet.STD[c % 3] for c in range(channels))
    workdir.create(folder, config)
    with Checkpoints(folder / workdir.CHECKPOINTS) as kept:
        kept.save_network(variables)
    if told is not None:
        print(told, file=sys.stderr)
    made = {"model": name, "classes": config.data.classes, "channels": channels}
    return made | ({choice.FIELD: fields[choice.FIELD]} if choice.FIELD in fields else {})
