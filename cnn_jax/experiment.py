"""An experiment: a config with what it stands for — the data's parts and the network."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import config as configs
from cnn_jax import models
from cnn_jax.config import Config
from cnn_jax.data import augment, sources
from cnn_jax.data.split import stratified
from cnn_jax.errors import BadInputError
from cnn_jax.train import optim, schedules
from cnn_jax.train.logging import TEST, TRAIN, VALIDATION

# Fields that the data decide where the config leaves them unset.
SETTLED_BY_DATA = ("data.image_size", "data.mean", "data.std", "data.classes")


def load_config(spec: str, overrides: Sequence[str] = ()) -> Config:
    """Return the config of ``FILE.py[:ARG]`` with ``--config.a.b=VALUE`` overrides.

    The model section gets every field of the model's constructor. Raises ``BadInputError``.
    """
    return complete(configs.read(spec), overrides)


def complete(config: Config, overrides: Sequence[str] = ()) -> Config:
    """Return ``config`` with the model's fields filled in and overrides applied, checked."""
    # The model's name decides which fields there are, so it is settled first.
    names = [flag for flag in overrides if flag.startswith("--config.model.name=")]
    config = configs.override(config, names)
    if config.model.name is not None:
        configs.add_fields(config.model, models.fields(config.model.name))
    config = configs.override(config, overrides)
    configs.check(config)
    return config


def build_module(config: Config) -> nn.Module:
    """Return the network that a config describes; its number of classes has to be settled."""
    fields = configs.ordered(config.model)
    return models.create(
        fields.pop("name"),
        num_classes=config.data.classes,
        dtype=jnp.dtype(config.train.precision),
        **fields,
    )


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Settled config, network, parts of the data by name: train, test, perhaps validation."""

    config: Config
    module: nn.Module
    parts: dict[str, sources.Part]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Return (height, width, channels)."""
        return self.parts[TRAIN].images.shape[1:]

    @property
    def dtype(self) -> Any:
        """Return the type that the network computes in."""
        return jnp.dtype(self.config.train.precision)

    @property
    def steps_per_epoch(self) -> int:
        """Return the steps in which every example is seen once, the last one shared."""
        return -(-len(self.parts[TRAIN]) // self.config.data.batch_size)

    @property
    def total_steps(self) -> int:
        """Return the steps of the whole run."""
        train = self.config.train
        if train.steps is not None:
            return train.steps
        if train.epochs is None:
            raise BadInputError("config field 'train.epochs' is unset; set it, or train.steps")
        examples = train.epochs * len(self.parts[TRAIN])
        return int(-(-examples // self.config.data.batch_size))

    def schedule(self) -> schedules.Schedule:
        """Return step -> learning rate."""
        fields = self.config.optim
        return schedules.make_schedule(
            fields.schedule,
            learning_rate=fields.learning_rate,
            total_steps=self.total_steps,
            warmup=fields.warmup,
            milestones=fields.milestones,
            factor=fields.factor,
        )

    def optimizer(self) -> Any:
        """Return the optax transformation."""
        fields = self.config.optim
        return optim.make_optimizer(
            fields.name,
            self.schedule(),
            momentum=fields.momentum,
            weight_decay=fields.weight_decay,
            clip=fields.clip,
            warmup_error=fields.warmup_error,
        )

    def transform(self) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """Return the augmentation, (key, image) -> image."""
        steps = configs.ordered(self.config.data.augment)
        return augment.pipeline(
            {name: configs.ordered(steps[name]) for name in steps}, self.image_shape
        )


def assemble(config: Config) -> Experiment:
    """Load the data, settle the fields that they decide, build the network."""
    config = configs.override(config, ())
    section = config.data
    source = sources.load(
        section.name, section.dir, image_size=section.image_size, on_error=section.on_error
    )
    if source.skipped:
        print(f"left out {len(source.skipped)} files that cannot be decoded:", file=sys.stderr)
        print("\n".join(f"  {line}" for line in source.skipped), file=sys.stderr)
    rest, cut = stratified(source.train.labels, section.validation, config.seed)
    parts = {TRAIN: source.train[rest], TEST: source.test}
    if len(cut):
        parts[VALIDATION] = source.train[cut]
    elif section.validation:
        raise BadInputError(
            f"data.validation: {section.validation} of {len(rest)} examples is none; "
            "raise it, or set 0 to train on everything"
        )
    _settle(config, parts[TRAIN], len(source.classes))
    experiment = Experiment(config, build_module(config), parts)
    experiment.transform()  # a wrong name is told before anything is written
    return experiment


def _settle(config: Config, train: sources.Part, classes: int) -> None:
    """Fill in what the data decide and check what the config claims about them."""
    section = config.data
    height, width, channels = train.images.shape[1:]
    if section.image_size is None:
        section.image_size = height if height == width else (height, width)
    if section.classes is None:
        section.classes = classes
    elif section.classes != classes:
        raise BadInputError(
            f"data.classes is {section.classes}; {section.name!r} has {classes} classes"
        )
    if section.mean is None or section.std is None:
        mean, std = _statistics(train.images)
        section.mean = mean if section.mean is None else section.mean
        section.std = std if section.std is None else section.std
    for name in ("mean", "std"):
        if len(section[name]) != channels:
            raise BadInputError(
                f"data.{name} has {len(section[name])} numbers; images have {channels} channels"
            )


def _statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation by channel of uint8 images, in units of 0..1."""
    levels = np.arange(256) / 255
    counts = [np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[3])]
    mean = [float(np.average(levels, weights=count)) for count in counts]
    spread = [
        float(np.sqrt(np.average((levels - m) ** 2, weights=count)))
        for m, count in zip(mean, counts, strict=True)
    ]
    # Six digits: what is noted is what is used. A constant channel is left unscaled.
    return tuple(round(m, 6) for m in mean), tuple(round(s, 6) or 1.0 for s in spread)
