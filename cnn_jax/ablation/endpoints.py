"""What decides a study: a value of every example, or of a whole part, and which way is better."""

import dataclasses
import math
from typing import Any

import numpy as np

from cnn_jax.ablation.outcomes import Outcome
from cnn_jax.data.dataset import TEST
from cnn_jax.runtime.errors import BadInputError

ERROR = "error"


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A measured quantity that statements are made about.

    Attributes:
        metric: ``error``, or the name of a metric that has a value for each example, such as
            ``log_loss``, ``rank`` or one that was registered.
        split: ``test``, ``validation`` or ``train``. Test values are kept by example, so that the
            choice of examples counts as noise; of the other parts each seed has one number.
        higher_is_better: the direction.
        over: another such metric, for a ratio of sums, sum(metric) / sum(over); by the delta
            method where values are kept by example.
        smallest: the smallest difference that matters; None takes the study's, which is of errors
            unless it is relative.
    """

    metric: str = ERROR
    split: str = TEST
    higher_is_better: bool = False
    over: str | None = None
    smallest: float | None = None

    @property
    def label(self) -> str:
        """What tables and axes call it."""
        return f"{self.split} {self.metric}" + (f" / {self.over}" if self.over else "")

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it is made of."""
        return (self.metric, self.over) if self.over else (self.metric,)

    @property
    def kept(self) -> tuple[str, ...]:
        """The metrics whose value of every test example a cell has to keep."""
        return tuple(name for name in self.metrics if name != ERROR and self.split == TEST)

    @property
    def is_error(self) -> bool:
        """Whether it is an error, which is shown in points."""
        return self.metrics == (ERROR,)

    @property
    def grain(self) -> float:
        """The least step of one example's value: an error is a count."""
        return 1.0 if self.is_error else 0.0

    def shown(self, value: float, *, signed: bool = True) -> str:
        """Return a difference as text: an error's in points."""
        sign = "+" if signed else ""
        if self.is_error:
            return f"{100 * value:{sign}.2f}"
        if self.smallest is None:
            return f"{value:{sign}.4g}"
        return f"{value:{sign}.{max(0, 2 - math.floor(math.log10(self.smallest)))}f}"

    @property
    def unit(self) -> str:
        """What ``shown`` counts; empty where the metric's own unit is meant."""
        return "points" if self.is_error else ""


def error(outcome: Outcome, split: str) -> float:
    """Return the share of a split that a cell got wrong."""
    if split not in outcome.result["metrics"]:
        raise BadInputError(f"the cells have no {split} part; data.validation is 0")
    accuracy = outcome.measured(split)
    if accuracy is None:
        raise BadInputError(f"a cell has no finite {split} accuracy")
    return 1 - accuracy


def value(outcome: Outcome, endpoint: Endpoint) -> float:
    """Return the endpoint of a cell, one number."""
    if endpoint.split == TEST and not endpoint.is_error:
        return float(np.mean(by_example(outcome, endpoint)))
    parts = [_of_part(outcome, endpoint.split, name) for name in endpoint.metrics]
    if endpoint.over and not parts[1]:
        raise BadInputError(f"a cell's {endpoint.split} {endpoint.over} is 0; nothing is over it")
    return parts[0] / parts[1] if endpoint.over else parts[0]


def _of_part(outcome: Outcome, split: str, name: str) -> float:
    if name == ERROR:
        return error(outcome, split)
    found = outcome.measured(split, name)
    if found is None:
        raise BadInputError(f"a cell has no finite {name} of its {split} part")
    return found


def by_example(outcome: Outcome, endpoint: Endpoint) -> np.ndarray:
    """Return the endpoint of each test example, ``[N]``, whose mean is ``value``.

    A ratio R = sum(a) / sum(b) has no value of one example. Its influence on R, to first order,
    stands for it: R + (a - R b) / mean(b), the delta method.
    """
    parts = [_kept(outcome, name) for name in endpoint.metrics]
    if not endpoint.over:
        return parts[0]
    above, below = (np.asarray(part, np.float64) for part in parts)
    if not below.mean():
        raise BadInputError(f"a cell's test {endpoint.over} is 0; nothing is over it")
    ratio = above.mean() / below.mean()
    return ratio + (above - ratio * below) / below.mean()


def _kept(outcome: Outcome, name: str) -> np.ndarray:
    if name == ERROR:
        return (~outcome.right).astype(np.int8)
    if name not in outcome.values:
        raise BadInputError(f"a cell has kept no {name} of its test examples")
    found = outcome.values[name]
    if not np.isfinite(found).all():
        raise BadInputError(f"a cell's {name} of a test example is no finite number")
    return np.asarray(found, np.float64)


def examples(outcome: Outcome, endpoint: Endpoint) -> Any:
    """Return how many examples the endpoint of a cell counts."""
    return outcome.result["metrics"][endpoint.split]["examples"]
