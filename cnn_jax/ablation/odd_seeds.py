"""Simulated studies whose seeds are odd: runs that do not train, and skewed seeds."""

import dataclasses
import math

import numpy as np

from cnn_jax.ablation import failures
from cnn_jax.ablation.decisions import (
    BETTER,
    EQUIVALENT,
    INCONCLUSIVE,
    NOT_WORSE,
    WORSE,
    decide,
    measured,
)
from cnn_jax.ablation.looks import planned
from cnn_jax.ablation.rehearsals import follow, wrong
from cnn_jax.ablation.stats import oddities, paired_means, trimmed_mean


@dataclasses.dataclass(frozen=True)
class Collapsed:
    """Shares of studies in whose arm some runs collapse.

    Attributes:
        held: those whose interval holds the difference of runs that train, of those with 2 pairs.
        share_held: those whose exact interval holds the share of runs that collapse.
        equivalent: those called equivalent, of those where a run of the arm was seen to collapse.
        naive_held: those whose interval holds the difference with collapsed runs as ordinary seeds.
        naive_equivalent: those called equivalent then, though the arm is worse by what matters.
    """

    held: float
    share_held: float
    equivalent: float
    naive_held: float
    naive_equivalent: float


def collapse(
    rate: float,
    seeds: int,
    *,
    jump: float = 0.8,
    spread: float = 0.003,
    smallest: float = 0.01,
    studies: int = 10_000,
    seed: int = 0,
) -> Collapsed:
    """Return what becomes of two arms alike, but for the share ``rate`` of one's runs.

    Those add ``jump`` to the error, so that the arm is worse by ``rate * jump`` with them.
    """
    rng = np.random.default_rng(seed)
    points = spread * rng.standard_normal((studies, seeds))
    failed = rng.random((studies, seeds)) < rate
    (look,) = planned((seeds,), 1)
    alone = np.array(
        [failures.in_one_alone([np.flatnonzero(each).tolist(), ()]) for each in failed]
    )
    counts = failed.sum(axis=-1)
    shares = [failures.share(count, seeds) for count in range(seeds + 1)]
    share_held = np.array([each.low <= rate <= each.high for each in shares])[counts]
    trained_first = np.take_along_axis(points, np.argsort(failed, axis=-1, kind="stable"), axis=-1)
    held, said = np.zeros(studies, bool), np.full(studies, INCONCLUSIVE, dtype="<U12")
    for pairs in range(2, seeds + 1):
        its = counts == seeds - pairs
        if its.any():
            seen = trained_first[its, :pairs]
            found = paired_means(seen, 1, grain=0.0)
            low, high = found.interval(1 - look.alpha)
            held[its] = (low <= 0) & (high >= 0)
            given = measured(found, seen, smallest)
            said[its] = decide(given, look.alpha, failed_alone=alone[its])
    naive = follow(points + jump * failed, (look,), smallest)
    return Collapsed(
        float(held[counts <= seeds - 2].mean()),
        float(share_held.mean()),
        float((said[alone] == EQUIVALENT).mean()),
        float(naive.holds(rate * jump).mean()),
        float((naive.verdicts == EQUIVALENT).mean()),
    )


SHAPES = ("normal", "exponential", "lognormal(1.2)")


def skewed(
    shape: str, truth: float, seeds: int, *, studies: int = 10_000, seed: int = 0
) -> np.ndarray:
    """Return differences ``[studies, S]`` of one standard deviation about ``truth``, by shape."""
    rng = np.random.default_rng(seed)
    if shape == "normal":
        drawn = rng.standard_normal((studies, seeds))
    elif shape == "exponential":
        drawn = rng.standard_exponential((studies, seeds)) - 1
    else:
        sigma = 1.2
        mean, grown = math.exp(sigma**2 / 2), math.exp(sigma**2)
        drawn = (rng.lognormal(0, sigma, (studies, seeds)) - mean) / (mean * math.sqrt(grown - 1))
    return truth + drawn


@dataclasses.dataclass(frozen=True)
class Skewed:
    """Shares of studies whose seeds are not normal.

    Attributes:
        held: intervals that hold a true difference of 0.
        apart: called better or worse at 0.
        withheld: of the better or worse that the interval alone would say, those not said.
        equivalent: called equivalent or not worse at the margin.
        told: where skew or an outlier is told of.
    """

    held: float
    apart: float
    withheld: float
    equivalent: float
    told: float


def skew(shape: str, seeds: int, *, margin: float = 1.0, studies: int = 10_000) -> Skewed:
    """Return what skewed seeds do; ``margin`` in their standard deviations.

    Raises:
        AssertionError: a verdict was said that the trimmed mean denies.
    """
    looks = planned((seeds,), 1)
    points = skewed(shape, 0.0, seeds, studies=studies)
    at_zero = follow(points, looks)
    apart = np.isin(at_zero.verdicts, (BETTER, WORSE))
    by_interval = (at_zero.low > 0) | (at_zero.high < 0)
    middle = trimmed_mean(points)
    assert not (apart & ~by_interval).any()
    assert ((middle < 0) == (at_zero.verdicts == BETTER))[apart].all()
    false = 0.0
    for side in (-margin, margin):
        shifted = points + side
        said = follow(shifted, looks, margin, not_worse=True).verdicts
        harmless = np.isin(said, (EQUIVALENT, NOT_WORSE))
        assert (trimmed_mean(shifted)[harmless] < margin).all()
        false = max(false, float(wrong(said, side, margin).mean()))
    told = np.mean([any(oddities(each)) for each in points[: studies // 8]])
    withheld = float((by_interval & ~apart).sum() / by_interval.sum())
    return Skewed(
        float(at_zero.holds(0.0).mean()), float(apart.mean()), withheld, false, float(told)
    )
