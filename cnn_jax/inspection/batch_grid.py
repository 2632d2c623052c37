"""A picture of a training batch: what the network really sees, with the labels."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.dataset import TRAIN
from cnn_jax.data.stream import Batches
from cnn_jax.runs.experiment import Experiment
from cnn_jax.runtime import random_keys
from cnn_jax.runtime.atomic_file import written
from cnn_jax.runtime.errors import BadInputError

SHOWN = 64  # images at most, and a square of them
SIDE = 1.3  # inches an image


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


def draw(experiment: Experiment, folder: str | Path, step: int = 0) -> Path:
    """Write ``batch.png`` into ``folder``: up to 64 images of a step's batch; return the file.

    Pixels are those that the network gets, with the normalisation undone; values outside 0..1
    are cut off. Raises ``BadInputError`` for a step that the run does not have, or a folder that
    cannot be written.
    """
    from matplotlib.figure import Figure

    batch = training_batch(experiment, step)
    section = experiment.config.data
    images = np.asarray(batch["image"], np.float32) * np.asarray(section.std) + section.mean
    count = min(SHOWN, len(images))
    columns = math.isqrt(count - 1) + 1
    rows = -(-count // columns)
    size = SIDE * columns, SIDE * 1.15 * rows
    figure = Figure(figsize=size, layout="constrained", dpi=120)
    for place, axis in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axis.axis("off")
        if place < count:
            shown = images[place].clip(0, 1)
            axis.imshow(shown if shown.shape[2] == 3 else shown[..., 0], "gray", vmin=0, vmax=1)
            axis.set_title(label(experiment, batch, place), fontsize=6)
    file = Path(folder) / "batch.png"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with written(file) as temporary:
            figure.savefig(temporary)
    except OSError as error:
        raise BadInputError(f"--out: {str(folder)!r} cannot be written: {error.strerror}") from None
    return file


def label(experiment: Experiment, batch: dict[str, jax.Array], place: int) -> str:
    """Return an example's class, or its classes with their shares where examples are mixed."""
    names = experiment.classes
    if "target" not in batch:
        return names[int(batch["label"][place])]
    shares = np.asarray(batch["target"][place])
    order = [c for c in np.argsort(-shares, kind="stable") if shares[c] > 0.005]
    if len(order) == 1:
        return names[order[0]]
    return " ".join(f"{names[c]} {shares[c]:.2f}" for c in order)
