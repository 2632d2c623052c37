"""What a finished cell measured."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a finished cell measured.

    Attributes:
        result: of result.json.
        right: bool ``[N]``, which test examples the network gets right.
        opened: how often the test set was evaluated, by the cell's own log.
        curve: the lines of metrics.jsonl.
        labels: int ``[N]``, of the test examples.
        values: metric -> its value of each test example, ``[N]``, of those the study asks for.
    """

    result: dict[str, Any]
    right: np.ndarray
    opened: int
    curve: list[dict[str, Any]]
    labels: np.ndarray | None = None
    values: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def measured(self, split: str, name: str = "accuracy") -> float | None:
        """Return a metric of a split; None where it is not finite, or the cell has no such part."""
        value = (self.result["metrics"].get(split) or {}).get(name)
        return value if _finite(value) else None

    def diverged(self, split: str) -> bool:
        """Return whether the network's loss or accuracy on a split is no finite number."""
        metrics = self.result["metrics"]
        if self.result.get("diverged"):
            return True
        numbers = metrics.get(split, {})
        return numbers is None or not all(
            _finite(numbers[name]) for name in ("loss", "accuracy") if name in numbers
        )


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


Outcomes = Mapping[str, Mapping[int, Outcome]]  # arm -> seed -> what it measured
