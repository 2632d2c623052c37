"""What is compiled: a dispatch of several training steps, and the evaluation of a part."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cnn_jax import feed
from cnn_jax.data import resident
from cnn_jax.data.parts import Part, Stream
from cnn_jax.experiment import Experiment
from cnn_jax.train import compilation, flow, loop, metrics, parallel, state, step
from cnn_jax.train.clock import DATA, Clock

# Steps a dispatch where train.steps_per_call is unset. XLA's CPU backend runs convolutions
# inside a loop 3 times slower (measured: LeNet-5, batch 256, 2 cores), and its steps are long;
# elsewhere short steps would wait for Python.
CPU_STEPS_PER_CALL, STEPS_PER_CALL = 1, 20

ARGUMENTS = ("state", "data", "orders", "offset", "count")
STREAMED_ARGUMENTS = ("state", "images", "labels")
STEP, MEASUREMENT = "the training step", "the gradient flow's measurement"

Data = resident.Resident | Stream  # a part as programs take it


@dataclasses.dataclass(frozen=True)
class Training:
    """How a state is trained under a strategy, which may keep it in a form of its own."""

    run_steps: loop.RunSteps
    enter: Callable[[state.TrainState], Any]  # a replicated state -> the strategy's form
    view: Callable[[Any], state.TrainState]  # and back
    measure_flow: loop.MeasureFlow
    close: Callable[[], None] = lambda: None  # ends what reads ahead


def steps_per_call(experiment: Experiment) -> int:
    """Return how many steps one dispatch runs at most."""
    chosen = experiment.config.train.steps_per_call
    if chosen is not None:
        return chosen
    return CPU_STEPS_PER_CALL if jax.default_backend() == "cpu" else STEPS_PER_CALL


def train_step(experiment: Experiment, *, axis: str | None = None):
    """Return the pure step of an experiment, (state, batch) -> (state, metrics)."""
    return _step(step.make_train_step, experiment, axis)


def flow_step(experiment: Experiment, *, axis: str | None = None):
    """Return the measurement of what the step would do, (state, batch) -> gradient flow."""
    return _step(flow.make_flow_step, experiment, axis)


def _step(make: Callable[..., Any], experiment: Experiment, axis: str | None) -> Any:
    config = experiment.config
    return make(
        experiment.module,
        experiment.optimizer(),
        seed=config.seed,
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
    once = partial(compilation.Once, options=options)
    mapping = experiment.config.train.strategy == "pmap"
    devices = jax.device_count()
    if isinstance(data, Stream):
        return _streamed(experiment, once, mesh, layout, clock, mapping)
    if mapping:
        mapped = jax.pmap(
            _call(experiment, devices, parallel.AXIS),
            axis_name=parallel.AXIS,
            in_axes=(0, 0, 0, None, None),
            donate_argnums=0,
        )
        measured = jax.pmap(
            _at(experiment, flow_step, devices, parallel.AXIS),
            axis_name=parallel.AXIS,
            in_axes=(0, 0, 0, None),
        )
        stacked = parallel.stack(data)
        view = partial(parallel.unstack, mesh=mesh)
        order = _Order(experiment, len(data), parallel.stack, mesh, clock)
        run_steps = _run_steps(once(mapped, STEP, ARGUMENTS), stacked, order)
        measure = once(measured, MEASUREMENT, ARGUMENTS[:4])

        def run_stacked(now: Any, at: int, count: int):
            now, last = run_steps(now, at, count)
            return now, view(last)

        def measure_stacked(now: Any, at: int):
            return view(measure(now, stacked, *order.locate(at)))

        return Training(run_stacked, parallel.stack, view, measure_stacked)
    over_devices, alike = parallel.batched(mesh), parallel.replicated(mesh)
    whole = jax.jit(
        _call(experiment, 1, None, over_devices), donate_argnums=0, out_shardings=(layout, alike)
    )
    flow_whole = jax.jit(_at(experiment, flow_step, 1, None, over_devices), out_shardings=alike)
    order = _Order(experiment, len(data), lambda x: x, mesh, clock)
    run_steps = _run_steps(once(whole, STEP, ARGUMENTS), data, order)
    measure = once(flow_whole, MEASUREMENT, ARGUMENTS[:4])
    return Training(
        run_steps,
        lambda now: now,
        lambda now: now,
        lambda now, at: measure(now, data, *order.locate(at)),
    )


def _streamed(experiment, once, mesh, layout, clock, mapping: bool) -> Training:
    """Return the training on batches that are read while the devices work on those before."""
    if mapping:
        cut = jax.device_count(), parallel.AXIS
        mapped = partial(jax.pmap, axis_name=parallel.AXIS)
        one = mapped(_one(experiment, train_step, *cut), donate_argnums=0)
        measured = mapped(_one(experiment, flow_step, *cut))
        enter, view = parallel.stack, partial(parallel.unstack, mesh=mesh)
        batches = feed.Feed(experiment, mesh, feed.by_device)
    else:
        cut = 1, None, parallel.batched(mesh)
        alike = parallel.replicated(mesh)
        one = jax.jit(
            _one(experiment, train_step, *cut), donate_argnums=0, out_shardings=(layout, alike)
        )
        measured = jax.jit(_one(experiment, flow_step, *cut), out_shardings=alike)
        enter = view = lambda now: now
        batches = feed.Feed(experiment, mesh, feed.globally(mesh))
    call = once(one, STEP, STREAMED_ARGUMENTS)
    measure = once(measured, MEASUREMENT, STREAMED_ARGUMENTS)

    def run_steps(now: Any, at: int, count: int):
        last = None
        for number in range(at, at + count):
            with clock.section(DATA):
                images, labels = batches.take(number)
            now, last = call(now, images, labels)
        return now, view(last)

    def measure_flow(now: Any, at: int):
        with clock.section(DATA):
            images, labels = batches.peek(at)
        return view(measure(now, images, labels))

    return Training(run_steps, enter, view, measure_flow, batches.close)


def _one(
    experiment: Experiment,
    make_step: Callable[..., Any],
    devices: int,
    axis: str | None,
    over_devices: Any = None,
):
    """Return a step on this device's share of a batch's pixels, (state, images, labels)."""
    share = experiment.config.data.batch_size // devices
    make_batch = experiment.training_batch(axis)
    update = make_step(experiment, axis=axis)

    def one(now: state.TrainState, images: jax.Array, labels: jax.Array):
        places = jnp.arange(share, dtype=jnp.uint32)
        if axis:
            places += jax.lax.axis_index(axis).astype(jnp.uint32) * share
        else:
            places = jax.lax.with_sharding_constraint(places, over_devices)
        return update(now, make_batch(now.step, places, images, labels))

    return one


def _at(
    experiment: Experiment,
    make_step: Callable[..., Any],
    devices: int,
    axis: str | None,
    over_devices: Any = None,
):
    """Return a step on this device's share of a batch, (state, data, orders, where it begins)."""
    share = experiment.config.data.batch_size // devices
    one = _one(experiment, make_step, devices, axis, over_devices)

    def at(now: state.TrainState, data: resident.Resident, orders: jax.Array, offset: jax.Array):
        first = jax.lax.axis_index(axis) * share if axis else 0
        rows = jax.lax.dynamic_slice(orders, (offset + first,), (share,))
        if not axis:
            rows = jax.lax.with_sharding_constraint(rows, over_devices)
        return one(now, data.images[rows], data.labels[rows])

    return at


