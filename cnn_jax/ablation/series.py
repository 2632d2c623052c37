"""Arms along a number: where one line of arms becomes better than another.

A line is a treatment at several numbers, such as images a class; at each of them it has a control
of its own, and a verdict. Between two numbers the difference is taken to change linearly (in the
number's logarithm, where numbers span more than a factor of ten), and so is the half of its
interval: it is never narrower than at the points beside it, which are all that was measured. The
places around a change of sign where the interval holds 0 are the crossing's interval.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from cnn_jax.ablation.arms import Series
from cnn_jax.ablation.stored import Plan
from cnn_jax.ablation.verdicts import Verdict

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
        mean: the difference there, arm minus control.
        low: the lower end of its interval, that of the verdicts.
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


def compared(plan: Plan, verdicts: Sequence[Verdict]) -> Iterator[Along]:
    """Yield each line against each of its controls' lines, by the first endpoint.

    Those are left out that lack a number's mean.
    """
    places = plan.series.places if plan.series is not None else {}
    by_lines: dict[tuple[str, str], dict[float, Verdict]] = {}
    for verdict in verdicts:
        statement = verdict.statement
        known = all(arm in places for arm in statement.arms)
        if not statement.comparison or statement.endpoint != plan.endpoints[0] or not known:
            continue
        (line, number), (other, same) = (places[arm] for arm in statement.arms)
        if number == same:
            by_lines.setdefault((line, other), {})[number] = verdict
    for names, found in by_lines.items():
        numbers = tuple(sorted(found))
        if len(numbers) > 1 and all(each.mean is not None for each in found.values()):
            yield _along(names, numbers, [found[number] for number in numbers])


def _along(
    names: tuple[str, str], numbers: tuple[float, ...], verdicts: Sequence[Verdict]
) -> Along:
    """Return the comparison at and between numbers."""
    scaled = np.log(numbers) if logarithmic(numbers) else np.asarray(numbers, float)
    at = [np.linspace(*ends, BETWEEN, endpoint=False) for ends in itertools.pairwise(scaled)]
    places = np.concatenate([*at, scaled[-1:]])
    mean, low, high = (
        np.interp(places, scaled, values)
        for values in (
            [float(each.mean or 0) for each in verdicts],
            [each.different[0] for each in verdicts],
            [each.different[1] for each in verdicts],
        )
    )
    return Along(
        *names, numbers, np.exp(places) if logarithmic(numbers) else places, mean, low, high
    )


def shown(number: float | None) -> str:
    """Return a number for a table: three digits."""
    if number is None:
        return "-"
    digits = max(0, 2 - math.floor(math.log10(abs(number)))) if number else 0
    return f"{number:,.{digits}f}"
