"""A run's folder: config.json, result.json, and whether a run may go on in it."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax import config as configs
from cnn_jax.atomic_file import written
from cnn_jax.config import Config
from cnn_jax.errors import BadInputError

CONFIG, METRICS, RESULT, CURVES = "config.json", "metrics.jsonl", "result.json", "curves.png"
FLOW = "flow.jsonl"  # the gradient flow, where train.flow_every asks for it
CHECKPOINTS, PROFILE, CLASSES = "checkpoints", "profile", "classes.json"
INIT = "init.json"  # what a run took from which source, and what trains
PREDICTIONS = "predictions.npz"  # of the test set: label and predicted, int32 [N]


def write(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with written(file) as temporary:
        temporary.write_text(text)


def write_predictions(workdir: Path, labels: np.ndarray, predicted: Sequence[np.ndarray]) -> None:
    """Keep the true and the predicted class of each test example, in the data set's order."""
    with written(workdir / PREDICTIONS) as temporary:
        np.savez_compressed(temporary, label=labels, predicted=np.concatenate(predicted))


def read_config(workdir: Path) -> Config | None:
    """Return the resolved config of the run in ``workdir``, or None where there is no run."""
    held = configs.read_stored(workdir / CONFIG)
    return None if held is None else held.config


def read_result(workdir: Path) -> dict[str, Any] | None:
    """Return what a finished run's result.json holds, or None."""
    file = workdir / RESULT
    return json.loads(file.read_text()) if file.exists() else None


def read_classes(workdir: Path) -> list[str] | None:
    """Return the names of a run's classes, or None where it knows none."""
    file = workdir / CLASSES
    return json.loads(file.read_text()) if file.exists() else None


def check_writable(workdir: Path, flag: str = "--workdir") -> None:
    """Raise ``BadInputError`` if the folder cannot be made or written; leaves nothing behind."""
    place = workdir
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise BadInputError(f"{flag}: {str(place)!r} is a file, not a folder; choose another")
    if not os.access(place, os.W_OK | os.X_OK):
        raise BadInputError(f"{flag}: {str(place)!r} is not writable; choose another")


def check_same(workdir: Path, config: Config, *, ignore: Sequence[str] = ()) -> bool:
    """Return whether ``workdir`` holds a run of ``config``; False if it holds none.

    Raises ``BadInputError`` if it holds a run that differs in a field not in ``ignore``, or an
    unfinished one that began with other arithmetic.
    """
    held = configs.read_stored(workdir / CONFIG)
    if held is None:
        return False
    line = configs.difference(held.config, config, ignore=ignore)
    if line is not None:
        raise BadInputError(
            f"--workdir: {str(workdir)!r} holds a run of another config: {line}; "
            "choose another folder"
        )
    changed = configs.numerics_changed(held.numerics, config)
    if changed is not None and not (workdir / RESULT).exists():
        raise BadInputError(
            f"--workdir: {str(workdir)!r} holds a run that cannot go on: {changed}; "
            "begin it anew in another folder"
        )
    return True


def create(workdir: Path, config: Config, classes: Sequence[str] | None = None) -> None:
    """Make the folder, if needed, and note the run's config in it, and its classes' names."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if classes is not None:
            write(workdir / CLASSES, json.dumps(list(classes)) + "\n")
        configs.write_stored(workdir / CONFIG, config)
    except OSError as error:
        raise BadInputError(f"--workdir: {str(workdir)!r}: {error.strerror}") from None
