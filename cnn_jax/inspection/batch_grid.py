"""A picture of a training batch: what the network really sees, with the labels."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.analysis import pictures
from cnn_jax.analysis.pictures import Panel
from cnn_jax.data.dataset import TRAIN
from cnn_jax.data.stream import Batches
from cnn_jax.inspection.destination import Destination
from cnn_jax.runs import captions
from cnn_jax.runs.experiment import Experiment
from cnn_jax.runtime import random_keys
from cnn_jax.runtime.errors import BadInputError

SHOWN = 64  # images at most, and a square of them
SIDE = 1.0  # inches an image


def training_batch(experiment: Experiment, step: int = 0) -> dict[str, jax.Array]:
    """Return the batch of a step (counted from 0) as the train step gets it.

    ``image`` ``[N, H, W, C]`` is augmented and normalised, ``label`` int32 ``[N]``, and where
    examples are mixed there is ``target`` ``[N, classes]``.
    """
    config = experiment.config
    if not 0 <= step < experiment.total_steps:
        raise BadInputError(f"--step={step}: the run's steps are 0 to {experiment.total_steps - 1}")
    batches = Batches(
        experiment.parts[TRAIN],
        config.data.batch_size,
        steps=experiment.total_steps,
        seed=config.seed,
        window=experiment.preprocessing.window,
    )
    read = batches[step]
    places = jnp.arange(config.data.batch_size, dtype=jnp.uint32)
    make = jax.jit(experiment.preprocessing.training_batch())
    images, labels = jnp.asarray(read["image"]), jnp.asarray(read["label"])
    return make(jnp.int32(step), places, images, labels, random_keys.argument(config.seed))


def draw(experiment: Experiment, out: Destination, step: int = 0) -> list[Path]:
    """Write ``batch`` into a folder: up to 64 images of a step's batch; return its files.

    Pixels are those that the network gets, with the normalisation undone; values outside 0..1
    are cut off. Raises ``BadInputError`` for a step that the run does not have, or a folder that
    cannot be written.
    """
    batch = training_batch(experiment, step)
    section = experiment.config.data
    images = np.asarray(batch["image"], np.float32) * np.asarray(section.std) + section.mean
    count = min(SHOWN, len(images))
    columns = math.isqrt(count - 1) + 1
    panels = [
        Panel(image if image.shape[2] == 3 else image[..., 0], label(experiment, batch, place))
        for place, image in enumerate(images[:count])
    ]
    rows = [panels[start : start + columns] for start in range(0, count, columns)]
    files = out.files("batch")
    title = f"training batch of step {step}, as the network gets it: "
    try:
        out.folder.mkdir(parents=True, exist_ok=True)
        pictures.draw(rows, files, title + captions.title(experiment.config), side=SIDE)
    except OSError as error:
        folder = str(out.folder)
        raise BadInputError(f"--out: {folder!r} cannot be written: {error.strerror}") from None
    return files


def label(experiment: Experiment, batch: dict[str, jax.Array], place: int) -> str:
    """Return an example's class, or its classes with their shares where examples are mixed."""
    names = experiment.classes
    if "target" not in batch:
        return names[int(batch["label"][place])]
    shares = np.asarray(batch["target"][place])
    order = [c for c in np.argsort(-shares, kind="stable") if shares[c] > 0.005]
    if len(order) == 1:
        return names[order[0]]
    return "\n".join(f"{names[c]} {shares[c]:.2f}" for c in order)
