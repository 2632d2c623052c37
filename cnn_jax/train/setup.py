"""What the programs of a fit are made from."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax import ops
from cnn_jax.data.labels import check_labels
from cnn_jax.data.parts import Part, Stream
from cnn_jax.data.preprocessing import Preprocessing, window
from cnn_jax.nn.calling import mode
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.tasks import Classification
from cnn_jax.train.flow import make_flow_step
from cnn_jax.train.own_step import OwnStep, Totals
from cnn_jax.train.partial import Paths
from cnn_jax.train.schedules import steps_of
from cnn_jax.train.state import Variables, init_state
from cnn_jax.train.step import make_train_step

# Steps a dispatch where nothing else is asked for. XLA's CPU backend runs convolutions inside a
# loop 3 times slower (measured: LeNet-5, batch 256, 2 cores), and its steps are long; elsewhere
# short steps would wait for Python.
CPU_STEPS_PER_CALL, STEPS_PER_CALL = 1, 20


@dataclasses.dataclass(frozen=True)
class Execution:
    """How devices compute what is trained; none of it changes what that is, up to rounding.

    Attributes:
        strategy: ``jit``, ``pmap``, or what makes the programs of a setup.
        steps_per_call: that one dispatch runs at most; as the device likes it if None.
        deterministic: GPUs repeat a run bit for bit, as other devices do anyway.
        native: convolutions by oneDNN, on one CPU device.
        shard_state: parameters and the optimizer's state are cut over the devices, too.
        readers: threads that read streamed images ahead, in each worker; the cores if None.
        workers: processes that read instead of this one's threads.
    """

    strategy: str | Callable[[Any], Any] = "jit"
    steps_per_call: int | None = None
    deterministic: bool = False
    native: bool = False
    shard_state: bool = False
    readers: int | None = None
    workers: int = 0


@dataclasses.dataclass(frozen=True)
class Setup:
    """A network, what it learns and how, the shapes of its data: no files, no examples.

    Attributes:
        module: the network; None where ``own`` trains something else.
        task: what it learns.
        optimizer: an optax transformation that takes further arguments.
        preprocessing: of the images.
        batch_size: examples a step, over all devices.
        total: steps in all.
        seed: of weights, order, augmentation and dropout.
        accumulate: parts that a batch is gone through in.
        stat_batch: examples that share BatchNorm's statistics; all of a part if None.
        ema: decay of the running mean of the variables; none is kept if None.
        ema_batches: that the mean's statistics are estimated over in the end.
        phases: (first step, paths of the parameters that train from there on; all if None).
        own: a step of one's own, which takes the place of module, task and optimizer.
        streamed: images are read from disk at every step.
        execution: how devices compute it.
    """

    module: Any  # nn.Module | None
    task: Any  # Task | None
    optimizer: Any
    preprocessing: Preprocessing
    batch_size: int
    total: int
    seed: int = 0
    accumulate: int = 1
    stat_batch: int | None = None
    ema: float | None = None
    ema_batches: int = 32
    phases: tuple[tuple[int, Paths | None], ...] = ((0, None),)
    own: OwnStep | None = None
    streamed: bool = False
    execution: Execution = Execution()

    @property
    def steps_per_call(self) -> int:
        """Return how many steps one dispatch runs at most."""
        if self.execution.steps_per_call is not None:
            return self.execution.steps_per_call
        return CPU_STEPS_PER_CALL if jax.default_backend() == "cpu" else STEPS_PER_CALL

    def initial_state(
        self, seed: int | jax.Array | None = None, given: Variables | None = None
    ) -> Any:
        """Return the state before the first step; to be traced, so that it is made in place.

        Args:
            seed: the run's unless given, as an argument of what is compiled.
            given: variables that start from these values instead of drawn ones.
        """
        if self.own is not None:
            return self.own.initial_state(self)
        dtype = self.preprocessing.dtype
        return init_state(
            self.module,
            self.optimizer,
            self.preprocessing.image_shape,
            self.seed if seed is None else seed,
            dtype,
            window=self.task.zero(jnp.promote_types(dtype, jnp.float32)),
            ema=self.ema is not None,
            trained=self.phases[-1][1],
            given=given,
        )

    def means(self, parts: Sequence[Any]) -> dict[str, Any]:
        """Return metrics by name, of what steps or evaluations summed up."""
        return Totals.means(parts) if self.own is not None else self.task.means(parts)

    def merit(self, measured: Mapping[str, Any]) -> float | None:
        """Return what the best checkpoint has most of, by the task's word; None if unmeasured."""
        found = measured.get(getattr(self.task, "best", "accuracy"))
        if found is None:
            return None
        return -float(found) if getattr(self.task, "least_is_best", False) else float(found)

    def trained(self, state: Any) -> Any:
        """Return what of a state has to be finite: the network, or all of one's own state."""
        return state.variables if self.own is None else state.own

    def train_step(self, **how: Any) -> Callable[..., Any]:
        """Return the pure step (state, batch) -> (state, metrics); arguments as ``flow_step``'s."""
        if self.own is not None:
            return self.own.train_step(how.get("seed", self.seed))
        return self._made(make_train_step, **how)

    def flow_step(self, **how: Any) -> Callable[..., Any]:
        """Return the measurement (state, batch) -> gradient flow of the update to come.

        Args:
            how: ``axis`` of a pmap over shares of the batch; ``seed``, the run's unless given;
                ``phase``, the last unless given, which says what of the parameters trains.
        """
        return self._made(make_flow_step, **how)

    def _made(
        self,
        make: Callable[..., Any],
        *,
        axis: str | None = None,
        seed: jax.Array | None = None,
        phase: int = -1,
    ) -> Callable[..., Any]:
        return make(
            self.module,
            self.task,
            self.optimizer,
            seed=self.seed if seed is None else seed,
            accumulate=self.accumulate,
            stat_batch=self.stat_batch,
            ema=self.ema,
            axis=axis,
            trained=self.phases[phase][1],
        )

    def computed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function``, to be traced, with the operators that are asked for."""
        if not self.execution.native:
            return function

        @functools.wraps(function)
        def natively(*args: Any) -> Any:
            with ops.native():
                return function(*args)

        return natively


def numbers(dtype: Any) -> contextlib.AbstractContextManager[Any]:
    """Return the context that numbers of ``dtype`` need; the caller's own where it will do."""
    if jnp.dtype(dtype) == jnp.float64:
        return jax.enable_x64(True)
    return contextlib.nullcontext()


