"""A run's checkpoint, evaluated: metrics, every example's scores, and what they look like."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnn_jax import config as configs
from cnn_jax.analysis import verdict_plots
from cnn_jax.config import Config
from cnn_jax.data.dataset import TEST
from cnn_jax.runs import captions, class_names, from_config, workdir
from cnn_jax.runs.experiment import Experiment, assemble, complete
from cnn_jax.runs.inferred_fields import ClassesDifferError
from cnn_jax.runs.restore import check_fits, load_step
from cnn_jax.runtime import json_file
from cnn_jax.runtime.atomic_file import written
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.figures import PNG, check_format
from cnn_jax.tasks.measures import BINS
from cnn_jax.train.checkpoint import Step
from cnn_jax.train.measurements import numbers_of
from cnn_jax.train.progress import say
from cnn_jax.train.trainer import Trainer

METRICS, SCORES = "metrics.json", "scores.npz"
CONFUSION, RELIABILITY = "confusion", "reliability"  # and the format


def evaluate_run(
    folder: str | Path,
    *,
    split: str = TEST,
    step: Step = None,
    ema: bool = False,
    overrides: Sequence[str] = (),
    names: str | Path | None = None,
    out: str | Path | None = None,
    picture_format: str = PNG,
) -> dict[str, Any]:
    """Evaluate a run's checkpoint on a part of its data, or of other data.

    Args:
        folder: of the run.
        split: test, validation or train (unaugmented).
        step: of the checkpoint, ``latest`` (also None), or ``best`` on the validation part.
        ema: the averaged network, of a run that has ``optim.ema``.
        overrides: ``--config.data.FIELD=VALUE``, to take other data. Those may have some of the
            network's classes, told by their names.
        names: a text file with the names of the network's classes, one a line; those that the run
            knows if None.
        out: a folder for ``metrics.json``, which has what is more than a number, too;
            ``scores.npz`` with label, prediction and scores (float32) of each example, in the data
            set's order; and plots of confusion and reliability where the task has classes.
        picture_format: of the plots, png, pdf or svg.

    Returns:
        The metrics that are numbers, with ``split``, ``step`` and ``ema``; one that is not finite
        is None. Where other data are of some of the network's classes, ``classes`` says of how
        many, and ``accuracy_among`` is that of a choice among those alone.
    """
    check_format(picture_format, "--format")
    _, variables, config, step = load_step(Path(folder), step, ema=ema)
    known = class_names.of_run(Path(folder), config.data.classes, names)
    config = configs.override_data(config, overrides)
    if out is not None:
        workdir.check_writable(Path(out), "--out")
    with jax.enable_x64(config.train.precision == "float64"):
        experiment = _assembled(config, known, split)
        if overrides:
            check_fits(experiment.module, variables, experiment.image_shape)
    trainer = _in_full(from_config.trainer(experiment.config, experiment.module, None))
    said: list[np.ndarray] = []
    scores: list[np.ndarray] | None = [] if hasattr(trainer.task, "scores") else None
    part, batch_size = experiment.parts[split], experiment.config.data.batch_size
    measured = trainer.evaluate(
        variables, part, batch_size=batch_size, predicted=said, scores=scores
    )
    if not math.isfinite(measured["loss"]):
        say(f"the {split} loss is not finite")
    about = {"split": split, "step": step, "ema": ema}
    if overrides and scores:
        measured |= _among(scores[0], part.labels)
    if out is not None:
        _write(Path(out), experiment, about | measured, part.labels, said[0], scores)
        _draw(Path(out), experiment, about | measured, part.labels, scores, picture_format)
    return about | json_file.plain(numbers_of(measured))


def _assembled(config: Config, known: Sequence[str] | None, split: str) -> Experiment:
    """Return the experiment on data that may be others than those trained on, and have ``split``.

    ``known`` are the names of the network's classes.
    """
    if config.data.name is None:
        raise BadInputError(
            "the run was not trained here and names no data; give --config.data.name=folder "
            "--config.data.dir=DIR, or another set"
        )
    try:
        experiment = assemble(complete(config), known)
    except ClassesDifferError as error:
        hint = "; --names=FILE with the network's class names, one a line, takes some of them"
        raise BadInputError(f"{error}{hint}") from None
    if split not in experiment.parts:
        have = ", ".join(experiment.parts)
        raise BadInputError(f"--split={split}: the run has no such part, only {have}")
    return experiment


def _in_full(trainer: Trainer) -> Trainer:
    """Return a trainer whose task measures all that it can."""
    task: Any = trainer.task
    return (
        dataclasses.replace(trainer, task=task.in_full()) if hasattr(task, "in_full") else trainer
    )


def _among(scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return what a choice among the classes that there are would score; {} where all are there.

    Args:
        scores: of all classes, ``[N, classes]``.
        labels: int ``[N]``.
    """
    if labels.ndim != 1 or scores.ndim != 2:
        return {}
    there = np.unique(labels)
    if len(there) == scores.shape[1]:
        return {}
    sound = ~np.isnan(scores).any(axis=1)
    hits = sound & (there[scores[:, there].argmax(axis=1)] == labels)
    return {"classes": len(there), "accuracy_among": float(hits.mean())}


def _write(
    out: Path,
    experiment: Experiment,
    measured: dict[str, Any],
    labels: np.ndarray,
    said: np.ndarray,
    scores: list[np.ndarray] | None,
) -> None:
    """Write what ``evaluate_run`` promises into its folder."""
    workdir.make(out)
    names = list(experiment.classes)
    json_file.write(out / METRICS, {"classes": names} | json_file.plain(measured))
    arrays: dict[str, Any] = {"label": labels, "predicted": said}
    if scores is not None:
        arrays["scores"] = scores[0].astype(np.float32)
    with written(out / SCORES) as temporary:
        np.savez_compressed(temporary, **arrays)


def _draw(
    out: Path,
    experiment: Experiment,
    measured: dict[str, Any],
    labels: np.ndarray,
    scores: list[np.ndarray] | None,
    kind: str,
) -> None:
    """Draw what was measured of classes into the folder, in a format."""
    names, title = list(experiment.classes), captions.title(experiment.config)
    title = f"{title}, {measured['split']}, step {measured['step']}"
    if "confusion" in measured:
        files = [out / f"{CONFUSION}.{kind}"]
        verdict_plots.confusion(np.array(measured["confusion"]), names, files, title)
    if "calibration_error" in measured and scores is not None:
        error, files = measured["calibration_error"], [out / f"{RELIABILITY}.{kind}"]
        verdict_plots.reliability(scores[0], labels, error, BINS, files, title)
