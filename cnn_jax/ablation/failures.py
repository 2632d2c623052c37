"""Runs that did not train, as outcomes: the share of an arm's seeds, and whether arms differ in it.

A run that diverged, or that ended at chance, has no error that belongs to the mean of those that
trained: 5 % of such seeds in one arm move the mean by more than most effects, and an interval
around it covers as little as 14 %. So there are two numbers: the mean over runs that trained, and
the share that did not, with exact intervals (Clopper & Pearson 1934) and Fisher's exact test.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from scipy import stats

from cnn_jax.ablation.stats import ALPHA


@dataclasses.dataclass(frozen=True)
class Share:
    """How many of an arm's runs did not train.

    Attributes:
        failed: how many.
        runs: of how many.
        low: the lower end of the share's exact interval.
        high: the upper end.
    """

    failed: int
    runs: int
    low: float
    high: float


def share(failed: int, runs: int, alpha: float = ALPHA) -> Share:
    """Return the share of runs that did not train, with its interval at 1 - ``alpha``."""
    if not 0 <= failed <= runs or runs < 1:
        raise ValueError(f"{failed} of {runs} runs cannot have failed")
    exact = stats.binomtest(failed, runs).proportion_ci(1 - alpha, method="exact")
    return Share(failed, runs, float(exact.low), float(exact.high))


def p_different(arm: Share, control: Share) -> float:
    """Return the two-sided p-value of 'the same share of both arms' runs fails' (Fisher 1935)."""
    counts = [[each.failed, each.runs - each.failed] for each in (arm, control)]
    found: Any = stats.fisher_exact(counts)
    return float(found.pvalue)


def in_one_alone(failed: Sequence[Sequence[int]]) -> bool:
    """Return whether a seed failed in some of the arms and trained in others.

    Args:
        failed: of each arm, the seeds whose runs did not train.
    """
    return len({frozenset(each) for each in failed}) > 1
