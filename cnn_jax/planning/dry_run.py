"""A few steps of a config on synthetic images: does it compile, and train, before it has data?"""

from typing import Any

import jax
import numpy as np

from cnn_jax.analysis import summarize
from cnn_jax.config import Config
from cnn_jax.planning import without_data
from cnn_jax.runs import memory_estimate
from cnn_jax.train.events import Every


def dry_run(config: Config, steps: int) -> dict[str, Any]:
    """Compile the train step of ``config`` and take ``steps`` of it; nothing is written.

    The images are random pixels, a batch of them, with the shape and the classes that the config
    says (see ``without_data.experiment``).

    Returns:
        ``model``, ``image_shape``, ``classes``, ``params``, ``macs``, ``batch_size``, ``devices``,
        ``steps``, the ``loss`` of the last step and ``seconds`` by use, of which ``compile`` has
        the first dispatch.

    Raises:
        BadInputError: whatever training would refuse.
        DivergedError: the loss is not finite.
    """
    with jax.enable_x64(config.train.precision == "float64"):
        batch_size = config.data.batch_size
        experiment, start = without_data.experiment(config, examples=batch_size, pixels=_noise)
        experiment.check_batch()
        memory_estimate.check_experiment(experiment)
        fitted = experiment.trainer().fit(
            experiment.dataset,
            steps=steps,
            batch_size=batch_size,
            every=Every(log=1),
            variables=None if start is None else start.variables,
        )
        counted = summarize(experiment.module, experiment.image_shape)
    (*_, last) = (line for line in fitted.history if line["split"] == "train")
    return {
        "model": config.model.name,
        "image_shape": list(experiment.image_shape),
        "classes": experiment.config.data.classes,
        "params": counted.params,
        "macs": counted.macs,
        "batch_size": batch_size,
        "devices": fitted.devices,
        "steps": fitted.steps,
        "loss": last["loss"],
        "seconds": {name: round(value, 3) for name, value in fitted.seconds_by_use.items()},
    }


def _noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
