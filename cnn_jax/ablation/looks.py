"""Looks at a study's numbers while its seeds come in, and the error rate that each may spend.

A study of so many statements and looks errs in no more than 5 % of all repetitions, whatever the
statements depend on: each statement has a k-th of the rate (Bonferroni), and each look of it the
share of seeds that it adds (alpha spending, Lan & DeMets 1983, under a union bound: nothing is
assumed about how looks depend on each other). Looks at 5, 10 and 20 seeds thus take the quantiles
4.3, 3.1 and 2.4 of Student's distributions, for one statement.
"""

import dataclasses
from collections.abc import Sequence

from cnn_jax.ablation.stats import ALPHA


@dataclasses.dataclass(frozen=True)
class Look:
    """One look at a statement.

    Attributes:
        seeds: how many have been trained by then.
        alpha: the error rate that it may spend on the statement.
    """

    seeds: int
    alpha: float


def planned(looks: Sequence[int], statements: int, alpha: float = ALPHA) -> tuple[Look, ...]:
    """Return the looks at each of so many statements of a study whose last look is at all seeds.

    Args:
        looks: numbers of seeds, growing.
        statements: what is judged, all comparisons and contrasts by all endpoints.
        alpha: of the whole study.
    """
    before = (0, *looks[:-1])
    return tuple(
        Look(now, alpha / statements * (now - then) / looks[-1])
        for then, now in zip(before, looks, strict=True)
    )
