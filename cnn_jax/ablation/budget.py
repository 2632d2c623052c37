"""Matched budgets: adjust a width, a depth or the steps of an arm to its control's cost."""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cnn_jax import config as configs
from cnn_jax.ablation.arms import Match
from cnn_jax.ablation.counting import Data, count
from cnn_jax.ablation.study import get_field, set_field
from cnn_jax.config import Config
from cnn_jax.runtime.errors import BadInputError

STEPS = "train.steps"
NEAR = 4  # how far from proportional each number of a tuple may go
TRIES = 12  # candidates that are really counted
AROUND = 0.15  # share of a number within which it is searched where its price jumps


@dataclasses.dataclass(frozen=True)
class Matched:
    """What the solver found; residuals are (arm - control) / control.

    ``residual`` has the budgets counted; that of ``budget`` is within the tolerance, the others
    are what matching it leaves apart.
    """

    budget: str
    by: str
    before: Any
    value: Any
    tolerance: float
    residual: dict[str, float]


def solve(config: Config, control: Config, match: Match, data: Data, cost=None) -> Matched:
    """Return the value of ``match.by`` at which ``config`` costs what ``control`` does.

    Args:
        config: of the arm; left as it is.
        control: of the arm that it is compared with.
        match: the budget, the field, the tolerance.
        data: what both train on.
        cost: config -> cost of one image, for a budget that is measured, not counted.

    Raises:
        BadInputError: no value comes within the tolerance; the line has the nearest.
    """
    costs = _Costs(match.budget, data, cost)
    before = get_field(config, match.by)
    target = costs.price(control)
    if not target > 0:
        raise BadInputError(f"the control has no {match.budget}, which nothing could be equal to")
    if match.by == STEPS:
        value, off = _steps(config, control, costs, target)
        before = before if before is not None else data.steps(config)
    else:

        def priced(value: Any) -> float:
            return costs.price(_with_field(config, match.by, value))

        value = search(priced, before, target, match.tolerance)
        off = priced(value) / target - 1
    if not abs(off) <= match.tolerance:
        raise BadInputError(
            f"{match.by}: the nearest to equal {match.budget} is {value!r}, {off:+.2%} away, more "
            f"than {match.tolerance:.2%}; adjust another field, or allow more"
        )
    residual = costs.residual(_with_field(config, match.by, value), control)
    if match.budget == "step_time":
        residual["step time"] = off
    return Matched(match.budget, match.by, before, value, match.tolerance, residual)


class _Costs:
    """What configs cost on the data, each of them counted once.

    Attributes:
        budget: params, macs or step_time.
        data: what they train on.
        cost: config -> cost of one image, for step_time.
    """

    def __init__(self, budget: str, data: Data, cost: Callable[[Config], float] | None):
        self.budget, self.data, self.cost = budget, data, cost
        self._counted: dict[str, tuple[int, int]] = {}

    def price(self, config: Config) -> float:
        """Return what a config costs of the budget; steps do not enter."""
        if self.budget == "step_time":
            if self.cost is None:
                raise BadInputError(f"budget {self.budget!r} takes a measurement")
            return self.cost(config)
        return self._counts(config)[self.budget == "macs"]

    def residual(self, config: Config, control: Config) -> dict[str, float]:
        """Return by which share of the control's each counted budget is apart."""
        own, other = self._counts(config), self._counts(control)
        steps, others = self.data.steps(config), self.data.steps(control)
        return {
            "params": _apart(own[0], other[0]),
            "macs": _apart(own[1], other[1]),
            "training MACs": _apart(own[1] * steps, other[1] * others),
        }

    def _counts(self, config: Config) -> tuple[int, int]:
        """Return (parameters, multiply-adds of one image)."""
        key = configs.to_json(config)
        if key not in self._counted:
            self._counted[key] = count(config, self.data)
        return self._counted[key]


def _steps(config: Config, control: Config, costs: _Costs, target: float) -> tuple[int, float]:
    """Return the steps in which a config costs what its control does in all, and what is left."""
    if costs.budget == "params":
        raise BadInputError("steps do not change the number of parameters")
    whole = costs.data.steps(control) * target
    value = max(round(whole / costs.price(config)), 1)
    return value, value * costs.price(config) / whole - 1


def _with_field(config: Config, name: str, value: Any) -> Config:
    """Return a copy of a config with one field set."""
    copy = configs.override(config, ())
    set_field(copy, name, value)
    return copy


def _apart(own: int, other: int) -> float:
    """Return by which share of ``other`` two numbers are apart; infinite where that is 0."""
    return own / other - 1 if other else (math.inf if own else 0.0)


