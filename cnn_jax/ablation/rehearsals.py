"""Whole studies rehearsed: seeds of a known truth, judged by the engine's own rules.

A seed has one number here, so that tens of thousands of studies take seconds: looks, families,
tuning, and the power that is announced. Runs that fail and skewed seeds are in ``odd_seeds``,
studies whose examples are drawn as well in ``simulate``.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from cnn_jax.ablation.announced import Noise
from cnn_jax.ablation.decisions import (
    BETTER,
    EQUIVALENT,
    INCONCLUSIVE,
    NOT_WORSE,
    WORSE,
    decide,
    measured,
)
from cnn_jax.ablation.looks import Look
from cnn_jax.ablation.simulate import FINE
from cnn_jax.ablation.stats import (
    Difference,
    paired,
    paired_means,
)

RATES = (0.10, 0.105, 0.115)  # the errors that three learning rates are worth


def wrong(verdicts: np.ndarray, truth: float | np.ndarray, smallest: float) -> np.ndarray:
    """Return which verdicts are false of true differences; less is better."""
    large = np.abs(truth) >= smallest
    return (
        ((verdicts == BETTER) & (np.asarray(truth) >= 0))
        | ((verdicts == WORSE) & (np.asarray(truth) <= 0))
        | ((verdicts == EQUIVALENT) & large)
        | ((verdicts == NOT_WORSE) & (np.asarray(truth) >= smallest))
    )


@dataclasses.dataclass(frozen=True)
class Followed:
    """What became of studies, look by look until the verdict, which is final.

    Attributes:
        verdicts: words like the means; inconclusive after the last look.
        low: the lower end of the interval at the look of the verdict, or at the last.
        high: its upper end.
    """

    verdicts: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def holds(self, truth: float | np.ndarray) -> np.ndarray:
        """Return which intervals hold the truth."""
        return (self.low <= truth) & (truth <= self.high)


def follow(
    points: np.ndarray,
    looks: Sequence[Look],
    smallest: float = FINE,
    *,
    not_worse: bool = False,
    examples: float = 0.0,
) -> Followed:
    """Return the verdicts on seeds' differences ``[..., S]``, looked at as planned.

    Args:
        points: of all seeds of the last look.
        looks: at the statements.
        smallest: the difference that matters.
        not_worse: whether the hypotheses allow that verdict.
        examples: the variance that the choice of examples adds to a mean, known.
    """
    shape = points.shape[:-1]
    verdicts = np.full(shape, INCONCLUSIVE, dtype="<U12")
    low, high = np.zeros(shape), np.zeros(shape)
    for look in looks:
        seen = points[..., : look.seeds]
        found = paired_means(seen, 1, grain=0.0)
        found = dataclasses.replace(found, example_variance=np.full(shape, examples))
        given = measured(found, seen, smallest)
        still = verdicts == INCONCLUSIVE
        said = decide(given, look.alpha, not_worse=not_worse)
        ends = found.interval(1 - look.alpha)
        low, high = np.where(still, ends[0], low), np.where(still, ends[1], high)
        verdicts = np.where(still, said, verdicts)
    return Followed(verdicts, low, high)


def family(
    truths: Sequence[float],
    spreads: Sequence[float],
    seeds: int,
    *,
    control: float,
    studies: int = 10_000,
    seed: int = 0,
) -> np.ndarray:
    """Return seeds' differences ``[studies, k, S]`` of k arms from one control.

    Args:
        truths: the true differences.
        spreads: each arm's standard deviation over seeds.
        seeds: of each arm.
        control: its standard deviation over seeds, which all comparisons share.
        studies: how many.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    shared = control * rng.standard_normal((studies, 1, seeds))
    own = rng.standard_normal((studies, len(truths), seeds)) * np.asarray(spreads)[:, None]
    return np.asarray(truths)[:, None] + own - shared


