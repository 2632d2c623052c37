"""What a config stands for: network, optimizer, task, trainer."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import optax

from cnn_jax import config as configs
from cnn_jax import models
from cnn_jax.config import Config
from cnn_jax.data.decode import View
from cnn_jax.data.parts import Part, Stream
from cnn_jax.data.preprocessing import Preprocessing, window
from cnn_jax.data.subsample import Subsample
from cnn_jax.ops.geometry import pair
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.tasks import table as tasks
from cnn_jax.train import optim, schedules
from cnn_jax.train.events import Every
from cnn_jax.train.setup import Execution
from cnn_jax.train.trainer import Trainer
from cnn_jax.transfer.regimes import Regime


def build_module(config: Config) -> nn.Module:
    """Return the network that a config describes; its number of classes has to be settled."""
    fields = configs.ordered(config.model)
    return models.create(
        fields.pop("name"),
        num_classes=getattr(task(config), "outputs", config.data.classes),
        dtype=jnp.dtype(config.train.precision),
        **fields,
    )


def task(config: Config, aux_weights: tuple[float, ...] = ()) -> Any:
    """Return the task that a config describes; its number of classes has to be settled.

    ``aux_weights`` are those of the losses of the network's auxiliary heads.
    """
    fields = configs.ordered(config.task)
    return tasks.create(
        fields.pop("name"),
        classes=config.data.classes,
        label_smoothing=config.optim.label_smoothing,
        aux_weights=aux_weights,
        **fields,
    )


def subsample(config: Config) -> Subsample | None:
    """Return which of the pixels are kept; None for all of them."""
    section = config.data
    if section.subsample is None:
        return None
    return Subsample(section.subsample, section.subsample_as)


def view(config: Config) -> View:
    """Return how a settled config's network is shown an image that is read from a file."""
    section = config.data
    size = pair(section.image_size, "data.image_size")
    grey = len(section.mean) == 1
    return View(size, grey, section.crop, subsample(config), section.shuffle_pixels)


def input_shape(config: Config) -> tuple[int, int, int]:
    """Return (height, width, channels) of what a settled config's network gets."""
    size, thin = pair(config.data.image_size, "data.image_size"), subsample(config)
    return (*(size if thin is None else thin.size(size)), len(config.data.mean))


def augmentation(config: Config) -> dict[str, dict[str, Any]]:
    """Return transform -> its arguments, in order."""
    steps = configs.ordered(config.data.augment)
    return {name: configs.ordered(arguments) for name, arguments in steps.items()}


def preprocessing(config: Config, part: Part | Stream) -> Preprocessing:
    """Return what becomes of images such as a part's on their way into the network."""
    steps = augmentation(config)
    return Preprocessing(
        image_shape=part.image_shape,
        classes=config.data.classes,
        mean=config.data.mean,
        std=config.data.std,
        dtype=jnp.dtype(config.train.precision),
        augment=steps,
        window=window(steps, part),
    )


def total_steps(config: Config, examples: int) -> int:
    """Return the steps of a whole run on so many training examples."""
    train = config.train
    if train.steps is not None:
        return train.steps
    if train.epochs is None:
        raise BadInputError("config field 'train.epochs' is unset; set it, or train.steps")
    return schedules.steps_of(train.epochs, examples, config.data.batch_size)


def schedule(config: Config, total: int) -> schedules.Schedule:
    """Return step -> learning rate of a run of ``total`` steps."""
    fields = config.optim
    return schedules.make_schedule(
        fields.schedule,
        learning_rate=fields.learning_rate,
        total_steps=total,
        warmup=fields.warmup,
        milestones=fields.milestones,
        factor=fields.factor,
    )


def optimizer(config: Config, total: int, regime: Regime | None = None) -> Any:
    """Return the optax transformation; a regime has rates of its own for some parameters."""
    fields = config.optim
    return optim.make_optimizer(
        fields.name,
        schedule(config, total),
        momentum=fields.momentum,
        weight_decay=fields.weight_decay,
        clip=fields.clip,
        warmup_error=fields.warmup_error,
        options=configs.ordered(fields.options),
        factors=None if regime is None else regime.factors,
    )


def every(config: Config) -> Every:
    """Return the steps between events."""
    train = config.train
    return Every(
        log=train.log_every,
        evaluate=config.eval.every,
        checkpoint=config.checkpoint.every,
        flow=train.flow_every,
        profile=configs.profile_steps(train.profile),
    )


def trainer(
    config: Config,
    module: nn.Module,
    total: int | None,
    *,
    regime: Regime | None = None,
    strategy: Callable[..., Any] | None = None,
) -> Trainer:
    """Return the trainer of a settled config.

    Args:
        config: with everything that the data decide.
        module: its network.
        total: steps of the run, which schedules look at; None where it is not to be trained, since
            those of a run from elsewhere may not be known.
        regime: what trains of a network that starts from given weights; all of it if None.
        strategy: makes the programs, in place of the config's.
    """
    train, data = config.train, config.data
    return Trainer(
        module,
        optimizer=optax.identity() if total is None else optimizer(config, total, regime),
        task=task(config, tuple(getattr(module, "AUX_WEIGHTS", ()))),
        seed=config.seed,
        augment=augmentation(config),
        mean=data.mean,
        std=data.std,
        dtype=jnp.dtype(train.precision),
        accumulate=config.optim.accumulate,
        stat_batch=train.stat_batch,
        ema=config.optim.ema,
        ema_batches=config.optim.ema_batches,
        phases=((0, None),) if regime is None else regime.phases,
        schedule=None if total is None else schedule(config, total),
        execution=Execution(
            strategy=train.strategy if strategy is None else strategy,
            steps_per_call=train.steps_per_call,
            deterministic=train.deterministic,
            native=bool(train.native),
            shard_state=train.shard_state,
            readers=data.threads,
            workers=data.workers,
        ),
    )
