"""A run: a config and a folder around the trainer."""

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax

from cnn_jax import config as configs
from cnn_jax.analysis import summarize
from cnn_jax.config import Config
from cnn_jax.data.dataset import TEST
from cnn_jax.runs import extension, from_config, memory_estimate, workdir
from cnn_jax.runs.captions import caption
from cnn_jax.runs.experiment import SETTLED_BY_DATA, Experiment, assemble, complete
from cnn_jax.runs.initialise import Start, with_regime
from cnn_jax.runs.restore import load_step
from cnn_jax.runtime import distributed
from cnn_jax.runtime.provenance import commit, versions
from cnn_jax.train.checkpoint import Step
from cnn_jax.train.fitted import Fitted
from cnn_jax.train.folder import Folder
from cnn_jax.train.lock import RunLock
from cnn_jax.train.progress import say
from cnn_jax.train.setup import Setup
from cnn_jax.train.state import Variables
from cnn_jax.train.stopping import DivergedError, StoppedError
from cnn_jax.train.strategies import Strategy
from cnn_jax.train.writers import check_writers, open_writer


def train_and_evaluate(
    config: Config,
    folder: str | Path,
    *,
    extend: bool = False,
    sealed: bool = False,
    strategy: Callable[[Setup], Strategy] | None = None,
) -> dict[str, Any]:
    """Train, evaluate and checkpoint in ``folder``; return what its result.json holds.

    Continues where the folder holds a checkpoint of the same config; returns at once where it
    holds a finished run. Raises ``BadInputError`` for bad input and ``StoppedError`` after
    SIGTERM or SIGINT, with the state saved. ``extend`` lets a run of fewer steps go on to those of
    ``config``, see ``extension``. A ``sealed`` run has no test set: something is to be
    chosen by it. A ``strategy`` makes the programs in place of the config's, such as those that
    are shared with other seeds.
    """
    folder = Path(folder)
    config = complete(config)
    fields = dict(configs.leaves(config))
    unsettled = [name for name in SETTLED_BY_DATA if fields[name] is None]
    extending = extend and extension.has_other_length(folder, config)
    done = None
    if extending:
        workdir.check_same(folder, config, ignore=[*unsettled, *configs.LENGTHS])
    else:
        done = _finished(folder, config, ignore=unsettled)
    if done is None:
        workdir.check_writable(folder)
    with contextlib.ExitStack() as stack:
        lock = RunLock(folder)
        if done is None and distributed.is_first():
            stack.enter_context(lock)
        if done is None or unsettled:
            stack.enter_context(jax.enable_x64(config.train.precision == "float64"))
            memory_estimate.check_config(config)
            experiment = assemble(config)
            if extending:
                extension.check(folder, experiment.config, len(experiment.dataset.train))
            else:
                done = _finished(folder, experiment.config)
            if sealed:
                unseen = dataclasses.replace(experiment.dataset, test=None)
                experiment = dataclasses.replace(experiment, dataset=unseen)
            if done is None:
                return _sound(_trained(experiment, folder, lock, strategy, extending))
    if distributed.is_first():
        say(f"{folder} holds this run, finished")
    return _sound(done)


def _finished(folder: Path, config: Config, ignore: Sequence[str] = ()) -> dict[str, Any] | None:
    """Return the result in ``folder``, which may hold this run or none; None without one."""
    same = workdir.check_same(folder, config, ignore=ignore)
    return workdir.read_result(folder) if same else None


def _sound(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result; raise ``DivergedError`` for that of a network that computes no numbers."""
    for split, measured in result["metrics"].items():
        if measured["loss"] is None or not math.isfinite(measured["loss"]):
            raise DivergedError(
                f"the run has diverged: after its {result['steps']} steps the {split} loss is not "
                "finite; lower optim.learning_rate"
            )
    return result


def _trained(
    experiment: Experiment,
    path: Path,
    lock: RunLock,
    strategy: Callable[[Setup], Strategy] | None,
    extending: bool,
) -> dict[str, Any]:
    """Train in the folder at ``path``, and write the result; return it."""
    config = experiment.config
    experiment.check_batch()
    memory_estimate.check_experiment(experiment)
    experiment, start = with_regime(experiment, path)
    check_writers(config.train.writers)
    found = experiment.trainer(strategy).fit(
        experiment.dataset,
        steps=experiment.total_steps,
        batch_size=config.data.batch_size,
        every=from_config.every(config),
        workdir=lambda setup, data: _folder(experiment, path, lock, start, extending),
        variables=None if start is None else start.variables,
    )
    if found.stopped is not None:
        raise StoppedError(found.stopped)
    result = _result(experiment, found)
    if before := extension.openings(path):
        result["test_openings"] = [*before, {"step": found.steps} | found.metrics.get(TEST, {})]
    if distributed.is_first() and found.predictions is not None:
        labels = experiment.parts[TEST].labels
        workdir.write_predictions(path, config, labels, [found.predictions])
    folder = Folder(path, workdir.identity(config))
    return folder.finish(result, caption(config))


@contextlib.contextmanager
def _folder(
    experiment: Experiment, path: Path, lock: RunLock, start: Start | None, extending: bool
) -> Iterator[Folder]:
    """Make a run's folder, once everything else is known to be right."""
    config, writers = experiment.config, []
    if distributed.is_first():
        workdir.make(path)
        lock.take()
        if extending:
            extension.extend(path, config)
        workdir.check_same(path, config)  # again: another process may have made it meanwhile
        workdir.create(path, config, experiment.classes)
        plain = json.loads(configs.to_json(config))
        if start is not None:
            start.tell(path, config)
        writers = [open_writer(name, path, plain) for name in config.train.writers]
    distributed.wait_for_all("run's folder made")
    earlier = workdir.extends(path)
    yield Folder(path, workdir.identity(config), config.checkpoint.keep, writers, earlier)


def _result(experiment: Experiment, found: Fitted) -> dict[str, Any]:
    """Return what result.json holds of a run that is finished."""
    counted = summarize(experiment.module, experiment.image_shape)
    speed = found.images_per_second
    return {
        "run": workdir.identity(experiment.config),
        "metrics": found.metrics,
        "params": counted.params,
        "macs": counted.macs,
        "steps": found.steps,
        "epochs": found.steps * found.batch_size / len(experiment.dataset.train),
        "seconds": round(found.seconds, 3),
        # Of the process that finished the run.
        "seconds_by_use": {name: round(value, 3) for name, value in found.seconds_by_use.items()},
        "images_per_second": None if speed is None else round(speed, 1),
        "seed": experiment.config.seed,
        "devices": found.devices,
        "versions": versions(),
        "plugins": {
            name: {"from": plugin.name, "version": plugin.version}
            for name, plugin in configs.plugins(experiment.config).items()
        },
        "git": commit(),
        "notes": list(experiment.dataset.notes),
    } | found.record


def load_run(
    folder: str | Path, *, step: Step = None, ema: bool = False
) -> tuple[nn.Module, Variables, Config]:
    """Return (module, variables, config) of a run, ready for ``module.apply``.

    Args:
        folder: of a finished or interrupted run.
        step: of the checkpoint, ``latest`` (also None), or ``best`` on the validation part.
        ema: take the averaged network, of a run that has ``optim.ema``.
    """
    module, variables, config, _ = load_step(Path(folder), step, ema=ema)
    return module, variables, config
