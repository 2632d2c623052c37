"""What is compiled: a dispatch of several training steps, and the evaluation of a part."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cnn_jax import distributed, feed, keys
from cnn_jax.data import resident
from cnn_jax.data.parts import Part, Stream
from cnn_jax.experiment import Experiment
from cnn_jax.train import compilation, loop, metrics, parallel, state, step
from cnn_jax.train.clock import DATA, Clock

# Steps a dispatch where train.steps_per_call is unset. XLA's CPU backend runs convolutions
# inside a loop 3 times slower (measured: LeNet-5, batch 256, 2 cores), and its steps are long;
# elsewhere short steps would wait for Python.
CPU_STEPS_PER_CALL, STEPS_PER_CALL = 1, 20

# The seed is an argument, so that runs that differ in it alone share a compilation.
ARGUMENTS = ("state", "data", "orders", "offset", "count", "seed")
STREAMED_ARGUMENTS = ("state", "images", "labels", "seed")

Data = resident.Resident | Stream  # a part as programs take it


@dataclasses.dataclass(frozen=True)
class Training:
    """How a state is trained under a strategy, which may keep it in a form of its own."""

    run_steps: loop.RunSteps
    enter: Callable[[state.TrainState], Any]  # a replicated state -> the strategy's form
    view: Callable[[Any], state.TrainState]  # and back
    close: Callable[[], None] = lambda: None  # ends what reads ahead
    # The form with an empty window.
    clear: Callable[[Any], Any] = lambda now: now.replace(window=now.window.cleared())


class Programs:
    """What the runs of a config are computed by, whatever their seeds."""

    record: dict[str, Any] = {}  # noqa: RUF012, of result.json: what is special about them

    def __init__(self, experiment: Experiment, mesh: Mesh | None = None):
        self.mesh = parallel.make_mesh() if mesh is None else mesh
        # A model that the images do not fit fails here, before any writing.
        shapes = jax.eval_shape(experiment.initial_state)
        cut = experiment.config.train.shard_state
        self.layout = parallel.state_shardings(shapes, self.mesh, cut=cut)
        self._evaluate = evaluation(experiment, self.mesh)
        self._draw = jax.jit(experiment.initial_state, out_shardings=self.layout)

    def begin(self, seed: int) -> state.TrainState:
        """Return the state before the first step."""
        number = keys.argument(seed)
        return compilation.hurried(self._draw, number)(number)

    def evaluate(
        self,
        variables: state.Variables,
        data: Data,
        predicted: list[np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """Return the metrics of a part; see ``evaluation``."""
        return self._evaluate(variables, data, predicted)

    def training(self, experiment: Experiment, data: Data, clock: Clock) -> Training:
        """Return how the state of one run is trained."""
        return training(experiment, data, self.mesh, self.layout, clock)

    def stop_agreed(self, told: bool, dispatches: int) -> bool:
        """Return whether the run stops now; see ``distributed.stop_agreed``."""
        return distributed.stop_agreed(told, dispatches)


def steps_per_call(experiment: Experiment) -> int:
    """Return how many steps one dispatch runs at most."""
    chosen = experiment.config.train.steps_per_call
    if chosen is not None:
        return chosen
    return CPU_STEPS_PER_CALL if jax.default_backend() == "cpu" else STEPS_PER_CALL


def train_step(experiment: Experiment, *, axis: str | None = None, seed: jax.Array | None = None):
    """Return the pure step of an experiment, (state, batch) -> (state, metrics).

    ``seed`` is the config's unless given.
    """
    config = experiment.config
    return step.make_train_step(
        experiment.module,
        experiment.optimizer(),
        seed=config.seed if seed is None else seed,
        label_smoothing=config.optim.label_smoothing,
        accumulate=config.optim.accumulate,
        stat_batch=config.train.stat_batch,
        ema=config.optim.ema,
        axis=axis,
    )


def place(part: Part | Stream, mesh: Mesh) -> Data:
    """Return a part as programs take it: copied to every device, or to be streamed."""
    if isinstance(part, Stream):
        return part
    alike = parallel.replicated(mesh)
    return resident.place(part, lambda array: parallel.place(array, alike))


def training(experiment: Experiment, data: Data, mesh: Mesh, layout: Any, clock: Clock) -> Training:
    """Return the dispatch of several steps: gather, augment, scale, update, on the device.

    Args:
        experiment: what is trained.
        data: the training part, on every device or streamed.
        mesh: the devices.
        layout: a state of shardings, where each of its arrays lies.
        clock: told of the time that getting at data takes.
    """
    options = compilation.deterministic_options() if experiment.config.train.deterministic else None
    once = partial(compilation.Once, name="the training step", arguments=ARGUMENTS, options=options)
    mapping = experiment.config.train.strategy == "pmap"
    devices = jax.device_count()
    if isinstance(data, Stream):
        once = partial(once, arguments=STREAMED_ARGUMENTS)
        return _streamed(experiment, once, mesh, layout, clock, mapping)
    if mapping:
        mapped = jax.pmap(
            several_steps(experiment, devices, parallel.AXIS),
            axis_name=parallel.AXIS,
            in_axes=(0, 0, 0, None, None, None),
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
        several_steps(experiment, 1, None, parallel.batched(mesh)),
        donate_argnums=0,
        out_shardings=(layout, alike),
    )
    run_steps = _run_steps(experiment, once(whole), data, len(data), lambda x: x, mesh, clock)
    return Training(run_steps, lambda now: now, lambda now: now)


def _streamed(experiment, once, mesh, layout, clock, mapping: bool) -> Training:
    """Return the training on batches that are read while the devices work on those before."""
    if mapping:
        one = jax.pmap(
            _one(experiment, jax.device_count(), parallel.AXIS),
            axis_name=parallel.AXIS,
            in_axes=(0, 0, 0, None),
            donate_argnums=0,
        )
        enter, view = parallel.stack, partial(parallel.unstack, mesh=mesh)
        batches = feed.Feed(experiment, mesh, feed.by_device)
    else:
        one = jax.jit(
            _one(experiment, 1, None, parallel.batched(mesh)),
            donate_argnums=0,
            out_shardings=(layout, parallel.replicated(mesh)),
        )
        enter = view = lambda now: now
        batches = feed.Feed(experiment, mesh, feed.globally(mesh))
    call, seed = once(one), keys.argument(experiment.config.seed)

    def run_steps(now: Any, at: int, count: int):
        last = None
        for number in range(at, at + count):
            with clock.section(DATA):
                images, labels = batches.take(number)
            now, last = call(now, images, labels, seed)
        return now, view(last)

    return Training(run_steps, enter, view, batches.close)


def _one(experiment: Experiment, devices: int, axis: str | None, over_devices: Any = None):
    """Return the step on this device's share of a batch, (state, images, labels, seed)."""
    share = experiment.config.data.batch_size // devices
    make_batch = experiment.training_batch(axis)

    def one(now: state.TrainState, images: jax.Array, labels: jax.Array, seed: jax.Array):
        places = jnp.arange(share, dtype=jnp.uint32)
        if axis:
            places += jax.lax.axis_index(axis).astype(jnp.uint32) * share
        else:
            places = jax.lax.with_sharding_constraint(places, over_devices)
        batch = make_batch(now.step, places, images, labels, seed)
        return train_step(experiment, axis=axis, seed=seed)(now, batch)

    return one


