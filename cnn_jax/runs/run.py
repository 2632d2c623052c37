"""A run: config -> objects -> fit. The one place where model, data and engine meet."""

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import config as configs
from cnn_jax.runtime import distributed, json_file
from cnn_jax.runs import memory_estimate, workdir
from cnn_jax.analysis import summarize
from cnn_jax.config import Config
from cnn_jax.runs.dispatch import steps_per_call
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runs.experiment import (
    SETTLED_BY_DATA,
    Experiment,
    assemble,
    complete,
)
from cnn_jax.runs.inference import evaluation, place
from cnn_jax.runs.programs import Programs, check_batch
from cnn_jax.runtime.provenance import commit, versions
from cnn_jax.runs.restore import check_fits, load_step
from cnn_jax.runs.lock import RunLock
from cnn_jax.runs.initialise import with_regime
from cnn_jax.train import checkpoint, curves, loop, parallel
from cnn_jax.train.checkpoint import Step
from cnn_jax.train.clock import Clock
from cnn_jax.train.logging import (
    EMA,
    TEST,
    TRAIN,
    VALIDATION,
    RunLog,
    read_metrics,
)
from cnn_jax.train.optim import rate_factor
from cnn_jax.train.progress import say
from cnn_jax.train.state import TrainState, Variables
from cnn_jax.train.writers import check_writers, open_writer


def train_and_evaluate(
    config: Config,
    folder: str | Path,
    *,
    sealed: bool = False,
    make_programs: Callable[[Experiment], Programs] = Programs,
) -> dict[str, Any]:
    """Train, evaluate and checkpoint in ``folder``; return what its result.json holds.

    Continues where the folder holds a checkpoint of the same config; returns at once where it
    holds a finished run. Raises ``BadInputError`` for bad input and ``StoppedError`` after
    SIGTERM or SIGINT, with the state saved. The run has programs of its own unless
    ``make_programs`` gives it those that it shares with other seeds. A ``sealed`` run has no test
    set: something is to be chosen by it.
    """
    folder = Path(folder)
    config = complete(config)
    fields = dict(configs.leaves(config))
    unsettled = [name for name in SETTLED_BY_DATA if fields[name] is None]
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
            done = _finished(folder, experiment.config)
            if sealed:
                parts = {name: part for name, part in experiment.parts.items() if name != TEST}
                experiment = dataclasses.replace(experiment, parts=parts)
            if done is None:
                return _sound(_train(experiment, folder, lock, make_programs))
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
            raise loop.DivergedError(
                f"the run has diverged: after its {result['steps']} steps the {split} loss is not "
                "finite; lower optim.learning_rate"
            )
    return result


