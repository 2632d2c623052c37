"""An experiment: a config with what it stands for, the data and the network."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cnn_jax import config as configs
from cnn_jax import models
from cnn_jax.config import Config
from cnn_jax.data import reading, sources
from cnn_jax.data.dataset import TEST, Dataset
from cnn_jax.data.parts import Part, Stream
from cnn_jax.data.preprocessing import RANDOM_CROP, Preprocessing
from cnn_jax.runs import from_config
from cnn_jax.runs.inferred_fields import settle
from cnn_jax.train.checks import check_batch
from cnn_jax.train.setup import Setup
from cnn_jax.train.trainer import Trainer
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


def load_config(spec: str, overrides: Sequence[str] = ()) -> Config:
    """Return the config of ``FILE.py[:ARG]`` with ``--config.a.b=VALUE`` overrides.

    The model section gets every field of the model's constructor. Raises ``BadInputError``.
    """
    return complete(configs.read(spec), overrides)


def complete(config: Config, overrides: Sequence[str] = ()) -> Config:
    """Return ``config`` with model's and task's fields filled in and overrides applied, checked.

    Raises ``BadInputError`` for a field that does not exist, or a value that no run could use.
    """
    config = configs.whole(config)
    # These names decide which fields there are, so they are settled first.
    first = ("--config.model.name=", "--config.task.name=")
    config = configs.override(config, [flag for flag in overrides if flag.startswith(first)])
    if config.model.name is not None:
        configs.add_fields(config.model, models.fields(config.model.name))
    configs.add_task_fields(config, config.task.name)
    config = configs.override(config, overrides)
    configs.check(config)
    return config


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Settled config, network and data.

    ``regime`` says what trains of a network that starts from given weights; all if None.
    """

    config: Config
    module: nn.Module
    dataset: Dataset
    regime: Regime | None = None

    @property
    def parts(self) -> dict[str, Part | Stream]:
        """Return the parts of the data by name: train, test, perhaps validation."""
        return self.dataset.parts

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes."""
        return self.dataset.classes

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Return (height, width, channels)."""
        return self.dataset.train.image_shape

    @property
    def total_steps(self) -> int:
        """Return the steps of the whole run."""
        return from_config.total_steps(self.config, len(self.dataset.train))

    @property
    def dtype(self) -> Any:
        """Return the type that the network computes in."""
        return jnp.dtype(self.config.train.precision)

    @property
    def preprocessing(self) -> Preprocessing:
        """Return what becomes of images on their way into the network."""
        return from_config.preprocessing(self.config, self.dataset.train)

    def trainer(self, strategy: Callable[..., Any] | None = None) -> Trainer:
        """Return what trains the network; ``strategy`` makes its programs, if given."""
        return from_config.trainer(
            *(self.config, self.module, self.total_steps), regime=self.regime, strategy=strategy
        )

    def check_batch(self) -> None:
        """Raise ``BadInputError`` for a batch that devices or training part cannot have."""
        config, examples = self.config, len(self.dataset.train)
        made = self.trainer()
        check_batch(made.execution, config.data.batch_size, made.accumulate, examples)

    def setup(self) -> Setup:
        """Return what the programs of the training are made from."""
        batch_size = self.config.data.batch_size
        return self.trainer().setup(self.dataset, steps=self.total_steps, batch_size=batch_size)


def assemble(config: Config, classes: Sequence[str] | None = None) -> Experiment:
    """Load the data, settle the fields that they decide, build the network.

    ``classes`` are the names of a trained network's: the data may be of some of them.
    """
    config = configs.override(config, ())
    section = config.data
    dataset = _loaded(config)
    if classes is not None and dataset.train.labels.ndim == 1:
        dataset = dataset.labelled_as(classes)
    for line in dataset.notes:
        print(line, file=sys.stderr)
    if dataset.validation is not None and not section.validation:
        dataset = dataclasses.replace(dataset, validation=None)
    own = dataset.validation
    share = section.validation if own is None else 0.0
    dataset = dataset.held_out(share, config.seed, section.per_class)
    if own is not None:
        section.validate_on = section.validate_on or reading.VALIDATION
        print(
            f"validated on the set's own split {section.validate_on} ({len(own)} examples), "
            "not on a share of training",
            file=sys.stderr,
        )
    settle(config, dataset)
    experiment = Experiment(config, from_config.build_module(config), dataset)
    experiment.preprocessing.training_batch()  # tells of a wrong transform before all writing
    return experiment


def _loaded(config: Config) -> Dataset:
    """Return the data that a config names."""
    section = config.data
    wanted = reading.Wanted(
        train=section.train,
        test=section.test,
        validation=section.validate_on,
        image_size=section.image_size,
        crop=section.crop,
        subsample=from_config.subsample(config),
        shuffle=section.shuffle_pixels,
        stream=section.stream,
        original=RANDOM_CROP in section.augment,
    )
    how: dict[str, Any] = {"on_error": section.on_error, "classes": section.classes}
    dataset = sources.load(section.name, section.dir, wanted, **how)
    if section.subsample_in == TEST and wanted.subsample is not None:
        whole = dataclasses.replace(wanted, subsample=None)
        trained = sources.load(section.name, section.dir, whole, **how)
        dataset = dataclasses.replace(trained, test=dataset.test)
    return dataset.only(section.only) if section.only else dataset
