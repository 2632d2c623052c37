"""A run's network, read back from its folder."""

import re
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.errors import ScopeParamShapeError

from cnn_jax.config import Config
from cnn_jax.nn.calling import mode
from cnn_jax.runs import workdir
from cnn_jax.runs.from_config import build_module, input_shape
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train import checkpoint
from cnn_jax.train.checkpoint import Step
from cnn_jax.train.objects import OBJECTS
from cnn_jax.train.state import Variables


def load_step(
    folder: Path, step: Step, *, ema: bool = False, flag: str = "--workdir"
) -> tuple[nn.Module, Variables, Config, int]:
    """Return (module, variables, config, step) of a run's checkpoint.

    Args:
        folder: of the run.
        step: of the checkpoint, ``latest`` (also None) or ``best``.
        ema: take the averaged network, its parameters and their BatchNorm statistics.
        flag: what named the folder, for errors.
    """
    config = workdir.read_config(folder)
    if config is None and (folder / OBJECTS).exists():
        raise BadInputError(
            f"{flag}: {str(folder)!r} holds a run that was made of objects, not of a config; the "
            "Trainer that made it reads it: fit(..., workdir=...)"
        )
    if config is None:
        raise BadInputError(f"{flag}: {str(folder)!r} holds no run (no {workdir.CONFIG})")
    if not (folder / workdir.CHECKPOINTS).is_dir():
        raise BadInputError(f"{flag}: {str(folder)!r} holds no checkpoint yet")
    if ema and config.optim.ema is None:
        raise BadInputError(f"{str(folder)!r}: the run kept no running mean (optim.ema is unset)")
    module = build_module(config)
    image = jnp.zeros((1, *input_shape(config)))
    with jax.enable_x64(config.train.precision == "float64"):
        like = jax.eval_shape(
            lambda: module.init(jax.random.key(0), image, **mode(module, train=False))
        )
        with checkpoint.Checkpoints(folder / workdir.CHECKPOINTS, create=False) as kept:
            step = kept.choose(step)
            return module, kept.restore_network(step, like, ema=ema), config, step


def check_fits(module: nn.Module, variables: Variables, shape: tuple[int, ...]) -> None:
    """Raise ``BadInputError`` if weights do not fit a network for images of ``shape`` (H, W, C).

    Full connections are as large as the images and the classes that they were made for.
    """
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    try:
        jax.eval_shape(
            lambda held, x: module.apply(held, x, **mode(module, train=False)), variables, image
        )
    except ScopeParamShapeError as error:
        size = "x".join(map(str, shape))
        found = re.search(r'parameter "(.*?)" in "/(.*?)"', str(error))
        where = f" ({found[2]}/{found[1]})" if found else ""
        raise BadInputError(
            f"the run's weights do not fit images of {size} and these classes{where}; leave "
            "data.image_size, data.subsample and data.classes as the run has them"
        ) from None
