"""A run's folder: its small files, and whether a run may go on in it."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

from cnn_jax import config as configs
from cnn_jax import models
from cnn_jax.config import Config
from cnn_jax.runtime import archives, json_file
from cnn_jax.runtime.atomic_file import written
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.folder import CHECKPOINTS, FLOW, METRICS, RESULT

CONFIG, CLASSES = "config.json", "classes.json"
INIT = "init.json"  # what a run took from which source, and what trains
PREDICTIONS = "predictions.npz"  # of the test set: label and predicted, int32 [N]

# What a run leaves only after its config.json: without that, nobody knows whose they are.
_TRACES = (CHECKPOINTS, METRICS, FLOW, RESULT, INIT, PREDICTIONS)


class Result(TypedDict):
    """result.json, at the least. Numbers that are not finite are None."""

    metrics: dict[str, dict[str, float | None]]
    params: int
    macs: int
    steps: int
    seed: int
    run: NotRequired[str]


class Classes(TypedDict):
    """classes.json, which was the list alone before."""

    classes: list[str]
    run: NotRequired[str]


class Init(TypedDict):
    """init.json: tensors by path, of a source and of the run; see ``initialise.Start``."""

    source: str
    weights: NotRequired[str]  # digest of the source's
    taken: list[str]
    anew: dict[str, str]
    left_out: list[str]
    notes: list[str]


def write(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with written(file) as temporary:
        temporary.write_text(text)


def identity(config: Config) -> str:
    """Return what tells a run's files from another's: a digest of the fields that decide it.

    Neutral fields are left out, since they may change when a run goes on, and so are defaults, of
    which a later version may have more.
    """
    unset = configs.base_config()
    configs.add_fields(unset.model, models.fields(config.model.name))
    configs.add_task_fields(unset, config.task.name)
    defaults = dict(configs.leaves(unset))
    set_ = {
        name: _number(value)
        for name, value in configs.leaves(config)
        if not name.startswith(configs.NEUTRAL) and value != defaults.get(name)
    }
    order = list(configs.ordered(config.data.augment))
    text = json.dumps([sorted(set_.items()), order])
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _number(value: Any) -> Any:
    """Return a field's value so that equal ones give the same JSON: 1 is 1.0, a tuple a list."""
    if isinstance(value, (tuple, list)):
        return [_number(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def write_predictions(
    workdir: Path, config: Config, labels: np.ndarray, predicted: Sequence[np.ndarray]
) -> None:
    """Keep the true and the predicted class of each test example, in the data set's order."""
    with written(workdir / PREDICTIONS) as temporary:
        np.savez_compressed(
            temporary,
            label=labels,
            predicted=np.concatenate(predicted),
            run=np.array(identity(config)),
        )


def read_predictions(workdir: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return label and predicted of a finished run's test set: int ``[N]``, or ``[N, labels]``.

    Raises ``UnreadableFileError`` for a file that is missing, damaged or of another run.
    """
    file = workdir / PREDICTIONS
    with archives.opened(file, "file of predictions") as archive:
        arrays = archives.arrays(archive)
        label, predicted = arrays["label"], arrays["predicted"]
    whole = all(a.ndim >= 1 and a.dtype.kind in "iu" for a in (label, predicted))
    if not whole or label.shape != predicted.shape:
        shapes = f"{label.dtype}{label.shape} and {predicted.dtype}{predicted.shape}"
        raise json_file.UnreadableFileError(
            file, f"has label and predicted of {shapes}; they are a class for each test example"
        )
    run = arrays.get("run")
    _check_run(workdir, file, None if run is None else str(run))
    return label, predicted


def read_config(workdir: Path) -> Config | None:
    """Return the resolved config of the run in ``workdir``, or None where there is no run."""
    held = configs.read_stored(workdir / CONFIG)
    return None if held is None else held.config


def extends(workdir: Path) -> tuple[str, ...]:
    """Return the identities of the shorter runs that the run in ``workdir`` goes on from."""
    held = configs.read_stored(workdir / CONFIG)
    return () if held is None else held.extends


def write_result(workdir: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Write a finished run's result.json, which has its ``identity`` as ``run``."""
    return json_file.write(workdir / RESULT, result)


def read_result(workdir: Path) -> dict[str, Any] | None:
    """Return what a finished run's result.json holds, or None.

    Raises ``UnreadableFileError`` for one that is damaged or of another run.
    """
    held: Any = json_file.find(workdir / RESULT, Result, "a run's result")
    if held is not None:
        _check_run(workdir, workdir / RESULT, held.get("run"))
    return held


def write_classes(workdir: Path, config: Config, classes: Sequence[str]) -> None:
    """Write the names of a run's classes."""
    json_file.write(workdir / CLASSES, {"run": identity(config), "classes": list(classes)})


def read_classes(workdir: Path) -> list[str] | None:
    """Return the names of a run's classes, or None where it knows none.

    Raises ``UnreadableFileError`` for a file that is damaged or of another run.
    """
    file, kind = workdir / CLASSES, Classes | list[str]
    held: Any = json_file.find(file, kind, "the names of a run's classes")  # pyright: ignore[reportArgumentType]
    if held is None:
        return None
    names, run = (held, None) if isinstance(held, list) else (held["classes"], held.get("run"))
    _check_run(workdir, file, run)
    config = read_config(workdir)
    if config is not None and len(names) != config.data.classes:
        raise json_file.UnreadableFileError(
            file, f"names {len(names)} classes; the run has {config.data.classes}"
        )
    return names


def write_init(workdir: Path, config: Config, report: dict[str, Any]) -> None:
    """Write what a run took from which source, and what trains."""
    json_file.write(workdir / INIT, {"run": identity(config)} | report)


def read_init(workdir: Path) -> dict[str, Any] | None:
    """Return what ``write_init`` wrote, or None.

    Raises ``UnreadableFileError`` for a file that is damaged or of another run.
    """
    held: Any = json_file.find(workdir / INIT, Init, "what a run started from")
    if held is None:
        return None
    _check_run(workdir, workdir / INIT, held.get("run"))
    return {name: value for name, value in held.items() if name in Init.__annotations__}


def _check_run(workdir: Path, file: Path, run: str | None) -> None:
    """Refuse a file that says that it is of another run; those of earlier versions say nothing.

    Those of a shorter run that was extended are this one's.
    """
    held = None if run is None else configs.read_stored(workdir / CONFIG)
    if held is not None and run not in (identity(held.config), *held.extends):
        raise json_file.UnreadableFileError(
            file, f"is another run's: it does not belong to the {CONFIG} beside it"
        )


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

    Raises ``BadInputError`` if it holds a run that differs in a field not in ``ignore``, an
    unfinished one that began with other arithmetic, or files of one without its config.json.
    """
    held = configs.read_stored(workdir / CONFIG)
    if held is None:
        _check_no_traces(workdir)
        return False
    line = configs.difference(held.config, config, ignore=ignore)
    if line is not None:
        longer = line.startswith(configs.LENGTHS)
        or_else = ", or give --extend to go on from it" if longer else ""
        raise BadInputError(
            f"--workdir: {str(workdir)!r} holds a run of another config: {line}; "
            f"choose another folder{or_else}"
        )
    changed = configs.numerics_changed(held.numerics, config)
    if changed is not None and not (workdir / RESULT).exists():
        raise BadInputError(
            f"--workdir: {str(workdir)!r} holds a run that cannot go on: {changed}; "
            "begin it anew in another folder"
        )
    return True


def _check_no_traces(workdir: Path) -> None:
    """Raise ``BadInputError`` for a folder with files of a run that nobody knows the config of."""
    for name in _TRACES:
        trace = workdir / name
        if trace.is_file() or (trace.is_dir() and any(trace.iterdir())):
            raise BadInputError(
                f"--workdir: {str(workdir)!r} holds {name} of a run but no {CONFIG}, which says "
                "what it trained; copy that too, or choose another folder"
            )


def make(workdir: Path) -> None:
    """Make the folder, if needed."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(f"--workdir: {str(workdir)!r}: {error.strerror}") from None


def create(workdir: Path, config: Config, classes: Sequence[str] | None = None) -> None:
    """Make the folder, if needed, and note the run's config in it, and its classes' names."""
    make(workdir)
    try:
        configs.write_stored(workdir / CONFIG, config, extends(workdir))
        if classes is not None:
            write_classes(workdir, config, classes)
    except OSError as error:
        raise BadInputError(f"--workdir: {str(workdir)!r}: {error.strerror}") from None
