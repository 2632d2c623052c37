"""What is compiled: a dispatch of several training steps, and the evaluation of a part."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cnn_jax import keys
from cnn_jax.data import resident
from cnn_jax.experiment import Experiment
from cnn_jax.train import loop, metrics, parallel, state, step

# Steps a dispatch where train.steps_per_call is unset. XLA's CPU backend runs convolutions
# inside a loop 3 times slower (measured: LeNet-5, batch 256, 2 cores), and its steps are long;
# elsewhere short steps would wait for Python.
CPU_STEPS_PER_CALL, STEPS_PER_CALL = 1, 20


def steps_per_call(experiment: Experiment) -> int:
    """Return how many steps one dispatch runs at most."""
    chosen = experiment.config.train.steps_per_call
    if chosen is not None:
        return chosen
    return CPU_STEPS_PER_CALL if jax.default_backend() == "cpu" else STEPS_PER_CALL


def training(experiment: Experiment, data: resident.Resident, mesh: Mesh) -> loop.RunSteps:
    """Return the dispatch of several steps: gather, augment, scale, update, on the device."""
    config = experiment.config
    section, dtype = config.data, experiment.dtype
    transform = experiment.transform()
    train_step = step.make_train_step(
        experiment.module,
        experiment.optimizer(),
        seed=config.seed,
        label_smoothing=config.optim.label_smoothing,
    )
    over_devices = parallel.batched(mesh)

    def one(now: state.TrainState, data: resident.Resident, rows: jax.Array):
        rows = jax.lax.with_sharding_constraint(rows, over_devices)
        images, labels = data.images[rows], data.labels[rows]
        if section.augment:
            key = jax.random.fold_in(keys.stream(config.seed, keys.Purpose.AUGMENT), now.step)
            places = jnp.arange(section.batch_size, dtype=jnp.uint32)
            places = jax.lax.with_sharding_constraint(places, over_devices)
            own = jax.vmap(jax.random.fold_in, (None, 0))(key, places)
            images = resident.augment(images, own, transform)
        images = resident.scale(images, section.mean, section.std, dtype)
        return train_step(now, {"image": images, "label": labels})

    per_call = steps_per_call(experiment)

    @jax.jit(donate_argnums=0)
    def call(now, data, orders, offset, count):
        def body(i, carry):
            now, _ = carry
            start = offset + i * section.batch_size
            rows = jax.lax.dynamic_slice(orders, (start,), (section.batch_size,))
            return one(now, data, rows)

        carry = now, metrics.Sums.zero(now.window.loss.dtype)
        if per_call == 1:
            return body(0, carry)
        # The number of steps is an argument: one program serves calls of every length.
        return jax.lax.fori_loop(0, count, body, carry)

    shuffled = resident.Shuffled(config.seed, len(data), section.batch_size)

    def run_steps(now: state.TrainState, at: int, count: int):
        ahead = min(count, shuffled.steps_ahead(at))
        orders, offset = shuffled.locate(at)
        now, last = call(now, data, orders, np.int32(offset), np.int32(ahead))
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

    @jax.jit
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
