"""Small real things that several tests need: folders of images, runs in processes."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from cnn_jax import config as configs
from cnn_jax import models
from cnn_jax.runs import workdir
from cnn_jax.train.checkpoint import Checkpoints
from cnn_jax.transfer import weights
from cnn_jax.transfer.torch_names import naming

SMALL = [
    "--config=configs/lenet5_digits.py",
    "--config.model.name=mlp",
    "--config.model.hidden=(16,)",
    "--config.data.image_size=8",
    '--config.data.augment={"pad_crop": {"padding": 1}}',
]

# Reading a damaged file, or writing to a full disk, fails in one of the library's threads while
# others still answer to an event loop that is gone by then; what they say in vain is not ours.
ABANDONED = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def write_images(
    folder: Path, *, per_class: int = 8, side: int = 8, classes: Sequence[str] = "ab"
) -> None:
    """Write PNGs whose brightness tells their class, with seeded noise."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for label, name in enumerate(classes):
        (folder / name).mkdir()
        for index in range(per_class):
            level = 60 + 120 * label / max(len(classes) - 1, 1)
            pixels = rng.normal(level, 20, (side, side)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def environment(**extra: str) -> dict[str, str]:
    """Return the environment of a process with one device; of XLA's flags, none but to hurry."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    kept = [flag for flag in flags if not flag.startswith("--xla_force_host_platform")]
    return os.environ | {"XLA_FLAGS": " ".join(kept)} | extra


def command(*arguments: str) -> list[str]:
    """Return the command line of cnn-jax."""
    return [sys.executable, "-m", "cnn_jax", *arguments]


def run(*arguments: str, **extra: str) -> subprocess.CompletedProcess:
    """Run cnn-jax in a process of its own."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, env=environment(**extra), check=False
    )


def write_run(
    folder: Path,
    model: str,
    *,
    image_shape: tuple[int, int, int],
    classes: Sequence[str] = "0123456789",
    named: bool = True,
    variables: Any = None,
    **fields: Any,
) -> tuple[Any, Any]:
    """Write the folder of a run that was not trained; return its (module, variables)."""
    height, width, channels = image_shape
    config = configs.base_config()
    config.model.name = model
    configs.add_fields(config.model, models.fields(model) | fields)
    config.data.image_size = height if height == width else (height, width)
    config.data.classes = len(classes)
    config.data.batch_size, config.train.steps = 8, 1
    config.data.mean = tuple(0.3 + 0.1 * c for c in range(channels))
    config.data.std = tuple(0.2 + 0.1 * c for c in range(channels))
    module = models.create(model, num_classes=len(classes), **fields)
    if variables is None:
        variables = jax.jit(lambda key, x: module.init(key, x, train=False))(
            jax.random.key(0), jnp.zeros((1, *image_shape))
        )
    workdir.create(folder, config, classes if named else None)
    with Checkpoints(folder / workdir.CHECKPOINTS) as kept:
        kept.save_network(variables)
    return module, variables


def write_state_dict(file: Path, model: str, *, classes: int) -> None:
    """Write a file with the tensors of PyTorch's network of a model's name: kernels at random."""
    layout, module = naming(model), models.create(model, num_classes=classes)
    x = jnp.zeros((1, *models.image_shape(model)))
    shapes = jax.eval_shape(lambda key: module.init(key, x, train=False), jax.random.key(0))
    leaves: Any = flax.traverse_util.flatten_dict(shapes)
    orders, rng, tensors = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}, np.random.default_rng(0), {}
    for path, leaf in leaves.items():
        shape = [leaf.shape[i] for i in orders[leaf.ndim]]
        values = np.ones(shape, np.float32)
        if leaf.ndim > 1:
            values = rng.standard_normal(shape, np.float32) / np.sqrt(leaf.size / leaf.shape[-1])
        tensors[weights._key(layout, path)] = values.astype(np.float32)
    safetensors.numpy.save_file(tensors, file)
