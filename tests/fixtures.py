"""Small real things that several tests need: folders of images, runs in processes."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnn_jax import config as configs
from cnn_jax import models
from cnn_jax.runs import workdir
from cnn_jax.train.checkpoint import Checkpoints
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


def torch_tensors(name: str, classes: int) -> dict[str, np.ndarray]:
    """Return random weights under PyTorch's names and in its layout."""
    module = models.create(name, num_classes=classes)
    shape = (1, *models.image_shape(name))
    variables = jax.eval_shape(
        lambda: module.init(jax.random.key(0), np.zeros(shape, np.float32), train=False)
    )
    leaves = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    rng, tensors = np.random.default_rng(0), {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        keys = [entry.key for entry in path]
        fan_in = max(np.prod(leaf.shape[:-1]), 1)
        value = (rng.uniform(0.5, 1.0, leaf.shape) / fan_in).astype(np.float32)
        order = (3, 2, 0, 1) if value.ndim == 4 else (1, 0) if value.ndim == 2 else (0,)
        key = f"{naming(name).module(tuple(keys[1:-1]))}.{leaves.get(keys[-1], keys[-1])}"
        tensors[key] = np.ascontiguousarray(value.transpose(order))
    return tensors
