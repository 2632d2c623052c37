"""The one place where a network is trained: from objects to the gradient, read downwards.

``Trainer.fit`` reads the data and opens the folder; ``_Run.train`` is the loop; ``run`` in
dispatch.py hands batches to a compiled program, which calls step.py's, which calls the network.
"""

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.data.dataset import TEST, TRAIN, Dataset
from cnn_jax.data.sources import coerce
from cnn_jax.tasks import Task
from cnn_jax.train import foreign, objects, setup
from cnn_jax.train.checks import check_batch, check_trainer
from cnn_jax.train.clock import COMPILE, COMPUTE, Clock
from cnn_jax.train.evaluation import on_devices
from cnn_jax.train.events import Events, Every
from cnn_jax.train.fitted import Fitted
from cnn_jax.train.folder import Record
from cnn_jax.train.measurements import Measurements, applied
from cnn_jax.train.optim import rate_in_use
from cnn_jax.train.partial import Paths
from cnn_jax.train.profiling import Trace
from cnn_jax.train.setup import Execution, Setup
from cnn_jax.train.state import Variables
from cnn_jax.train.step import all_finite
from cnn_jax.train.stopping import signals
from cnn_jax.train.strategies import Strategy, compiled


@dataclasses.dataclass
class Trainer:
    """Trains a network, evaluates it, and says what it predicts.

    It knows no config, and writes nothing unless it is given a folder.

    Attributes:
        module: called as ``module.apply(variables, x, train=...)``; ``train`` is left out where it
            takes none.
        optimizer: an optax transformation.
        task: what is learned; a classification of as many classes as the network has outputs if
            None.
        step: in place of module, optimizer and task, a pure function (state, batch) ->
            (state, metrics); see ``OwnStep``.
        state: that ``step`` begins with.
        seed: of initial weights, order, augmentation, dropout and the validation cut.
        augment: transform -> its arguments, in order, as a config's ``data.augment``.
        mean: by channel, of pixels in 0..1, to normalise by. If None, ``fit`` takes the data set's,
            or its training part's, and ``evaluate`` and ``predict`` take those of the last ``fit``.
        std: likewise.
        dtype: of the images that the network gets.
        accumulate: parts that a batch is gone through in: the same update in less memory.
        stat_batch: examples that share BatchNorm's statistics; the whole batch if None.
        ema: decay of a running mean of the variables, evaluated beside them; none if None.
        ema_batches: over which the mean's statistics are estimated in the end.
        phases: (first step, paths of the parameters that train from there on; all if None).
        schedule: step -> learning rate, for the log.
        execution: how devices compute it.

    Raises:
        BadInputError: arguments that do not go together.
    """

    module: nn.Module | None = None
    _: dataclasses.KW_ONLY
    optimizer: optax.GradientTransformation | None = None
    task: Task | None = None
    step: Callable[..., Any] | None = None
    state: Any = None
    seed: int = 0
    augment: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    dtype: Any = jnp.float32
    accumulate: int = 1
    stat_batch: int | None = None
    ema: float | None = None
    ema_batches: int = 32
    phases: tuple[tuple[int, Paths | None], ...] = ((0, None),)
    schedule: Callable[[int], Any] | None = None
    execution: Execution = Execution()  # noqa: RUF009, it is frozen

    def __post_init__(self):
        check_trainer(self)
        self.constants = self.mean, self.std  # those in use

    def fit(
        self,
        train: Any,
        *,
        validation: Any = None,
        test: Any = None,
        steps: int | None = None,
        epochs: float | None = None,
        batch_size: int = 128,
        every: Every = Every(),  # noqa: B008, it is frozen
        workdir: str | Path | objects.Opening | None = None,
        variables: Variables | None = None,
    ) -> Fitted:
        """Train, and evaluate what was trained.

        Args:
            train: arrays (images, labels), a folder of images, the name of a source, a ``Dataset``.
            validation: the share of the training examples, or the data, to validate on; a set's
                own if None, nothing if 0.
            test: data that are evaluated once, at the end; a set's own if None.
            steps: updates in all; or else
            epochs: passes over the training examples.
            batch_size: examples per step, over all devices.
            every: steps between lines of the log, evaluations, checkpoints.
            workdir: where metrics and checkpoints go; a run that was stopped goes on from there.
                Nothing is written if None.
            variables: of the network, that start from these values instead of drawn ones.

        Raises:
            BadInputError: whatever is wrong with the data or the folder.
            DivergedError: the loss stopped being finite.
        """
        data = coerce.dataset(train, validation=validation, test=test, seed=self.seed)
        with setup.numbers(self.dtype):
            made = self.setup(data, steps=steps, epochs=epochs, batch_size=batch_size)
            check_batch(self.execution, batch_size, self.accumulate, len(data.train))
            clock, strategy = Clock(), compiled(made)
            with objects.opening(workdir)(made, data) as folder:
                begin = strategy.begin(self.seed, variables)
                with folder.opened(begin, total=made.total, batch_size=batch_size) as record:
                    run = _Run(made, strategy, record, data, every, clock, self.schedule)
                    stopped = run.train()
                    metrics = {} if stopped else folder.measured() or run.conclude()
                    speed = record.log.images_per_second
                return folder.end(run.fitted(metrics, stopped, speed), record, len(data.train))

    def evaluate(
        self,
        state: Any,
        data: Any,
        *,
        batch_size: int = 128,
        predicted: list[np.ndarray] | None = None,
        scores: list[np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """Return the metrics of a network on data, each example counted once.

        Args:
            state: of a run, or the network's variables.
            data: arrays (images, labels), or what ``fit`` takes, of which the test part counts.
            batch_size: examples at a time, over all devices.
            predicted: a list that the examples' predictions ``[N]`` are put into.
            scores: likewise for scores ``[N, ...]``; brings the metrics that need all of them.
        """
        made = self._applying(part := coerce.test_part(data), batch_size)
        setup.check_classes(made, {"given": part})
        return applied(made, state, part, predicted, scores)

    def predict(self, state: Any, images: Any, *, batch_size: int = 128) -> np.ndarray:
        """Return what a network says of images ``[N, H, W, C]``, such as classes int32 ``[N]``."""
        part, said = coerce.part((images, np.zeros(len(images), np.int32)), "given"), []
        applied(self._applying(part, batch_size), state, part, said)
        return said[0]

    def _applying(self, part: Any, batch_size: int) -> Setup:
        with setup.numbers(self.dtype):
            return setup.of(self, part, self.constants, batch_size=batch_size, total=1)

    def setup(
        self,
        data: Dataset,
        *,
        steps: int | None = None,
        epochs: float | None = None,
        batch_size: int = 128,
    ) -> Setup:
        """Return what the programs of a training on ``data`` are made from."""
        total = setup.steps_in_all(steps, epochs, len(data.train), batch_size)
        self.constants = (self.mean, self.std) if self.mean is not None else coerce.constants(data)
        made = setup.of(self, data.train, self.constants, batch_size=batch_size, total=total)
        setup.check_classes(made, data.parts)
        foreign.check(made)
        made.preprocessing.training_batch()  # tells of a wrong transform before all writing
        return made


class _Run:
    """One training, from the state that its record has to the last step."""

    def __init__(
        self,
        made: Setup,
        strategy: Strategy,
        record: Record,
        data: Dataset,
        every: Every,
        clock: Clock,
        schedule: Callable[[int], Any] | None,
    ):
        self._setup, self._strategy, self._record = made, strategy, record
        self._clock, self._schedule = clock, schedule
        self._parts = {name: on_devices(x, strategy.mesh) for name, x in data.parts.items()}
        self._measurements = Measurements(made, strategy, self._parts)
        epoch = -(-len(data.train) // made.batch_size)
        self._events = Events.of(every, made, epoch)
        self._finite = jax.jit(all_finite)
        self._flows: list[tuple[int, Any]] = []
        self._state, self._step, self._seconds = record.state, record.step, 0.0

    def train(self) -> int | None:
        """Take the steps that are left; return the signal that ended them before, if one did."""
        events, clock, log, step = self._events, self._clock, self._record.log, self._step
        stepping = self._strategy.stepping(self._setup, self._parts[TRAIN], clock)
        state, running, dispatches = stepping.enter(self._state), None, 0
        trace = Trace(events.profile, self._record.profile)
        with contextlib.closing(stepping), signals() as received, trace:
            while step < events.total:
                trace.at(step)
                count = events.until_next(step)
                with clock.section(COMPUTE if dispatches else COMPILE):
                    if events.flow_is_due(step):
                        self._flows.append((step, stepping.measure_flow(state, step)))
                    state, last = stepping.run(state, step, count)
                    jax.block_until_ready(running)  # one runs while the next is sent, no more
                if running is not None:
                    log.progress(step, running.mean_loss())
                running, step, dispatches = last, step + count, dispatches + 1
                # Asked once: who stops has to have saved.
                stopping = self._strategy.stop_agreed(bool(received), dispatches)
                if stopping or events.any_is_due(step):
                    with clock.section(COMPUTE):
                        jax.block_until_ready(last)
                    log.progress(step, last.mean_loss())
                    state, running = self._pause(stepping, state, step, stopping), None
                if stopping:
                    return received[0] if received else signal.SIGTERM
            if step == self._record.step:  # there was nothing left to do
                self._state = stepping.view(state)
            self._seconds = self._record.seconds + clock.total()
            return received[0] if received else None  # after the last step was saved

    def _pause(self, stepping: Any, state: Any, step: int, stopping: bool) -> Any:
        """Log, evaluate, save what is due after ``step`` steps; return the state to go on with."""
        events, log, now = self._events, self._record.log, stepping.view(state)
        self._record.check_finite(int(now.bad_step))
        log.write_flow(self._flows)
        self._flows.clear()
        if events.due(step, events.log):
            line = self._setup.means([now.window])
            if self._schedule is not None:
                line["learning_rate"] = rate_in_use(self._schedule, step - 1, now.opt_state)
            log.write(step, TRAIN, line)
            state = stepping.clear(state)
            now = stepping.view(state)
        if step == events.total:
            now = self._measurements.with_statistics(now)
        self._state, self._step = now, step
        evaluating = events.due(step, events.evaluate)
        lines = self._measurements.validate(now) if evaluating else {}
        for split, line in lines.items():
            log.write(step, split, line)
        self._seconds = self._record.seconds + self._clock.total()
        if saving := events.due(step, events.checkpoint) or stopping:
            self._record.check_finite(-1 if self._finite(self._setup.trained(now)) else step)
            line = next(iter(lines.values()), {})
            self._record.save(step, now, self._seconds, self._setup.merit(line))
        if evaluating or saving:
            log.pause()
        return state

    def conclude(self) -> dict[str, dict[str, Any]]:
        """Evaluate the trained network on all parts, the test part for the first and only time."""
        measured = self._measurements.conclude(self._state)
        for name, line in measured.items():
            if name.startswith(TEST):
                self._record.log.write(self._events.total, name, line)
        return measured

    def fitted(self, metrics: dict[str, Any], stopped: int | None, speed: float | None) -> Fitted:
        """Return what the training hands back, but for its history."""
        return Fitted(
            state=self._state,
            history=[],
            metrics=metrics,
            predictions=self._measurements.predictions(),
            steps=self._step,
            batch_size=self._setup.batch_size,
            seconds=self._seconds,
            seconds_by_use=dict(self._clock.seconds),
            images_per_second=speed,
            stopped=stopped,
            devices=[device.device_kind for device in self._strategy.mesh.devices.flat],
            record=self._strategy.record,
        )