def of(
    trainer: Any,
    part: Part | Stream,
    constants: tuple[Any, Any],
    *,
    batch_size: int,
    total: int,
) -> Setup:
    """Return a trainer's setup for such examples as ``part`` has.

    Args:
        trainer: a ``Trainer``.
        part: examples; only their shapes matter.
        constants: mean and standard deviation by channel, to normalise pixels by.
        batch_size: examples per step.
        total: steps in all.

    Raises:
        BadInputError: pixels without constants, numbers with them, or outputs that are no logits
            where no task is given.
    """
    pixels = not isinstance(part, Part) or part.images.dtype == np.uint8
    if pixels and constants[0] is None:
        raise BadInputError("Trainer: mean and std are unset, and nothing was fitted; set them")
    if not pixels and trainer.mean is not None:
        raise BadInputError("Trainer: mean and std are of pixels (uint8); the images are float32")
    mean, std = constants if pixels else (None, None)
    shape, task = part.image_shape, trainer.task
    if task is None and trainer.module is not None:
        task = _classification(trainer.module, shape, trainer.dtype)
    preprocessing = Preprocessing(
        image_shape=shape,
        classes=getattr(task, "classes", 0),
        mean=mean,
        std=std,
        dtype=trainer.dtype,
        augment=trainer.augment,
        window=window(trainer.augment, part),
    )
    own = None if trainer.step is None else OwnStep(trainer.step, trainer.state)
    optimizer = trainer.optimizer
    return Setup(
        module=trainer.module,
        task=task,
        optimizer=None if optimizer is None else optax.with_extra_args_support(optimizer),
        preprocessing=preprocessing,
        batch_size=batch_size,
        total=total,
        seed=trainer.seed,
        accumulate=trainer.accumulate,
        stat_batch=trainer.stat_batch,
        ema=trainer.ema,
        ema_batches=trainer.ema_batches,
        phases=trainer.phases,
        own=own,
        streamed=isinstance(part, Stream),
        execution=trainer.execution,
    )


def _classification(module: nn.Module, shape: tuple[int, ...], dtype: Any) -> Classification:
    """Return the task of a network whose outputs are logits."""
    x = jax.ShapeDtypeStruct((1, *shape), dtype)
    inference = mode(module, train=False)
    outputs, _ = jax.eval_shape(
        lambda x: module.init_with_output(jax.random.key(0), x, **inference), x
    )
    if not hasattr(outputs, "shape") or len(outputs.shape) != 2:
        what = list(outputs.shape) if hasattr(outputs, "shape") else type(outputs).__name__
        raise BadInputError(
            f"Trainer: the network makes {what} of one image, where a classification has logits "
            "[1, classes]; give a task"
        )
    weights = getattr(module, "AUX_WEIGHTS", ())
    return Classification(outputs.shape[-1], aux_weights=tuple(weights))


def check_classes(setup: Setup, parts: Mapping[str, Part | Stream]) -> None:
    """Raise ``BadInputError`` for labels that the task has no use for."""
    own = getattr(setup.task, "check_labels", None)
    for name, part in parts.items():
        what = f"the {name} part of the data"
        if own is not None:
            own(part.labels, what)
        elif isinstance(setup.task, Classification):
            check_labels(part.labels, setup.task.classes, what)


def steps_in_all(steps: int | None, epochs: float | None, examples: int, batch_size: int) -> int:
    """Return the steps of a run, given as such or as epochs of so many examples."""
    if (steps is None) == (epochs is None):
        raise BadInputError("fit: give steps or epochs, one of them")
    return steps if steps is not None else steps_of(epochs or 0.0, examples, batch_size)
