"""Which checkpoints of a run are kept: the newest, and the best on the validation part."""

from collections.abc import Mapping, Sequence
from typing import Any


def best_of(steps: Sequence[int], accuracies: Mapping[int, float]) -> int | None:
    """Return the step with the best accuracy, the later of equal ones; None if none has any."""
    known = [(accuracies[step], step) for step in steps if step in accuracies]
    return max(known)[1] if known else None


class LatestAndBest:
    """A preservation policy of Orbax's.

    Args:
        keep: how many of the newest are kept.
        accuracies: step -> accuracy, filled in by whoever saves. Not Orbax's metrics, which end
            with the process: a resumed run would not know what its best was.
    """

    def __init__(self, keep: int, accuracies: Mapping[int, float]):
        self._keep, self._accuracies = keep, accuracies

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        """Return for each checkpoint, in the order of their steps, whether it is kept."""
        del context
        steps = [info.step for info in checkpoints]
        kept = {*sorted(steps)[-self._keep :], best_of(steps, self._accuracies)}
        return [step in kept for step in steps]
