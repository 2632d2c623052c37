"""An experiment: a config with what it stands for — the data's parts and the network."""

import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import config as configs
from cnn_jax.runtime import random_keys
from cnn_jax import models, ops
from cnn_jax.config import Config
from cnn_jax.data import augment, reading, resident, sources
from cnn_jax.data.parts import Part, Stream
from cnn_jax.data.split import balanced, stratified
from cnn_jax.data.subsample import Subsample
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.ops.geometry import pair
from cnn_jax.runs.inferred_fields import settle
from cnn_jax.train import optim, schedules
from cnn_jax.train.logging import TEST, TRAIN, VALIDATION
from cnn_jax.train.partial import Paths
from cnn_jax.train.state import TrainState, Variables, init_state
from cnn_jax.transfer.regimes import Regime

# Fields that the data decide where the config leaves them unset.
SETTLED_BY_DATA = (
    "data.validate_on",
    "data.image_size",
    "data.mean",
    "data.std",
    "data.classes",
    "data.stream",
)

RANDOM_CROP = "random_resized_crop"  # done while reading, where images are streamed


def load_config(spec: str, overrides: Sequence[str] = ()) -> Config:
    """Return the config of ``FILE.py[:ARG]`` with ``--config.a.b=VALUE`` overrides.

    The model section gets every field of the model's constructor. Raises ``BadInputError``.
    """
    return complete(configs.read(spec), overrides)


def complete(config: Config, overrides: Sequence[str] = ()) -> Config:
    """Return ``config`` with the model's fields filled in and overrides applied, checked.

    Raises ``BadInputError`` for a field that does not exist, or a value that no run could use.
    """
    config = configs.whole(config)
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


def input_shape(config: Config) -> tuple[int, int, int]:
    """Return (height, width, channels) of what a settled config's network gets."""
    size, thin = pair(config.data.image_size, "data.image_size"), _subsample(config)
    return (*(size if thin is None else thin.size(size)), len(config.data.mean))