def _train(
    experiment: Experiment,
    folder: Path,
    lock: RunLock,
    make_programs: Callable[[Experiment], Programs],
) -> dict[str, Any]:
    config = experiment.config
    check_batch(experiment)
    memory_estimate.check_experiment(experiment)
    clock = Clock()
    experiment, start = with_regime(experiment, folder)
    check_writers(config.train.writers)
    programs = make_programs(experiment)
    mesh = programs.mesh
    first = distributed.is_first()
    writers = []
    identity = workdir.identity(config)
    if first:
        workdir.make(folder)
        lock.take()
        workdir.check_same(folder, config)  # again: another process may have made it meanwhile
        workdir.create(folder, config, experiment.classes)
        plain = json.loads(configs.to_json(config))
        if start is not None:
            start.tell(folder, config)
        writers = [open_writer(name, folder, plain) for name in config.train.writers]
    distributed.wait_for_all("run's folder made")
    parts = {name: place(part, mesh) for name, part in experiment.parts.items()}
    predicted: dict[str, list[np.ndarray]] = {TEST: []}  # evaluated once, at the end

    def evaluate(now: TrainState, name: str) -> dict[str, dict[str, Any]]:
        measured = {name: programs.evaluate(now.variables, parts[name], predicted.get(name))}
        if mean := now.averaged:
            measured[name + EMA] = programs.evaluate(mean, parts[name])
        return measured

    def conclude(now: TrainState) -> TrainState:
        if not now.averaged:
            return now
        mean = programs.estimate(now.averaged, parts[TRAIN], config.seed)
        return now.replace(ema_rest={name: mean[name] for name in now.ema_rest})

    epoch, total = experiment.steps_per_epoch, experiment.total_steps
    schedule = experiment.schedule()
    with checkpoint.Checkpoints(folder / workdir.CHECKPOINTS, keep=config.checkpoint.keep) as kept:
        begin = programs.begin(config.seed, None if start is None else start.variables)
        at, notes = 0, {}
        if (restored := kept.restore(begin)) is not None:
            at, begin, notes = restored
            if notes.get("run", identity) != identity:
                raise BadInputError(
                    f"--workdir: {str(folder)!r} holds checkpoints of another run than its "
                    f"{workdir.CONFIG}; choose another folder"
                )
            if first:
                say(f"continuing at step {at} of {total}")
        lines = folder / workdir.METRICS
        if first:
            workdir.cut_logs_back(folder, at, notes.get("logs", {}))
        with (
            distributed.ends_with_the_others(),
            RunLog(
                lines,
                flow_file=folder / workdir.FLOW,
                step=at,
                total=total,
                batch_size=config.data.batch_size,
                writers=writers,
                silent=not first,
                noted=notes.get("logs"),
            ) as log,
        ):
            with contextlib.closing(programs.training(experiment, parts[TRAIN], clock)) as trained:
                fitted = loop.fit(
                    trained.enter(begin),
                    trained.run_steps,
                    measure_flow=trained.measure_flow,
                    view=trained.view,
                    clear=trained.clear,
                    step=at,
                    times=loop.Times(
                        total=total,
                        log=config.train.log_every,
                        evaluate=config.eval.every or epoch,
                        checkpoint=config.checkpoint.every or epoch,
                        per_call=steps_per_call(experiment),
                        profile=configs.profile_steps(config.train.profile),
                        phases=tuple(first for first, _ in experiment.phases),
                        flow=config.train.flow_every,
                    ),
                    evaluate=lambda now: evaluate(now, VALIDATION) if VALIDATION in parts else {},
                    conclude=conclude,
                    learning_rate=lambda step, now: float(
                        jnp.asarray(schedule(step)) * rate_factor(now.opt_state)
                    ),
                    classes=config.data.classes,
                    checkpoints=kept,
                    log=log,
                    clock=clock,
                    stop_agreed=programs.stop_agreed,
                    trace_folder=folder / workdir.PROFILE,
                    seconds=notes.get("seconds", 0.0),
                    about={"run": identity},
                )
            measured = {}
            for name in (TRAIN, VALIDATION, TEST):
                if name in fitted.measured:
                    measured |= fitted.measured
                elif name in parts:
                    measured |= evaluate(fitted.state, name)
            for name, line in measured.items():
                if name.startswith(TEST):
                    log.write(total, name, line)
            speed = log.images_per_second
    counted = summarize(experiment.module, experiment.image_shape)
    result = {
        "run": identity,
        "metrics": measured,
        "params": counted.params,
        "macs": counted.macs,
        "steps": total,
        "epochs": total * config.data.batch_size / len(experiment.parts[TRAIN]),
        "seconds": round(fitted.seconds, 3),
        # Of the process that finished the run.
        "seconds_by_use": {name: round(value, 3) for name, value in clock.seconds.items()},
        "images_per_second": None if speed is None else round(speed, 1),
        "seed": config.seed,
        "devices": [device.device_kind for device in mesh.devices.flat],
        "versions": versions(),
        "git": commit(),
    } | programs.record
    if first:
        title = f"{config.model.name} on {config.data.name}"
        curves.draw(read_metrics(lines), folder / workdir.CURVES, title)
        if TEST in parts:
            labels = experiment.parts[TEST].labels
            workdir.write_predictions(folder, config, labels, predicted[TEST])
        return workdir.write_result(folder, result)
    return json_file.sealed(result)


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


def evaluate_run(
    folder: str | Path,
    *,
    split: str = TEST,
    step: Step = None,
    ema: bool = False,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Evaluate a run's checkpoint on a part of its data, or of other data.

    Args:
        folder: of the run.
        split: test, validation or train (unaugmented).
        step: of the checkpoint, ``latest`` (also None), or ``best`` on the validation part.
        ema: the averaged network, of a run that has ``optim.ema``.
        overrides: ``--config.data.FIELD=VALUE``, to take other data.

    Returns:
        The metrics, with ``split``, ``step`` and ``ema``; a loss that is not finite is None.
    """
    _, variables, config, step = load_step(Path(folder), step, ema=ema)
    config = configs.override_data(config, overrides)
    with jax.enable_x64(config.train.precision == "float64"):
        experiment = assemble(complete(config))
        if split not in experiment.parts:
            have = ", ".join(experiment.parts)
            raise BadInputError(f"--split={split}: the run has no such part, only {have}")
        if overrides:
            check_fits(experiment.module, variables, experiment.image_shape)
        mesh = parallel.make_mesh()
        alike = parallel.replicated(mesh)
        part = place(experiment.parts[split], mesh)
        measured = evaluation(experiment, mesh)(jax.device_put(variables, alike), part)
    if not math.isfinite(measured["loss"]):
        say(f"the {split} loss is not finite")
    return {"split": split, "step": step, "ema": ema} | json_file.plain(measured)
