"""What pictures of a run say it is, and the picture of its curves."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from cnn_jax.config import Config
from cnn_jax.runs import from_config, workdir
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train import curves
from cnn_jax.train.folder import METRICS, steps_an_epoch
from cnn_jax.train.logging import read_metrics

# Sets as their authors write them, by the name of a source or of a folder that holds their images.
SETS = {
    "mnist": "MNIST",
    "fashionmnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet": "ImageNet",
}


def data_name(config: Config) -> str | None:
    """Return what a config's data set is called: a folder of images has the folder's own name."""
    section = config.data
    name = section.name
    if name == "folder" and section.dir:
        name = os.path.basename(os.path.abspath(os.path.expanduser(section.dir)))
    if not name:
        return name
    return SETS.get(name.lower().replace("_", "").replace("-", ""), name)


def title(config: Config) -> str:
    """Return a run's network and data, such as ``lenet5 on MNIST``."""
    data = data_name(config)
    return config.model.name if data is None else f"{config.model.name} on {data}"


def caption(config: Config) -> curves.Caption:
    """Return what a settled config's curves say beside the numbers."""
    task, augment = from_config.task(config), from_config.augmentation(config)
    return curves.caption(title(config), task, augment)


def draw_curves(folder: Path, files: Sequence[Path]) -> None:
    """Draw the curves of the run in ``folder``, finished or not, into files by their endings.

    Raises:
        BadInputError: the folder holds no run of a config, or one that has not logged anything.
    """
    config = workdir.read_config(folder)
    if config is None:
        raise BadInputError(f"--workdir: {str(folder)!r} holds no run")
    lines = read_metrics(folder / METRICS)
    if not lines:
        raise BadInputError(f"--what=curves: {str(folder / METRICS)!r} has no lines yet")
    about = caption(config)
    if result := workdir.read_result(folder):
        about = dataclasses.replace(about, epoch=steps_an_epoch(result))
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
    curves.draw(lines, files, about)