def _subsample(config: Config) -> Subsample | None:
    section = config.data
    if section.subsample is None:
        return None
    return Subsample(section.subsample, section.subsample_as)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Settled config, network, parts of the data (train, test, perhaps validation), classes.

    ``regime`` says what trains of a network that starts from given weights; all if None.
    """

    config: Config
    module: nn.Module
    parts: dict[str, Part | Stream]
    classes: tuple[str, ...]
    regime: Regime | None = None

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Return (height, width, channels)."""
        return self.parts[TRAIN].image_shape

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
        examples, batch_size = len(self.parts[TRAIN]), self.config.data.batch_size
        return schedules.steps_of(train.epochs, examples, batch_size)

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
            factors=None if self.regime is None else self.regime.factors,
        )

    @property
    def phases(self) -> tuple[tuple[int, Paths | None], ...]:
        """Return (first step, paths of the parameters that train from there on; None: all)."""
        return ((0, None),) if self.regime is None else self.regime.phases

    def initial_state(
        self, seed: int | jax.Array | None = None, given: Variables | None = None
    ) -> TrainState:
        """Return the state before the first step; to be traced, so that it is made in place.

        Args:
            seed: the config's unless given, as an argument of what is compiled.
            given: variables that start from these values instead of drawn ones.
        """
        config = self.config
        return init_state(
            self.module,
            self.optimizer(),
            self.image_shape,
            config.seed if seed is None else seed,
            self.dtype,
            ema=config.optim.ema is not None,
            trained=self.phases[-1][1],
            given=given,
        )

    def window(self) -> dict[str, Any] | None:
        """Return the arguments of the random crop that is done while reading; None without one."""
        steps = self._augment()
        if not isinstance(self.parts[TRAIN], Stream) or RANDOM_CROP not in steps:
            return None
        if next(iter(steps)) != RANDOM_CROP:
            raise BadInputError(
                f"data.augment: {RANDOM_CROP} has to come first where images are streamed"
            )
        return steps[RANDOM_CROP]

    def _augment(self) -> dict[str, dict[str, Any]]:
        steps = configs.ordered(self.config.data.augment)
        return {name: configs.ordered(arguments) for name, arguments in steps.items()}

    def training_batch(self, axis: str | None = None) -> Callable[..., dict[str, jax.Array]]:
        """Return (step, places, images, labels, seed) -> batch, augmented and scaled.

        ``images`` are uint8 ``[N, H, W, C]``, ``labels`` int32 ``[N]``, ``places`` their places in
        the global batch, uint32 ``[N]``; ``seed`` is the config's unless given. The batch has
        ``image``, ``label`` and, where examples are mixed, ``target`` ``[N, classes]``. ``axis`` is
        that of a pmap over shares of the batch.
        """
        section = self.config.data
        done = () if self.window() is None else (RANDOM_CROP,)
        change = augment.pipeline(
            self._augment(), self.image_shape, section.classes, done=done, axis=axis
        )

        def batch(
            step: jax.Array,
            places: jax.Array,
            images: jax.Array,
            labels: jax.Array,
            seed: int | jax.Array | None = None,
        ) -> dict[str, jax.Array]:
            made = {"label": labels}
            if section.augment:
                own = self.config.seed if seed is None else seed
                key = jax.random.fold_in(random_keys.stream(own, random_keys.Purpose.AUGMENT), step)
                images, targets = change(key, places, images, labels)
                if targets is not None:
                    made["target"] = targets
            return made | {"image": self.scaled(images)}

        return batch

    def computed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function``, to be traced, with the operators that the config asks for."""
        if not self.config.train.native:
            return function

        @functools.wraps(function)
        def natively(*args: Any) -> Any:
            with ops.native():
                return function(*args)

        return natively

    def scaled(self, images: jax.Array) -> jax.Array:
        """Return images in 0..255 as the network takes them."""
        return resident.scale(images, self.config.data.mean, self.config.data.std, self.dtype)


def assemble(config: Config) -> Experiment:
    """Load the data, settle the fields that they decide, build the network."""
    config = configs.override(config, ())
    section = config.data
    wanted = reading.Wanted(
        train=section.train,
        test=section.test,
        validation=section.validate_on,
        image_size=section.image_size,
        crop=section.crop,
        subsample=_subsample(config),
        shuffle=section.shuffle_pixels,
        stream=section.stream,
        original=RANDOM_CROP in section.augment,
    )
    source = sources.load(
        section.name, section.dir, wanted, on_error=section.on_error, classes=section.classes
    )
    if section.subsample_in == TEST and wanted.subsample is not None:
        whole = dataclasses.replace(wanted, subsample=None)
        trained = sources.load(
            section.name, section.dir, whole, on_error=section.on_error, classes=section.classes
        )
        source = dataclasses.replace(trained, test=source.test)
    if section.only:
        source = source.only(section.only)
    for line in source.notes:
        print(line, file=sys.stderr)
    own = source.validation if section.validation else None
    share = section.validation if own is None else 0.0
    rest, cut = stratified(source.train.labels, share, config.seed)
    if section.per_class is not None:
        # After the cut: runs on fewer examples are validated on the same ones.
        rest = rest[balanced(source.train.labels[rest], section.per_class, config.seed)]
    parts = {TRAIN: source.train[rest], TEST: source.test}
    if own is not None:
        section.validate_on = section.validate_on or reading.VALIDATION
        parts[VALIDATION] = own
        print(
            f"validated on the set's own split {section.validate_on} ({len(own)} examples), "
            "not on a share of training",
            file=sys.stderr,
        )
    elif len(cut):
        parts[VALIDATION] = source.train[cut]
    elif section.validation:
        raise BadInputError(
            f"data.validation: {section.validation} of {len(rest)} examples is none; "
            "raise it, or set 0 to train on everything"
        )
    settle(config, parts[TRAIN], source)
    experiment = Experiment(config, build_module(config), parts, source.classes)
    experiment.training_batch()  # a wrong transform is told before anything is written
    return experiment