def several_steps(experiment: Experiment, devices: int, axis: str | None, over_devices: Any = None):
    """Return the function that is compiled: several steps on this device's share of each batch."""
    section = experiment.config.data
    share = section.batch_size // devices
    update = _one(experiment, devices, axis, over_devices)
    per_call = steps_per_call(experiment)

    def one(now: state.TrainState, data: resident.Resident, rows: jax.Array, seed: jax.Array):
        if not axis:
            rows = jax.lax.with_sharding_constraint(rows, over_devices)
        return update(now, data.images[rows], data.labels[rows], seed)

    def call(now, data, orders, offset, count, seed):
        first = jax.lax.axis_index(axis) * share if axis else 0

        def body(i, carry):
            now, _ = carry
            start = offset + i * section.batch_size + first
            return one(now, data, jax.lax.dynamic_slice(orders, (start,), (share,)), seed)

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
    seed = keys.argument(config.seed)

    def run_steps(now: Any, at: int, count: int):
        nonlocal placed
        ahead = min(count, shuffled.steps_ahead(at))
        with clock.section(DATA):
            orders, offset = shuffled.locate(at)
            if placed[0] is not orders:
                placed = orders, spread(parallel.place(orders, parallel.replicated(mesh)))
        now, last = call(now, data, placed[1], np.int32(offset), np.int32(ahead), seed)
        return (now, last) if ahead == count else run_steps(now, at + ahead, count - ahead)

    return run_steps


def evaluation(experiment: Experiment, mesh: Mesh) -> Callable[..., dict[str, Any]]:
    """Return the exact evaluation of a part: each example counts once, the last batch padded.

    It takes variables, a part and, if wanted, a list that the predicted classes of the part's
    examples are put into, int32 ``[N]``.
    """
    section = experiment.config.data
    eval_step = step.make_eval_step(experiment.module)
    over_devices = parallel.batched(mesh)
    batch_size = -(-section.batch_size // mesh.size) * mesh.size  # devices share it evenly
    compiled = partial(jax.jit, out_shardings=parallel.replicated(mesh))

    @compiled
    def shown(variables, images, labels, mask):
        images = experiment.scaled(images)
        return eval_step(variables, {"image": images, "label": labels, "mask": mask})

    @compiled
    def gathered(variables, data, start):
        rows = start + jnp.arange(batch_size, dtype=jnp.int32)
        rows = jax.lax.with_sharding_constraint(rows, over_devices)
        mask = rows < len(data)
        rows = jnp.minimum(rows, len(data) - 1)
        return shown(variables, data.images[rows], data.labels[rows], mask)

    def evaluate(
        variables: state.Variables, data: Data, predicted: list[np.ndarray] | None = None
    ) -> dict[str, Any]:
        if isinstance(data, Stream):
            batches = feed.passing(experiment, data, batch_size, mesh)
            parts = [shown(variables, *batch) for batch in batches]
        else:
            starts = range(0, len(data), batch_size)
            parts = [gathered(variables, data, np.int32(start)) for start in starts]
        if predicted is not None:
            classes = np.concatenate(jax.device_get([each for _, each in parts]))
            predicted.append(classes[: len(data)])
        return metrics.means([sums for sums, _ in parts], section.classes)

    return evaluate
