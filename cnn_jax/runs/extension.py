"""``train --extend``: a run goes on beyond the end that it was begun with.

An explicit exception to the rule that a folder keeps one run. More steps are the only change, and
only where those that were taken had the same learning rates in the longer run: then its weights
are those of a run that was that long from the start. The result so far is kept beside the new one,
which counts how often the test set was opened.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnn_jax import config as configs
from cnn_jax.config import Config
from cnn_jax.data.dataset import TEST
from cnn_jax.runs import from_config, workdir
from cnn_jax.runtime import json_file
from cnn_jax.runtime.errors import BadInputError

_ALIKE = 1e-6  # of a rate; schedules are computed in float32


def has_other_length(folder: Path, config: Config) -> bool:
    """Return whether the run in ``folder`` has another length than ``config`` asks for.

    Raises ``BadInputError`` where it holds none to extend.
    """
    held = workdir.read_config(folder)
    if held is None:
        raise BadInputError(f"--extend: {str(folder)!r} holds no run; leave the flag out to begin")
    here, there = (dict(configs.leaves(each)) for each in (config, held))
    return any(here[name] != there[name] for name in configs.LENGTHS)


def check(folder: Path, config: Config, examples: int) -> None:
    """Raise ``BadInputError`` unless the run in ``folder`` can go on as one of ``config``.

    Args:
        folder: of the run.
        config: settled.
        examples: in its training part.
    """
    workdir.check_same(folder, config, ignore=configs.LENGTHS)
    stored = configs.read_stored(folder / workdir.CONFIG)
    assert stored is not None
    held = stored.config
    changed = configs.numerics_changed(stored.numerics, config)
    if changed is not None:
        raise BadInputError(f"--extend: {changed}; train anew in another folder")
    old, new = (from_config.total_steps(each, examples) for each in (held, config))
    if new <= old:
        raise BadInputError(
            f"--extend: the run has {old} steps, and {new} are no more; raise train.steps or "
            "train.epochs"
        )
    steps = np.arange(old)
    before, now = (_rates(each, total, steps) for each, total in ((held, old), (config, new)))
    apart = np.flatnonzero(~np.isclose(before, now, rtol=_ALIKE, atol=0))
    if len(apart):
        at = int(apart[0])
        raise BadInputError(
            f"--extend: the schedule {config.optim.schedule!r} looks at the run's end: with {old} "
            f"steps the learning rate was {before[at]:.6g} at step {at}, with {new} it is "
            f"{now[at]:.6g}; train anew in another folder"
        )


def _rates(config: Config, total: int, steps: np.ndarray) -> np.ndarray:
    rate: Any = from_config.schedule(config, total)
    return np.broadcast_to(np.asarray(jax.vmap(rate)(steps), np.float64), steps.shape)


def extend(folder: Path, config: Config) -> None:
    """Make the run in ``folder`` one of ``config``; its result is set aside, not lost.

    Whatever interrupts it, the same command does the rest: the result goes first, and without it
    the folder holds an unfinished run of the old config or of the new one.
    """
    held = configs.read_stored(folder / workdir.CONFIG)
    assert held is not None
    result = workdir.read_result(folder)
    if result is not None:
        steps = result["steps"]
        for name in (workdir.PREDICTIONS, workdir.RESULT):
            file = folder / name
            if file.exists():
                file.rename(_aside(folder, name, steps))
    lineage = (*held.extends, workdir.identity(held.config))
    configs.write_stored(folder / workdir.CONFIG, config, lineage)


def _aside(folder: Path, name: str, steps: int) -> Path:
    file = Path(name)
    return folder / f"{file.stem}-{steps}{file.suffix}"


def openings(folder: Path) -> list[dict[str, Any]]:
    """Return what the test set said of shorter runs in ``folder``: ``step`` and its metrics."""
    stem, suffix = Path(workdir.RESULT).stem, Path(workdir.RESULT).suffix
    found: list[Any] = [
        json_file.read(file, workdir.Result, "a run's result")
        for file in folder.glob(f"{stem}-[0-9]*{suffix}")
    ]
    tested = [each for each in found if TEST in each["metrics"]]
    tested.sort(key=lambda each: each["steps"])
    return [{"step": each["steps"]} | each["metrics"][TEST] for each in tested]
