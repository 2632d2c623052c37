"""Arms along a number: where one line of arms becomes better than another.

A line is a treatment at several numbers, such as images a class; at each of them it has a control
of its own. Between two numbers the paired differences of a seed and a test example are taken to
change linearly (in the number's logarithm, where numbers span more than a factor of ten), so that
the same interval as everywhere says where 'no difference' cannot be excluded. Those places around
a change of sign are the crossing's interval: the set that inverting the test gives.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np

from cnn_jax.ablation import stats
from cnn_jax.ablation.cells import Outcome
from cnn_jax.ablation.stored import Plan
from cnn_jax.ablation.study import Series
from cnn_jax.ablation.verdicts import Outcomes, error, paired_errors
from cnn_jax.data.dataset import TEST

BETWEEN = 32  # places that are looked at between two numbers


def lines(series: Series) -> dict[str, dict[float, str]]:
    """Return line -> number -> arm, numbers growing."""
    found: dict[str, dict[float, str]] = {}
    for arm, (line, number) in sorted(series.places.items(), key=lambda item: item[1][1]):
        found.setdefault(line, {})[number] = arm
    return found


def logarithmic(numbers: Sequence[float]) -> bool:
    """Return whether numbers are to be seen on a logarithmic axis."""
    return min(numbers) > 0 and max(numbers) / min(numbers) > 10


@dataclasses.dataclass(frozen=True)
class Along:
    """A line against another, at places between the least and the largest number.

    Attributes:
        line: its name.
        control: the other's.
        numbers: those at which both were measured.
        at: the places looked at, growing.
        mean: the difference in error there, arm minus control.
        low: the lower end of its 95 % interval.
        high: the upper end.
    """

    line: str
    control: str
    numbers: tuple[float, ...]
    at: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def crossings(self) -> list[tuple[float, float | None, float | None]]:
        """Return (place, lower, upper end of its interval) of each change of sign.

        An end is None where the interval goes on beyond what was measured.
        """
        found = []
        open_ = (self.low <= 0) & (self.high >= 0)
        signs = np.sign(self.mean)
        for i in range(1, len(signs)):  # a difference of nothing has the sign before it
            signs[i] = signs[i] or signs[i - 1]
        for i in np.flatnonzero(signs[:-1] * signs[1:] < 0):
            share = self.mean[i] / (self.mean[i] - self.mean[i + 1])
            place = self.at[i] + share * (self.at[i + 1] - self.at[i])
            first, last = i + 1, i
            while first > 0 and open_[first - 1]:
                first -= 1
            while last < len(open_) - 1 and open_[last + 1]:
                last += 1
            low = None if first == 0 else float(self.at[first])
            high = None if last == len(open_) - 1 else float(self.at[last])
            found.append((float(place), low, high))
        return found


def compared(plan: Plan, outcomes: Outcomes) -> Iterator[Along]:
    """Yield each line against each of its controls' lines, where both have every seed."""
    series, endpoint = plan.series, plan.endpoint
    pairs = [(proof.arm, proof.control) for proof in plan.proofs] if series is not None else []
    by_lines: dict[tuple[str, str], dict[float, tuple[str, str]]] = {}
    for arm, control in pairs:
        assert series is not None
        if arm in series.places and control in series.places:
            (line, number), (other, same) = series.places[arm], series.places[control]
            if number == same:
                by_lines.setdefault((line, other), {})[number] = arm, control
    for (line, other), found in by_lines.items():
        numbers = tuple(sorted(found))
        seeds = {frozenset(outcomes[arm]) for number in numbers for arm in found[number]}
        if len(numbers) < 2 or len(seeds) != 1 or len(next(iter(seeds))) < 2:
            continue
        any_cell = next(iter(outcomes[found[numbers[0]][0]].values()))
        examples = any_cell.result["metrics"][endpoint]["examples"]
        measured = []
        for number in numbers:
            arm, control = (outcomes[name] for name in found[number])
            pairs = [(arm[seed], control[seed]) for seed in sorted(arm)]
            measured.append(_differences(pairs, endpoint))
        if len({each.shape for each in measured}) != 1:
            continue  # tested on other numbers of examples: nothing lies between them
        yield _along((line, other), numbers, np.asarray(measured), endpoint, examples)


def _differences(pairs: Sequence[tuple[Outcome, Outcome]], endpoint: str) -> np.ndarray:
    """Return the differences of (arm, control) pairs: ``[S, N]`` of the test set, else ``[S]``."""
    if endpoint == TEST:
        return paired_errors(pairs).astype(np.float32)
    return np.array([error(arm, endpoint) - error(control, endpoint) for arm, control in pairs])


def _along(
    names: tuple[str, str],
    numbers: tuple[float, ...],
    measured: np.ndarray,
    endpoint: str,
    examples: int,
) -> Along:
    """Return the comparison at and between numbers; ``measured`` is ``[numbers, seeds, ...]``."""
    scaled = np.log(numbers) if logarithmic(numbers) else np.asarray(numbers, float)
    at, rows = [], []
    for i in range(len(numbers) - 1):
        for share in np.linspace(0, 1, BETWEEN, endpoint=i == len(numbers) - 2):
            at.append((1 - share) * scaled[i] + share * scaled[i + 1])
            between = (1 - share) * measured[i] + share * measured[i + 1]
            if endpoint == TEST:
                found = stats.paired(between)
            else:
                found = stats.paired_means(between, examples)
            rows.append((found.mean, *found.interval()))
    mean, low, high = np.asarray(rows, float).T
    return Along(
        *names, numbers, np.exp(at) if logarithmic(numbers) else np.asarray(at), mean, low, high
    )


def shown(number: float | None) -> str:
    """Return a number for a table: three digits."""
    if number is None:
        return "-"
    digits = max(0, 2 - math.floor(math.log10(abs(number)))) if number else 0
    return f"{number:,.{digits}f}"
