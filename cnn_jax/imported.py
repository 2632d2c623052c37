"""Weights from elsewhere as a run's folder, which evaluation and prediction take."""

from pathlib import Path
from typing import Any

from cnn_jax import config as configs
from cnn_jax import models, workdir
from cnn_jax.errors import BadInputError
from cnn_jax.train.checkpoint import Checkpoints
from cnn_jax.transfer.state_dict import read_state_dict
from cnn_jax.transfer.torch_names import naming
from cnn_jax.transfer.weights import convert

# The constants that torchvision's networks, and the CIFAR networks in their wake, were trained
# with: mean and standard deviation of ImageNet's pixels in 0..1, by channel.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def import_run(name: str, file: str | Path, folder: str | Path) -> dict[str, Any]:
    """Make a run in ``folder`` of the network ``name`` with PyTorch's weights in ``file``.

    The run takes its data from the overrides of the command that reads it. Images are normalised
    by ImageNet's statistics, by channel as far as the network has them.

    Returns:
        ``model``, ``classes`` and ``channels`` of the network.

    Raises:
        BadInputError: the weights do not fit, or the folder holds a run.
    """
    folder = Path(folder)
    workdir.check_writable(folder)
    if workdir.read_config(folder) is not None:
        raise BadInputError(f"--workdir: {str(folder)!r} holds a run; choose another folder")
    layout, tensors = naming(name), read_state_dict(file)
    module, variables = convert(name, tensors, layout, str(file))
    height, width, _ = models.image_shape(name)
    channels = tensors[f"{layout.stem}.weight"].shape[1]
    config = configs.base_config()
    config.model.name = name
    configs.add_fields(
        config.model, {field: getattr(module, field) for field in models.fields(name)}
    )
    config.data.image_size = height if height == width else (height, width)
    config.data.classes = getattr(module, "num_classes")  # noqa: B009 - no field of nn.Module
    config.data.mean = tuple(MEAN[c % 3] for c in range(channels))
    config.data.std = tuple(STD[c % 3] for c in range(channels))
    workdir.create(folder, config)
    with Checkpoints(folder / workdir.CHECKPOINTS) as kept:
        kept.save_network(variables)
    return {"model": name, "classes": config.data.classes, "channels": channels}
