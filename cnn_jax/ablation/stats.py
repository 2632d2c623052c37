"""Statistics of paired differences: intervals, tests, corrections, power. Arrays in, numbers out.

A comparison has D[s, i] = error of the arm minus error of its control, for seed s and test example
i: -1, 0 or 1. Both are samples: another seed gives another network, another test set other
examples. With D = mu + seed_s + example_i + rest_si (a crossed two-way layout without repeats), the
mean over everything has the variance

    Var = seeds / S + examples / N + rest / (S N).

The variance of the S row means estimates ``seeds + rest / N`` and so already holds the interaction
with a test set of N examples. What it cannot hold, since all seeds share the examples, is
``examples / N``: that comes from the column means, less the rest that is in them. A t-interval over
seeds alone leaves it out and covers as little as 79 % (10 seeds, arms that differ by example).

Each part has its own quantile, Student's with S - 1 degrees of freedom for the seeds and the
normal one for the examples; the interval takes their mean, weighted by the variances (Cochran &
Cox 1957, section 4.14, for two variances that differ). It was chosen by simulation with 3, 5 and
10 seeds and either noise dominant: it covers 95.0 to 96.3 %, where Satterthwaite's degrees of
freedom give 92.3 to 95.5 %, S - 1 of them for the sum 95.6 to 99.7 %, and the percentile
bootstrap over seeds 67 to 90 % (``experiments/calibration.py``, with its table in ``results``).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

ALPHA = 0.05
POWER = 0.8
MOST_SEEDS = 1000  # beyond it, more seeds are no answer


@dataclasses.dataclass(frozen=True)
class Difference:
    """A mean difference and the variances behind it; numbers, or arrays over many studies.

    Attributes:
        mean: over seeds and examples, a share (0.01 is one percentage point).
        seed_variance: of one seed's difference, interaction with the test set included.
        example_variance: what the choice of test examples adds to the mean's variance, whatever
            the number of seeds; 0 where examples are not a sample.
        seeds: how many.
    """

    mean: Any
    seed_variance: Any
    example_variance: Any
    seeds: int

    @property
    def variance(self) -> Any:
        """Return the variance of the mean."""
        return self.seed_variance / self.seeds + self.example_variance

    def critical(self, tail: Any) -> Any:
        """Return how many standard errors leave the probability ``tail`` above them."""
        own = self.seed_variance / self.seeds
        student, normal = stats.t.isf(tail, self.seeds - 1), stats.norm.isf(tail)
        return (own * student + self.example_variance * normal) / self.variance

    def interval(self, confidence: float = 1 - ALPHA) -> tuple[Any, Any]:
        """Return the lower and the upper end of the two-sided interval."""
        half = self.critical((1 - confidence) / 2) * np.sqrt(self.variance)
        return self.mean - half, self.mean + half

    def p_different(self) -> Any:
        """Return the two-sided p-value of 'no difference'."""
        return 2 * self._tail(np.abs(self.mean))

    def p_equivalent(self, smallest: float) -> Any:
        """Return the p-value of 'at least ``smallest`` apart': two one-sided tests (TOST)."""
        return self._tail(smallest - np.abs(self.mean))

    def _tail(self, distance: Any) -> Any:
        """Return the probability of landing ``distance`` or more above the truth."""
        # The weighted quantile has no closed inverse; it falls with the tail, so halve.
        errors = np.asarray(distance / np.sqrt(self.variance))
        low, high = np.zeros_like(errors), np.full_like(errors, 0.5)
        for _ in range(50):
            middle = (low + high) / 2
            beyond = self.critical(middle) > errors
            low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
        return np.where(errors <= 0, 1.0, high)[()]


def paired(differences: np.ndarray) -> Difference:
    """Return the difference of ``[..., S, N]`` paired outcomes, seeds by test examples."""
    d = np.asarray(differences, np.float32)
    *_, s, n = d.shape
    if s < 2:
        raise ValueError(f"a variance over seeds takes at least 2 of them, not {s}")
    rows = d.mean(axis=-1, dtype=np.float64)
    columns = d.mean(axis=-2, dtype=np.float64)
    mean = rows.mean(axis=-1)
    squares = (d * d).sum(axis=(-2, -1), dtype=np.float64)
    rest = squares - n * (rows**2).sum(-1) - s * (columns**2).sum(-1) + s * n * mean**2
    rest = np.maximum(rest, 0) / ((s - 1) * (n - 1))
    examples = np.maximum(columns.var(axis=-1, ddof=1) - rest / s, 0) / n
    return Difference(mean, _no_finer_than_counts(rows.var(axis=-1, ddof=1), n), examples, s)


def paired_means(differences: Sequence[float] | np.ndarray, examples: int) -> Difference:
    """Return the difference of one number a seed, ``[..., S]``: examples are not a sample.

    So it is for training error, a statement about the training set at hand, and for validation
    error, where each seed has a cut of its own and the rows hold that noise already. ``examples``
    are those that each number counts.
    """
    d = np.asarray(differences, np.float64)
    if d.shape[-1] < 2:
        raise ValueError(f"a variance over seeds takes at least 2 of them, not {d.shape[-1]}")
    variance = _no_finer_than_counts(d.var(axis=-1, ddof=1), examples)
    return Difference(d.mean(axis=-1), variance, np.zeros_like(variance), d.shape[-1])


def _no_finer_than_counts(variance: Any, examples: int) -> Any:
    # Errors are counts: seeds that agree by chance do not make a difference exact.
    return np.maximum(variance, 1 / (12 * examples**2))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979): at most 1, order kept."""
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = np.empty(len(p_values)), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted.tolist()


def power(effect: float, noise: Difference, *, alpha: float = ALPHA) -> float:
    """Return the probability of finding a true ``effect`` with ``noise``'s variances and seeds.

    The noncentral t distribution, exact where examples add no variance; where they do, with the
    degrees of freedom that the seeds' share of the variance leaves.
    """
    own = noise.seed_variance / noise.seeds
    freedom = (noise.seeds - 1) * (noise.variance / own) ** 2
    shift = abs(effect) / np.sqrt(noise.variance)
    limit = noise.critical(alpha / 2)
    if freedom > 1e4:  # scipy's noncentral t loses its footing there
        return float(stats.norm.sf(limit - shift) + stats.norm.cdf(-limit - shift))
    found = stats.nct.sf(limit, freedom, shift) + stats.nct.cdf(-limit, freedom, shift)
    return float(np.nan_to_num(found, nan=1.0))


def detectable(noise: Difference, *, alpha: float = ALPHA) -> float | None:
    """Return the smallest true difference that is found with a probability of 80 %.

    None where it would be above 1: no two errors differ by more.
    """
    low, high = 0.0, 1.0
    if power(high, noise, alpha=alpha) < POWER:
        return None
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, noise, alpha=alpha) < POWER else (low, middle)
    return high


def seeds_needed(found: Difference, smallest: float, *, alpha: float = ALPHA) -> int | None:
    """Return the seeds that would decide a comparison if what was estimated is the truth.

    The least number with a probability of 80 % of finding a difference as large as the mean, or
    with which the interval of the equivalence test fits inside ``smallest``; None where the test
    set's own noise stands in the way, whatever the number of seeds (up to 1,000).
    """

    def decides(seeds: int) -> bool:
        then = dataclasses.replace(found, seeds=seeds)
        room = smallest - abs(found.mean)
        equivalent = room > then.critical(alpha) * np.sqrt(then.variance)
        return bool(equivalent) or power(found.mean, then, alpha=alpha) >= POWER

    low, high = found.seeds, found.seeds + 1
    while not decides(high):
        if high >= MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high
