"""What is measured of a network: the validation part on its way, all parts at its end."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cnn_jax.data.dataset import TEST, TRAIN, VALIDATION
from cnn_jax.data.parts import Part, Stream
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train import sharding
from cnn_jax.train.evaluation import OnDevices, evaluation, on_devices
from cnn_jax.train.logging import EMA
from cnn_jax.train.setup import Setup, numbers
from cnn_jax.train.state import TrainState
from cnn_jax.train.strategies import Strategy


def applied(
    made: Setup,
    state: Any,
    part: Part | Stream,
    predicted: list[np.ndarray] | None = None,
    scores: list[np.ndarray] | None = None,
) -> dict[str, Any]:
    """Return the metrics of a network, a state or its variables, on a part.

    The predictions of its examples are put into ``predicted``, their scores into ``scores``.

    Raises:
        BadInputError: there is no network, but a step of one's own.
    """
    if made.module is None:
        raise BadInputError("Trainer: a step of one's own names no network to evaluate")
    mesh = sharding.make_mesh()
    variables = state if isinstance(state, Mapping) else state.variables
    with numbers(made.preprocessing.dtype):
        alike = jax.device_put(variables, sharding.replicated(mesh))
        measured = evaluation(made, mesh)(alike, on_devices(part, mesh), predicted, scores)
    if scores is None or not hasattr(made.task, "of_scores"):
        return measured
    return measured | made.task.of_scores(scores[-1], part.labels)


class Measurements:
    """The metrics of one training by split; the averaged network's are those of split_ema.

    A training whose step is one's own has no network to evaluate, and no metrics.
    """

    def __init__(self, made: Setup, strategy: Strategy, parts: Mapping[str, OnDevices]):
        self._setup, self._strategy, self._parts = made, strategy, parts
        self._newest: dict[str, dict[str, Any]] = {}  # of the validation part
        self._tested: list[np.ndarray] = []

    def validate(self, now: Any) -> dict[str, dict[str, Any]]:
        """Return the metrics of the validation part; {} where there is none."""
        self._newest = self._metrics(now, VALIDATION)
        return self._newest

    def conclude(self, now: Any) -> dict[str, dict[str, Any]]:
        """Return the metrics of all parts, the test part's for the first and only time.

        The validation part was evaluated after the last step, unless none was left to take.
        """
        measured = self._metrics(now, TRAIN)
        measured |= self._newest or self._metrics(now, VALIDATION)
        return measured | self._metrics(now, TEST, self._tested)

    def predictions(self) -> np.ndarray | None:
        """Return what was said of the test part's examples ``[N]``; None before it was opened."""
        return np.concatenate(self._tested) if self._tested else None

    def with_statistics(self, now: TrainState) -> TrainState:
        """Return the state with the running mean's own statistics, where a mean is kept."""
        if not now.averaged:
            return now
        mean = self._strategy.estimate(now.averaged, self._parts[TRAIN], self._setup.seed)
        return now.replace(ema_rest={name: mean[name] for name in now.ema_rest})

    def _metrics(
        self, now: Any, name: str, predicted: list[np.ndarray] | None = None
    ) -> dict[str, dict[str, Any]]:
        """Return the metrics of a part by split, those that are numbers; {} without it."""
        if name not in self._parts or self._setup.own is not None:
            return {}
        part = self._parts[name]
        measured = {name: self._strategy.evaluate(now.variables, part, predicted)}
        if mean := now.averaged:
            measured[name + EMA] = self._strategy.evaluate(mean, part)
        return {split: numbers_of(metrics) for split, metrics in measured.items()}


def numbers_of(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a log has a place for: no lists, such as those by class."""
    return {name: x for name, x in metrics.items() if not isinstance(x, (list, dict))}
