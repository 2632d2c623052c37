"""What is compiled: a dispatch of several training steps, and the evaluation of a part."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cnn_jax import keys
from cnn_jax.data import resident
from cnn_jax.experiment import Experiment
from cnn_jax.train import compilation, loop, metrics, parallel, state, step
from cnn_jax.train.clock import DATA, Clock

# Steps a dispatch where train.steps_per_call is unset. XLA's CPU backend runs convolutions
# inside a loop 3 times slower (measured: LeNet-5, batch 256, 2 cores), and its steps are long;
# elsewhere short steps would wait for Python.
CPU_STEPS_PER_CALL, STEPS_PER_CALL = 1, 20

ARGUMENTS = ("state", "data", "orders", "offset", "count")


@dataclasses.dataclass(frozen=True)
class Training:
    """How a state is trained under a strategy, which may keep it in a form of its own."""

    run_steps: loop.RunSteps
    enter: Callable[[state.TrainState], Any]  # a replicated state -> the strategy's form
    view: Callable[[Any], state.TrainState]  # and back


def steps_per_call(experiment: Experiment) -> int:
    """Return how many steps one dispatch runs at most."""
    chosen = experiment.config.train.steps_per_call
    if chosen is not None:
        return chosen
    return CPU_STEPS_PER_CALL if jax.default_backend() == "cpu" else STEPS_PER_CALL


def train_step(experiment: Experiment, *, axis: str | None = None):
    """Return the pure step of an experiment, (state, batch) -> (state, metrics)."""
    config = experiment.config
    return step.make_train_step(
        experiment.module,
        experiment.optimizer(),
        seed=config.seed,
        label_smoothing=config.optim.label_smoothing,
        accumulate=config.optim.accumulate,
        stat_batch=config.train.stat_batch,
        ema=config.optim.ema,
        axis=axis,
    )


def training(
    experiment: Experiment, data: resident.Resident, mesh: Mesh, layout: Any, clock: Clock
) -> Training:
    """Return the dispatch of several steps: gather, augment, scale, update, on the device.

    Args:
        experiment: what is trained.
        data: the training part, on every device.
        mesh: the devices.
        layout: a state of shardings, where each of its arrays lies.
        clock: told of the time that getting at data takes.
    """
    options = compilation.deterministic_options() if experiment.config.train.deterministic else None
    once = partial(compilation.Once, name="the training step", arguments=ARGUMENTS, options=options)
    if experiment.config.train.strategy == "pmap":
        devices = jax.device_count()
        mapped = jax.pmap(
            _call(experiment, devices, parallel.AXIS),
            axis_name=parallel.AXIS,
            in_axes=(0, 0, 0, None, None),
            donate_argnums=0,
        )
        stacked = parallel.stack(data)
        view = partial(parallel.unstack, mesh=mesh)
        run_steps = _run_steps(
            experiment, once(mapped), stacked, len(data), parallel.stack, mesh, clock
        )

        def run_stacked(now: Any, at: int, count: int):
            now, last = run_steps(now, at, count)
            return now, view(last)

        return Training(run_stacked, parallel.stack, view)
    alike = parallel.replicated(mesh)
    whole = jax.jit(
        _call(experiment, 1, None, parallel.batched(mesh)),
        donate_argnums=0,
        out_shardings=(layout, alike),
    )
    run_steps = _run_steps(experiment, once(whole), data, len(data), lambda x: x, mesh, clock)
    return Training(run_steps, lambda now: now, lambda now: now)


def _call(experiment: Experiment, devices: int, axis: str | None, over_devices: Any = None):
    """Return the function that is compiled: several steps on this device's share of each batch."""
    config = experiment.config
    section, dtype = config.data, experiment.dtype
    share = section.batch_size // devices
    transform = experiment.transform()
    update = train_step(experiment, axis=axis)
    per_call = steps_per_call(experiment)

    def spread(x: jax.Array) -> jax.Array:
        return x if axis else jax.lax.with_sharding_constraint(x, over_devices)

    def one(now: state.TrainState, data: resident.Resident, rows: jax.Array):
        rows = spread(rows)
        images, labels = data.images[rows], data.labels[rows]
        if section.augment:
            key = jax.random.fold_in(keys.stream(config.seed, keys.Purpose.AUGMENT), now.step)
            places = jnp.arange(share, dtype=jnp.uint32)
            if axis:
                places += jax.lax.axis_index(axis).astype(jnp.uint32) * share
            own = jax.vmap(jax.random.fold_in, (None, 0))(key, spread(places))
            images = resident.augment(images, own, transform)
        images = resident.scale(images, section.mean, section.std, dtype)
        return update(now, {"image": images, "label": labels})

    def call(now, data, orders, offset, count):
        first = jax.lax.axis_index(axis) * share if axis else 0

        def body(i, carry):
            now, _ = carry
            start = offset + i * section.batch_size + first
            return one(now, data, jax.lax.dynamic_slice(orders, (start,), (share,)))

        carry = now, metrics.Sums.zero(now.window.loss.dtype)
        if per_call == 1:
            return body(0, carry)
        # The number of steps is an argument: one program serves calls of every length.
        return jax.lax.fori_loop(0, count, body, carry)

    return call


def _run_steps(experiment, call, data, examples, spread, mesh, clock) -> loop.RunSteps:
    config = experiment.config
    shuffled = resident.Shuffled(config.seed, examples, config.data.batch_size)
    placed: tuple[Any, Any] = (None, None)

    def run_steps(now: Any, at: int, count: int):
        nonlocal placed
        ahead = min(count, shuffled.steps_ahead(at))
        with clock.section(DATA):
            orders, offset = shuffled.locate(at)
            if placed[0] is not orders:
                placed = orders, spread(parallel.place(orders, parallel.replicated(mesh)))
        now, last = call(now, data, placed[1], np.int32(offset), np.int32(ahead))
        return (now, last) if ahead == count else run_steps(now, at + ahead, count - ahead)

    return run_steps


def evaluation(
    experiment: Experiment, mesh: Mesh
) -> Callable[[state.Variables, resident.Resident], dict[str, Any]]:
    """Return the exact evaluation of a part: each example counts once, the last batch padded."""
    section, dtype = experiment.config.data, experiment.dtype
    eval_step = step.make_eval_step(experiment.module)
    over_devices = parallel.batched(mesh)
    batch_size = -(-section.batch_size // mesh.size) * mesh.size  # devices share it evenly

    @partial(jax.jit, out_shardings=parallel.replicated(mesh))
    def batch(variables, data, start):
        rows = start + jnp.arange(batch_size, dtype=jnp.int32)
        rows = jax.lax.with_sharding_constraint(rows, over_devices)
        mask = rows < len(data)
        rows = jnp.minimum(rows, len(data) - 1)
        images = resident.scale(data.images[rows], section.mean, section.std, dtype)
        return eval_step(variables, {"image": images, "label": data.labels[rows], "mask": mask})

    def evaluate(variables: state.Variables, data: resident.Resident) -> dict[str, Any]:
        starts = range(0, len(data), batch_size)
        parts = [batch(variables, data, np.int32(start)) for start in starts]
        return metrics.means(parts, section.classes)

    return evaluate