def _call(experiment: Experiment, devices: int, axis: str | None, over_devices: Any = None):
    """Return the function that is compiled: several steps on this device's share of each batch."""
    section = experiment.config.data
    one = _at(experiment, train_step, devices, axis, over_devices)
    per_call = steps_per_call(experiment)

    def call(now, data, orders, offset, count):
        def body(i, carry):
            now, _ = carry
            return one(now, data, orders, offset + i * section.batch_size)

        carry = now, metrics.Sums.zero(now.window.loss.dtype)
        if per_call == 1:
            return body(0, carry)
        # The number of steps is an argument: one program serves calls of every length.
        return jax.lax.fori_loop(0, count, body, carry)

    return call


class _Order:
    """The order of the examples on the devices, as far as it is needed."""

    def __init__(self, experiment: Experiment, examples: int, spread: Any, mesh: Mesh, clock):
        config = experiment.config
        self._shuffled = resident.Shuffled(config.seed, examples, config.data.batch_size)
        self.steps_ahead = self._shuffled.steps_ahead
        self._put = lambda orders: spread(parallel.place(orders, parallel.replicated(mesh)))
        self._placed: tuple[Any, Any] = (None, None)
        self._clock = clock

    def locate(self, step: int) -> tuple[Any, np.int32]:
        """Return the order and where in it the batch of a step begins."""
        with self._clock.section(DATA):
            orders, offset = self._shuffled.locate(step)
            if self._placed[0] is not orders:
                self._placed = orders, self._put(orders)
        return self._placed[1], np.int32(offset)


def _run_steps(call, data, order: _Order) -> loop.RunSteps:
    def run_steps(now: Any, at: int, count: int):
        ahead = min(count, order.steps_ahead(at))
        now, last = call(now, data, *order.locate(at), np.int32(ahead))
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
