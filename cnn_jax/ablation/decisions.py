"""From intervals to a verdict: the one rule of all studies, simulated ones included. Pure.

Two simultaneous intervals decide. That at 1 - alpha tells *better* and *worse* (it leaves out 0);
that at 1 - 2 alpha tells *equivalent* (it lies within the smallest difference that matters, TOST)
and *not worse* (it lies below it). One count of statements serves both, since their nulls, 'no
difference' and 'at least the smallest that matters', exclude each other: of a statement no more
than one can be wrong by more than alpha. There is no stepwise correction such as Holm's, which has
no two-sided intervals that agree with it.
"""

import dataclasses
from typing import Any

import numpy as np

from cnn_jax.ablation.stats import Difference, trimmed_mean

BETTER, WORSE, EQUIVALENT, INCONCLUSIVE = "better", "worse", "equivalent", "inconclusive"
NOT_WORSE = "not worse"
MATTERS, TOO_LITTLE, OPEN = "it matters", "by too little to matter", "open whether it matters"
DOES_NOT = "does not matter"


@dataclasses.dataclass(frozen=True)
class Measured:
    """A statement's difference, less is better, and its distance from either margin.

    Attributes:
        found: arm minus control.
        worse: arm minus the largest that is not worse by what matters; below 0 it is not worse.
        better: arm minus the least that is not better by what matters; above 0 it is not better.
        trimmed: the trimmed means over seeds of all three.
    """

    found: Difference
    worse: Difference
    better: Difference
    trimmed: tuple[Any, Any, Any]


def measured(found: Difference, points: np.ndarray, smallest: float) -> Measured:
    """Return a statement with margins ``smallest`` away; ``points`` are seeds' ``[..., S]``."""
    middle = trimmed_mean(points)
    worse, better = (
        dataclasses.replace(found, mean=found.mean - shift) for shift in (smallest, -smallest)
    )
    return Measured(found, worse, better, (middle, middle - smallest, middle + smallest))


def beyond(given: Measured, alpha: float) -> tuple[Any, Any]:
    """Return how far the interval at 1 - 2 ``alpha`` reaches above the lower and upper margin.

    Each end has the variance that the mean has if its margin is the truth. Within the margins the
    former is above 0 and the latter below.
    """
    low, _ = given.better.if_zero().interval(1 - 2 * alpha)
    _, high = given.worse.if_zero().interval(1 - 2 * alpha)
    return low, high


def decide(
    given: Measured, alpha: float, *, not_worse: bool = False, failed_alone: Any = False
) -> np.ndarray:
    """Return verdicts, an array of words like ``given``'s means.

    A verdict falls only where the trimmed mean of the seeds says the same: what a few of many
    decide is inconclusive. (Of fewer than about 15 a fifth cannot make an interval that decides.)
    Equivalence is not said, and *not worse* neither, where ``failed_alone``: a run of one arm did
    not train whose partners did.

    Args:
        given: what was measured.
        alpha: of this statement at this look.
        not_worse: whether the hypothesis allows that verdict.
        failed_alone: bool, or of each study.
    """
    low, high = given.found.interval(1 - alpha)
    middle, worse, better = given.trimmed
    whole = ~np.asarray(failed_alone, bool)
    below, above = beyond(given, alpha)
    harmless, useless = (above < 0) & (worse < 0) & whole, (below > 0) & (better > 0) & whole
    conditions = [harmless & useless, (high < 0) & (middle < 0), (low > 0) & (middle > 0)]
    verdicts = [EQUIVALENT, BETTER, WORSE]
    if not_worse:
        conditions, verdicts = [*conditions, harmless], [*verdicts, NOT_WORSE]
    return np.select([np.asarray(each) for each in conditions], verdicts, INCONCLUSIVE)


def importance(given: Measured, verdict: str, alpha: float) -> str:
    """Return whether the difference of a verdict matters, in words; empty for an open verdict."""
    low, high = given.found.interval(1 - alpha)
    if verdict == EQUIVALENT:
        sign = "better" if high < 0 else "worse" if low > 0 else ""
        return f"{sign}, {TOO_LITTLE}" if sign else DOES_NOT
    if verdict == NOT_WORSE:
        return "if worse, " + TOO_LITTLE
    if verdict == BETTER:
        return MATTERS if given.better.interval(1 - alpha)[1] < 0 else OPEN
    if verdict == WORSE:
        return MATTERS if given.worse.interval(1 - alpha)[0] > 0 else OPEN
    return ""