def search(priced: Callable[[Any], float], start: Any, target: float, tolerance: float) -> Any:
    """Return the value whose price is nearest to ``target``; prices grow with the value.

    ``start`` is a number, which is scaled, or a tuple of ints, whose members are scaled together
    and then, if rounding leaves too much, moved one by one. A member that is 0 stays 0: a layer
    that the arm does not have.
    """
    if isinstance(start, tuple) and 0 in start and any(start):
        moved = [index for index, x in enumerate(start) if x != 0]

        def with_zeros(members: tuple[int, ...]) -> tuple[int, ...]:
            found = dict(zip(moved, members, strict=True))
            return tuple(found.get(index, 0) for index in range(len(start)))

        members = tuple(start[index] for index in moved)
        return with_zeros(
            search(lambda value: priced(with_zeros(value)), members, target, tolerance)
        )
    memory: dict[Any, float] = {}

    def known(value: Any) -> float:
        if value not in memory:
            memory[value] = priced(value)
        return memory[value]

    if isinstance(start, tuple) and start and all(type(x) is int and x > 0 for x in start):

        def scaled(factor: float) -> Any:
            return tuple(max(round(factor * x), 1) for x in start)
    elif isinstance(start, bool) or not isinstance(start, (int, float)) or start <= 0:
        raise BadInputError(
            f"a budget is matched by a number above 0, or a tuple of whole ones, not {start!r}"
        )
    elif isinstance(start, int):

        def scaled(factor: float) -> Any:
            return max(round(factor * start), 1)
    else:

        def scaled(factor: float) -> Any:
            return float(f"{factor * start:.4g}")

    factor = _bisect(lambda factor: known(scaled(factor)), target, tolerance / 4)
    if isinstance(start, float):
        # Many numbers of channels are rounded, each at its own place, so that prices jump: look
        # around, near values first.
        for change in sorted(np.linspace(-AROUND, AROUND, 121), key=abs):
            if min(abs(price - target) for price in memory.values()) <= tolerance * target:
                break
            known(scaled(factor * (1 + change)))
    if not isinstance(start, tuple):
        return min(memory, key=lambda value: abs(memory[value] - target))
    exact = [factor * x for x in start]
    _refine(known, scaled(factor), exact, target, tolerance)
    fitting = [value for value in memory if abs(memory[value] - target) <= tolerance * target]
    if fitting:
        return min(fitting, key=lambda value: _bent(value, exact))
    return min(memory, key=lambda value: abs(memory[value] - target))


def _bent(value: Any, exact: list[float]) -> Any:
    """Return how far tuples, ``[..., n]``, are from proportional."""
    return ((np.asarray(value) / exact - 1) ** 2).sum(axis=-1)


def _bisect(price: Callable[[float], float], target: float, tolerance: float) -> float:
    low = high = 1.0
    while price(high) < target and high < 2**12:
        low, high = high, high * 2
    while price(low) > target and low > 2**-12:
        low, high = low / 2, low
    for _ in range(24):
        middle = float(np.sqrt(low * high))
        found = price(middle)
        if abs(found - target) <= tolerance * target or high / low < 1 + 1e-4:
            return middle
        low, high = (middle, high) if found < target else (low, middle)
    return middle


def _refine(known, near: tuple[int, ...], exact: list[float], target: float, tolerance: float):
    """Try tuples around ``near``, predicted by a quadratic that their true prices determine.

    Parameters and multiply-adds are quadratic in widths and linear in depths, so that a few counts
    predict thousands of combinations.
    """
    if abs(known(near) - target) <= tolerance * target:
        return
    n = len(near)
    points = {near}
    for i in range(n):
        for change in (1, 2):
            points.add(tuple(x + change * (j == i) for j, x in enumerate(near)))
        points |= {tuple(x + (k in (i, j)) for k, x in enumerate(near)) for j in range(i)}
    basis = _quadratic(np.array(sorted(points), float) - near)
    prices = np.array([known(point) for point in sorted(points)])
    weights, *_ = np.linalg.lstsq(basis, prices, rcond=None)
    reach = NEAR if n <= 4 else 1
    steps = np.array(list(itertools.product(range(-reach, reach + 1), repeat=n)))
    steps = steps[(steps + near >= 1).all(axis=1)]
    off = np.abs(_quadratic(steps.astype(float)) @ weights / target - 1)
    # Those that fit first, the ones closest to proportional before the others.
    bent = _bent(steps + near, exact)
    for step in steps[np.lexsort((bent, off > 0.9 * tolerance))][:TRIES]:
        if abs(known(tuple((step + near).tolist())) - target) <= tolerance * target:
            return


def _quadratic(x: np.ndarray) -> np.ndarray:
    pairs = [x[:, i] * x[:, j] for i in range(x.shape[1]) for j in range(i + 1)]
    return np.column_stack([np.ones(len(x)), x, *pairs])