def tuned(
    seeds: int,
    images: int,
    *,
    shared: bool,
    luck: float = 0.003,
    studies: int = 10_000,
    seed: int = 0,
) -> np.ndarray:
    """Return the differences ``[studies, S]`` of two arms alike, each tuned over ``RATES``.

    A candidate's run has luck and is scored on a validation draw; a fresh run with the rate that
    scored best counts.

    Args:
        seeds: of a study.
        images: of a validation set.
        shared: whether the first seed tunes for all, or each for itself.
        luck: standard deviation of a run's error.
        studies: how many.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    rates = np.asarray(RATES)
    tuning = 1 if shared else seeds
    true = rates + luck * rng.standard_normal((2, studies, tuning, len(RATES)))
    scores = rng.binomial(images, np.clip(true, 0, 1))
    # Of equals, any: the first would favour the best rate.
    chosen = np.argmin(scores + 0.5 * rng.random(scores.shape), axis=-1)
    arm, control = rates[chosen] + luck * rng.standard_normal((2, studies, seeds))
    return arm - control


@dataclasses.dataclass(frozen=True)
class Source:
    """Where studies whose power is announced come from.

    Attributes:
        spread: standard deviation over seeds of a difference.
        examples: the variance that the choice of examples adds to a mean.
    """

    spread: float = 0.01
    examples: float = 0.0

    @property
    def known(self) -> Noise:
        """Return the noise as it is."""
        return Noise(self.spread**2, self.examples)

    def points(self, seeds: int, studies: int, seed: int = 0) -> np.ndarray:
        """Return differences ``[studies, S]`` about 0; the choice of examples shifts a study's."""
        rng = np.random.default_rng(seed)
        shift = math.sqrt(self.examples) * rng.standard_normal((studies, 1))
        return shift + self.spread * rng.standard_normal((studies, seeds))

    def pilots(self, seeds: int, studies: int, seed: int = 1) -> list[Noise]:
        """Return the noise as so many studies estimate it.

        Where examples have variance, 1,000 of them are drawn, with half of the seeds' in the
        interaction. Where not, the estimates are those at quantiles of their distribution.
        """
        rng = np.random.default_rng(seed)
        if not self.examples:
            chances = (np.arange(studies) + 0.5) / studies
            spread = np.quantile(rng.chisquare(seeds - 1, 400_000), chances) / (seeds - 1)
            found = Difference(np.zeros(studies), self.spread**2 * spread, 0.0 * spread, seeds)
        else:
            count, own = 1000, self.spread / math.sqrt(2)
            drawn = own * math.sqrt(count) * rng.standard_normal((studies, seeds, count))
            drawn += math.sqrt(self.examples * count) * rng.standard_normal((studies, 1, count))
            drawn += own * rng.standard_normal((studies, seeds, 1))
            found = paired(drawn, grain=0.0)
        parts = zip(found.seed_variance, found.example_variance, strict=True)
        return [Noise.of(Difference(0.0, own, shared, seeds)) for own, shared in parts]

    def power(
        self,
        looks: Sequence[Look],
        effects: Sequence[float],
        smallest: float = FINE,
        *,
        said: Sequence[str] = (BETTER, WORSE),
        studies: int = 10_000,
    ) -> np.ndarray:
        """Return how often studies say it, by their true difference."""
        points = self.points(looks[-1].seeds, studies)
        ends = [follow(points + each, looks, smallest, examples=self.examples) for each in effects]
        return np.array([np.isin(each.verdicts, said).mean() for each in ends])


@dataclasses.dataclass(frozen=True)
class Promised:
    """Power over studies that announce it from their own noise.

    Attributes:
        power: the mean of the true power at what each announces.
        silent: the share of studies that announce nothing.
    """

    power: float
    silent: float


def promise(announced: Sequence[float | None], at: Sequence[float], power: np.ndarray) -> Promised:
    """Return the mean power at what was ``announced``, interpolated from ``power`` ``at`` some."""
    told = [each for each in announced if each is not None]
    mean = float(np.interp(told, at, power).mean()) if told else math.nan
    return Promised(mean, 1 - len(told) / len(announced))
