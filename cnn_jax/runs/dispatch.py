"""What a device computes in a dispatch: gather, augment, scale, and one or several steps."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Sharding

from cnn_jax.data import resident
from cnn_jax.runs.experiment import Experiment
from cnn_jax.train import flow, metrics, state, step

# Steps a dispatch where train.steps_per_call is unset. XLA's CPU backend runs convolutions
# inside a loop 3 times slower (measured: LeNet-5, batch 256, 2 cores), and its steps are long;
# elsewhere short steps would wait for Python.
CPU_STEPS_PER_CALL, STEPS_PER_CALL = 1, 20

# Arguments of what is compiled. The seed is one, so that runs that differ in it alone share a
# compilation; so is the number of steps: one program serves calls of every length.
SEVERAL = ("state", "data", "orders", "offset", "count", "seed")
GATHERED = ("state", "data", "orders", "offset", "seed")
STREAMED = ("state", "images", "labels", "seed")
NUMBERS = ("offset", "count", "seed")  # the same on every device

MakeStep = Callable[..., Any]  # train_step or flow_step


@dataclasses.dataclass(frozen=True)
class Share:
    """How much of each batch one program sees.

    Attributes:
        devices: that run the program side by side, each on its own part of the batch (pmap).
        axis: their name.
        over: of one program on several devices, how a batch lies on them (jit).
    """

    devices: int = 1
    axis: str | None = None
    over: Sharding | None = None

    def of(self, batch_size: int) -> int:
        """Return how many examples of a batch that is."""
        return batch_size // self.devices

    def number(self) -> jax.Array | int:
        """Return which of the shares this one is."""
        return 0 if self.axis is None else jax.lax.axis_index(self.axis)

    def cut(self, array: jax.Array) -> jax.Array:
        """Return an array of a value an example, cut over the devices as the batch is."""
        return array if self.over is None else jax.lax.with_sharding_constraint(array, self.over)


def steps_per_call(experiment: Experiment) -> int:
    """Return how many steps one dispatch runs at most."""
    chosen = experiment.config.train.steps_per_call
    if chosen is not None:
        return chosen
    return CPU_STEPS_PER_CALL if jax.default_backend() == "cpu" else STEPS_PER_CALL


def _of_experiment(
    make: MakeStep,
    experiment: Experiment,
    *,
    axis: str | None = None,
    seed: jax.Array | None = None,
    phase: int = -1,
) -> Any:
    config = experiment.config
    made = make(
        experiment.module,
        experiment.optimizer(),
        seed=config.seed if seed is None else seed,
        label_smoothing=config.optim.label_smoothing,
        accumulate=config.optim.accumulate,
        stat_batch=config.train.stat_batch,
        ema=config.optim.ema,
        axis=axis,
        trained=experiment.phases[phase][1],
    )
    return experiment.computed(made)


# (experiment, *, axis, seed, phase) -> the pure step (state, batch) -> (state, metrics) and the
# measurement of what it would do, (state, batch) -> gradient flow. ``seed`` is the config's unless
# given; ``phase`` says which of the parameters train.
train_step = partial(_of_experiment, step.make_train_step)
flow_step = partial(_of_experiment, flow.make_flow_step)


def on_pixels(
    make: MakeStep, experiment: Experiment, share: Share, phase: int
) -> Callable[..., Any]:
    """Return a step on a share of a batch's pixels, a function of ``STREAMED``."""
    examples = share.of(experiment.config.data.batch_size)
    make_batch = experiment.training_batch(share.axis)

    def one(now: state.TrainState, images: jax.Array, labels: jax.Array, seed: jax.Array):
        first = jnp.asarray(share.number()).astype(jnp.uint32) * examples
        places = share.cut(first + jnp.arange(examples, dtype=jnp.uint32))
        batch = make_batch(now.step, places, images, labels, seed)
        return make(experiment, axis=share.axis, seed=seed, phase=phase)(now, batch)

    return one


def gathered(
    make: MakeStep, experiment: Experiment, share: Share, phase: int
) -> Callable[..., Any]:
    """Return a step on a share of a batch of resident data, a function of ``GATHERED``.

    The batch is the rows that ``orders``, int32 ``[2 n]``, has from ``offset`` on.
    """
    examples = share.of(experiment.config.data.batch_size)
    one = on_pixels(make, experiment, share, phase)

    def at(now, data: resident.Resident, orders: jax.Array, offset: jax.Array, seed: jax.Array):
        start = offset + share.number() * examples
        rows = share.cut(jax.lax.dynamic_slice(orders, (start,), (examples,)))
        return one(now, data.images[rows], data.labels[rows], seed)

    return at


def several_steps(experiment: Experiment, share: Share, phase: int = -1) -> Callable[..., Any]:
    """Return several steps on a share of each batch, a function of ``SEVERAL``.

    It returns the state and the last step's metrics.
    """
    batch_size = experiment.config.data.batch_size
    one = gathered(train_step, experiment, share, phase)
    per_call = steps_per_call(experiment)

    def call(now, data, orders, offset, count, seed):
        def body(i, carry):
            return one(carry[0], data, orders, offset + i * batch_size, seed)

        carry = now, metrics.Sums.zero(now.window.loss.dtype)
        if per_call == 1:
            return body(0, carry)
        return jax.lax.fori_loop(0, count, body, carry)

    return call
