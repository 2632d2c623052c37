"""A config's experiment without its data: pixels of the right shape stand for them."""

from collections.abc import Callable

import numpy as np

from cnn_jax import config as configs
from cnn_jax import models
from cnn_jax.config import Config
from cnn_jax.data.constants import KNOWN
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.parts import Part
from cnn_jax.data.sources import official
from cnn_jax.ops.geometry import pair
from cnn_jax.runs.experiment import Experiment
from cnn_jax.runs.from_config import build_module, input_shape
from cnn_jax.runs.initialise import Start, with_regime
from cnn_jax.runtime.errors import BadInputError


def black(shape: tuple[int, ...]) -> np.ndarray:
    """Return images ``[N, H, W, C]`` that take no memory: one black pixel seen many times."""
    return np.broadcast_to(np.uint8(0), shape)


def experiment(
    config: Config,
    *,
    examples: int | None = None,
    pixels: Callable[[tuple[int, ...]], np.ndarray] = black,
) -> tuple[Experiment, Start | None]:
    """Return the experiment of a config on images that say nothing, and what it starts from.

    The number of classes is the config's, or that of the official set that it names; the images'
    size is the model's own where ``data.image_size`` is unset; the channels are as many as
    ``data.mean`` has, or the set's.

    Args:
        config: complete.
        examples: to train on; a thousand batches if None.
        pixels: makes uint8 images ``[N, H, W, C]`` of a shape.

    Raises:
        BadInputError: nothing says how many classes there are.
    """
    config = configs.override(config, ())
    section = config.data
    known = official.SETS.get(section.name)
    if section.classes is None and known is not None:
        section.classes = len(known.classes)
    if section.classes is None:
        raise BadInputError(
            "data.classes is unset and planning reads no data; set --config.data.classes=N"
        )
    height, width, channels = models.image_shape(config.model.name)
    if section.image_size is not None:
        height, width = pair(section.image_size, "data.image_size")
    section.image_size = height if height == width else (height, width)
    if section.mean is None and section.name in KNOWN:
        section.mean = KNOWN[section.name][0]
    if section.mean is not None:
        channels = len(section.mean)
    section.mean = section.mean or (0.5,) * channels
    section.std = section.std or (0.5,) * channels
    n = 1000 * section.batch_size if examples is None else examples
    labels = np.arange(n, dtype=np.int32) % section.classes
    part = Part(pixels((n, *input_shape(config))), labels)
    names = tuple(map(str, range(section.classes)))
    data = Dataset(part, None, names, (height, width))
    return with_regime(Experiment(config, build_module(config), data))
