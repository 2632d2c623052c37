"""Programs: training compiled for the devices, under jit or pmap, and what measures it."""

import bisect
import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cnn_jax.runs import dispatch, feed
from cnn_jax.runtime import distributed, random_keys
from cnn_jax.data import resident
from cnn_jax.data.parts import Stream
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runs.experiment import Experiment
from cnn_jax.runs.inference import Data, evaluation, load_native, statistics
from cnn_jax.train import compilation, loop, parallel, state
from cnn_jax.train.clock import DATA, Clock
from cnn_jax.train.logging import TRAIN

STEP, MEASUREMENT = "the training step", "the gradient flow's measurement"


@dataclasses.dataclass(frozen=True)
class Training:
    """How a state is trained under a strategy, which may keep it in a form of its own."""

    run_steps: loop.RunSteps
    enter: Callable[[state.TrainState], Any]  # a replicated state -> the strategy's form
    view: Callable[[Any], state.TrainState]  # and back
    measure_flow: loop.MeasureFlow
    close: Callable[[], None] = lambda: None  # ends what reads ahead
    # The form with an empty window.
    clear: Callable[[Any], Any] = lambda now: now.replace(window=now.window.cleared())


class Programs:
    """What the runs of a config are computed by, whatever their seeds."""

    record: dict[str, Any]  # of result.json: what is special about them

    def __init__(self, experiment: Experiment, mesh: Mesh | None = None):
        self.mesh = parallel.make_mesh() if mesh is None else mesh
        # A model that the images do not fit fails here, before any writing.
        shapes = jax.eval_shape(experiment.initial_state)
        cut = experiment.config.train.shard_state
        self.layout = parallel.state_shardings(shapes, self.mesh, cut=cut)
        self.record = load_native(experiment, self.mesh)
        self._evaluate = evaluation(experiment, self.mesh)
        self._statistics = statistics(experiment, self.mesh)
        self._draw = jax.jit(experiment.initial_state, out_shardings=self.layout)

    def begin(self, seed: int, given: state.Variables | None = None) -> state.TrainState:
        """Return the state before the first step; ``given`` variables start from these values."""
        drawn = random_keys.argument(seed), given
        return compilation.hurried(self._draw, *drawn)(*drawn)

    def evaluate(
        self,
        variables: state.Variables,
        data: Data,
        predicted: list[np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """Return the metrics of a part; see ``evaluation``."""
        return self._evaluate(variables, data, predicted)

    def estimate(self, variables: state.Variables, data: Data, seed: int) -> state.Variables:
        """Return the variables with BatchNorm's statistics estimated anew; see ``statistics``."""
        return self._statistics(variables, data, seed)

    def training(self, experiment: Experiment, data: Data, clock: Clock) -> Training:
        """Return how the state of one run is trained."""
        return training(experiment, data, self.mesh, self.layout, clock)

    def stop_agreed(self, told: bool, dispatches: int) -> bool:
        """Return whether the run stops now; see ``distributed.stop_agreed``."""
        return distributed.stop_agreed(told, dispatches)


@dataclasses.dataclass(frozen=True)
class _Strategy:
    """What distinguishes jit from pmap."""

    share: dispatch.Share
    enter: Callable[[Any], Any]  # replicated arrays -> the form that its programs take
    view: Callable[[Any], Any]  # and back
    put: feed.Put  # streamed batches
    # (function, its arguments' names, whether it returns a new state) -> jitted
    map: Callable[[Callable[..., Any], tuple[str, ...], bool], Any]


def _under_jit(mesh: Mesh, layout: Any) -> _Strategy:
    alike = parallel.replicated(mesh)

    def map_(function: Callable[..., Any], names: tuple[str, ...], trains: bool) -> Any:
        del names
        if trains:
            return jax.jit(function, donate_argnums=0, out_shardings=(layout, alike))
        return jax.jit(function, out_shardings=alike)

    share = dispatch.Share(over=parallel.batched(mesh))
    return _Strategy(share, lambda tree: tree, lambda tree: tree, feed.globally(mesh), map_)


def _under_pmap(mesh: Mesh) -> _Strategy:
    def map_(function: Callable[..., Any], names: tuple[str, ...], trains: bool) -> Any:
        axes: Any = tuple(None if name in dispatch.NUMBERS else 0 for name in names)
        donated = 0 if trains else ()
        return jax.pmap(function, parallel.AXIS, in_axes=axes, donate_argnums=donated)

    share = dispatch.Share(jax.device_count(), parallel.AXIS)
    view = partial(parallel.unstack, mesh=mesh)
    return _Strategy(share, parallel.stack, view, feed.by_device, map_)


class _Compiled:
    """The program of each phase of a training, compiled when it is first called.

    Args:
        experiment: what is trained.
        strategy: jit or pmap.
        make: phase -> the function.
        names: its arguments.
        name: what it is called in errors.
    """

    def __init__(
        self,
        experiment: Experiment,
        strategy: _Strategy,
        make: Callable[[int], Callable[..., Any]],
        names: tuple[str, ...],
        name: str,
    ):
        options = compilation.options(deterministic=experiment.config.train.deterministic)
        self._starts = [start for start, _ in experiment.phases]
        self._programs = [
            compilation.Once(
                strategy.map(make(phase), names, name == STEP), name, names, options=options
            )
            for phase in range(len(self._starts))
        ]

    def at(self, step: int) -> compilation.Once:
        """Return the program of the phase that a step belongs to."""
        return self._programs[bisect.bisect_right(self._starts, step) - 1]


def training(experiment: Experiment, data: Data, mesh: Mesh, layout: Any, clock: Clock) -> Training:
    """Return the dispatch of several steps: gather, augment, scale, update, on the device.

    Args:
        experiment: what is trained.
        data: the training part, on every device or streamed.
        mesh: the devices.
        layout: a state of shardings, where each of its arrays lies.
        clock: told of the time that getting at data takes.
    """
    mapping = experiment.config.train.strategy == "pmap"
    strategy = _under_pmap(mesh) if mapping else _under_jit(mesh, layout)
    if isinstance(data, Stream):
        return _streamed(experiment, strategy, mesh, clock)
    return _resident(experiment, strategy, data, mesh, clock)


def _resident(
    experiment: Experiment,
    strategy: _Strategy,
    data: resident.Resident,
    mesh: Mesh,
    clock: Clock,
) -> Training:
    """Return the training on data that lie on every device."""
    order = _Order(experiment, len(data), strategy.enter, mesh, clock)
    held, seed = strategy.enter(data), random_keys.argument(experiment.config.seed)
    several = partial(dispatch.several_steps, experiment, strategy.share)
    steps = _Compiled(experiment, strategy, several, dispatch.SEVERAL, STEP)
    measured = partial(dispatch.gathered, dispatch.flow_step, experiment, strategy.share)
    flows = _Compiled(experiment, strategy, measured, dispatch.GATHERED, MEASUREMENT)

    def run_steps(now: Any, at: int, count: int):
        end, last = at + count, None
        while at < end:
            ahead = min(end - at, order.steps_ahead(at))
            now, last = steps.at(at)(now, held, *order.locate(at), np.int32(ahead), seed)
            at += ahead
        return now, strategy.view(last)

    def measure_flow(now: Any, at: int):
        return strategy.view(flows.at(at)(now, held, *order.locate(at), seed))

    return Training(run_steps, strategy.enter, strategy.view, measure_flow)


class _Order:
    """The order of the examples on the devices, as far as it is needed."""

    def __init__(self, experiment: Experiment, examples: int, enter: Any, mesh: Mesh, clock: Clock):
        config = experiment.config
        self._shuffled = resident.Shuffled(config.seed, examples, config.data.batch_size)
        self.steps_ahead = self._shuffled.steps_ahead
        self._put = lambda orders: enter(parallel.place(orders, parallel.replicated(mesh)))
        self._placed: tuple[Any, Any] = (None, None)
        self._clock = clock

    def locate(self, step: int) -> tuple[Any, np.int32]:
        """Return the order and where in it the batch of a step begins."""
        with self._clock.section(DATA):
            orders, offset = self._shuffled.locate(step)
            if self._placed[0] is not orders:
                self._placed = orders, self._put(orders)
        return self._placed[1], np.int32(offset)


def _streamed(experiment: Experiment, strategy: _Strategy, mesh: Mesh, clock: Clock) -> Training:
    """Return the training on batches that are read while the devices work on those before."""
    batches = feed.Feed(experiment, mesh, strategy.put)
    seed = random_keys.argument(experiment.config.seed)

    def compiled(make: dispatch.MakeStep, name: str) -> _Compiled:
        function = partial(dispatch.on_pixels, make, experiment, strategy.share)
        return _Compiled(experiment, strategy, function, dispatch.STREAMED, name)

    steps = compiled(dispatch.train_step, STEP)
    flows = compiled(dispatch.flow_step, MEASUREMENT)

    def run_steps(now: Any, at: int, count: int):
        last = None
        for number in range(at, at + count):
            with clock.section(DATA):
                images, labels = batches.take(number)
            now, last = steps.at(number)(now, images, labels, seed)
        return now, strategy.view(last)

    def measure_flow(now: Any, at: int):
        with clock.section(DATA):
            images, labels = batches.peek(at)
        return strategy.view(flows.at(at)(now, images, labels, seed))

    return Training(run_steps, strategy.enter, strategy.view, measure_flow, batches.close)


def check_batch(experiment: Experiment) -> None:
    """Raise ``BadInputError`` for a batch that the devices or the training part cannot have."""
    config, devices = experiment.config, jax.device_count()
    batch_size, parts = config.data.batch_size, config.optim.accumulate
    if config.train.strategy == "pmap" and jax.process_count() > 1:
        raise BadInputError(
            f"train.strategy=pmap works in one process, not in {jax.process_count()}; take jit, "
            "which computes the same"
        )
    examples = len(experiment.parts[TRAIN])
    if batch_size > examples:
        raise BadInputError(
            f"data.batch_size is {batch_size}, more than the {examples} training examples; lower it"
        )
    if batch_size % (devices * parts):
        each = f"{devices} devices" + (f" x optim.accumulate {parts}" if parts > 1 else "")
        raise BadInputError(
            f"data.batch_size is {batch_size}, which {each} do not divide; "
            f"take a multiple of {devices * parts}"
        )
